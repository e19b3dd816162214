"""What all values of the catalog have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Item = TypeVar("Item")

Time = AwareDatetime
Sequence64 = Annotated[int, Field(ge=0, lt=2**63)]
"""A sequence number of a channel's history or policy; 0: none yet."""


LONGEST_SECONDS: Final = 315_576_000_000.0
"""About 10,000 years: as long as google.protobuf.Duration can be."""


class Value(BaseModel):
    """A frozen value that reads from and writes to JSON; bytes are base64."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `next_page_token` is empty on the last one."""

    items: Sequence[Item]
    next_page_token: str = ""


class Signature(Value):
    """A signature and what is needed to check it."""

    media_type: str
    content: bytes


def iso(time: datetime) -> str:
    """A time for people: ISO 8601 in seconds."""
    return time.isoformat(timespec="seconds")
