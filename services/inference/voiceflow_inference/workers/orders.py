"""What a parent and its workers say to each other, in lines of JSON.

The first line on a worker's standard input is its `Assignment`, the second, once it has said that
it is `Loaded`, is `SERVE`. The end of that input is the end of the worker: so it drains also when
its parent is killed. On its standard output it says what it has come to.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

SERVE: Final = b"serve\n"
"""All workers are warm: answer."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        """As it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Assignment(_Line):
    """What a worker is to be.

    Attributes:
        settings: Of the group, in JSON; its own follow from them: see `shares`.
        number: Which of the workers it is, from 0.
        port: That all listen on.
        health_port: Likewise; None: there is none.
        keys: A JWKS whose key seals the group's resume tokens, unless the settings name a key set.
    """

    settings: dict[str, Any]
    number: int
    port: int
    health_port: int | None
    keys: str = Field(repr=False)


class Loaded(_Line):
    """A version is loaded and warm; nobody is answered yet."""

    said: Literal["loaded"] = "loaded"


class Ready(_Line):
    """Requests are answered.

    Attributes:
        address: The bound ``host:port``.
        model: The version that is served.
    """

    said: Literal["ready"] = "ready"
    address: str
    model: str


class Failed(_Line):
    """It cannot serve, and ends.

    Attributes:
        why: For people.
    """

    said: Literal["failed"] = "failed"
    why: str


Saying: TypeAlias = Loaded | Ready | Failed

SAYINGS: Final[TypeAdapter[Saying]] = TypeAdapter(Annotated[Saying, Field(discriminator="said")])
