"""The pieces that all mappings are made of: times, durations, numbers, enums, and their errors.

What comes from the wire is hostile: each reader takes the path of the field that it reads, and
raises InvalidInput with that path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from fractions import Fraction
from typing import Any, Final, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ValidationError

from voiceflow.catalog.values import Signature
from voiceflow.errors import InvalidInput
from voiceflow.registry.v1 import registry_pb2 as pb

Known = TypeVar("Known", bound=Enum)
Made = TypeVar("Made", bound=BaseModel)

_NANOSECONDS: Final = 10**9


def join(path: str, name: str) -> str:
    """The path of a field inside another; the outermost has the empty path."""
    return f"{path}.{name}" if path else name


def required(message: Message, name: str, path: str) -> str:
    """The path of a submessage that must be there.

    Raises:
        InvalidInput: FIELD_REQUIRED.
    """
    field = join(path, name)
    if not message.HasField(name):
        raise InvalidInput(f"{field} is required", reason="FIELD_REQUIRED", field=field)
    return field


def invalid(field: str, seen: object, allowed: str) -> InvalidInput:
    """FIELD_INVALID."""
    return InvalidInput(
        f"{field}: {str(seen)[:200]} is not allowed; allowed is {allowed}",
        reason="FIELD_INVALID",
        field=field,
    )


def make(cls: type[Made], path: str, **values: Any) -> Made:
    """Builds a value; what the value itself refuses is FIELD_INVALID.

    Attributes of values are named as fields of messages are, save that a duration's attribute says
    its unit: `elapsed_seconds` for `elapsed`.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = str(fault["loc"][0]) if fault["loc"] else ""
        field = join(path, _DURATIONS.get(name, name)) if name else path
        seen = repr(fault["input"]) if name else "what it says"
        raise invalid(field, seen, fault["msg"]) from None


_DURATIONS: Final = {
    name: name.removesuffix("_seconds")
    for name in (
        "batch_p99_seconds",
        "call_p99_seconds",
        "elapsed_seconds",
        "hang_after_seconds",
        "speech_seconds",
        "validation_valid_for_seconds",
    )
}


def time_to_wire(time: datetime | None) -> Timestamp | None:
    """An aware time, in microseconds."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def time_from_wire(message: Message, name: str, path: str) -> datetime:
    """A time that must be there.

    Raises:
        InvalidInput: FIELD_REQUIRED; FIELD_INVALID, if no calendar has it.
    """
    field = required(message, name, path)
    stamp: Timestamp = getattr(message, name)
    try:
        if not 0 <= stamp.nanos < _NANOSECONDS:
            raise ValueError(stamp.nanos)  # noqa: TRY301 - one way out for all faults
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        seen = f"{stamp.seconds} s and {stamp.nanos} ns"
        raise invalid(field, seen, "a time of the years 1 to 9999") from None


def optional_time_from_wire(message: Message, name: str, path: str) -> datetime | None:
    """A time, or None where none is set; raises as `time_from_wire`."""
    return time_from_wire(message, name, path) if message.HasField(name) else None


def seconds_to_wire(seconds: float | None) -> Duration | None:
    """A duration, to the nanosecond."""
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(Fraction(seconds) * _NANOSECONDS))
    return duration


def seconds_from_wire(message: Message, name: str, path: str) -> float | None:
    """A duration in seconds, or None where none is set.

    Raises:
        InvalidInput: FIELD_INVALID, if it is negative, or no duration.
    """
    if not message.HasField(name):
        return None
    duration: Duration = getattr(message, name)
    whole, rest = duration.seconds, duration.nanos
    if not (0 <= whole <= _LONGEST_SECONDS and 0 <= rest < _NANOSECONDS):
        raise invalid(
            join(path, name), f"{whole} s and {rest} ns", "a duration of 0 to 10,000 years"
        )
    return (whole * _NANOSECONDS + rest) / _NANOSECONDS


_LONGEST_SECONDS: Final = 315_576_000_000
"""As google.protobuf.Duration says."""


def number(message: Message, name: str, path: str) -> float:
    """A number that is neither NaN nor infinite.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    value: float = getattr(message, name)
    if not math.isfinite(value):
        raise invalid(join(path, name), value, "a finite number")
    return value


def optional_number(message: Message, name: str, path: str) -> float | None:
    """A number, or None where none is set; raises as `number`."""
    return number(message, name, path) if message.HasField(name) else None


def optional(message: Message, name: str) -> Any:
    """A scalar, or None where none is set."""
    return getattr(message, name) if message.HasField(name) else None


class EnumMap(Generic[Known]):
    """Between an enum of the wire and one of the catalog, by their names.

    Args:
        wire: The generated enum.
        prefix: Of the wire's names, `GATE_`.
        known: The catalog's enum; each member has a name on the wire, and the other way round.
    """

    def __init__(self, wire: Any, prefix: str, known: type[Known]) -> None:
        self._numbers: Mapping[Known, int] = {
            member: wire.Value(prefix + member.name) for member in known
        }
        self._members = {number: member for member, number in self._numbers.items()}
        self._allowed = ", ".join(prefix + member.name for member in known)

    def to_wire(self, member: Known) -> Any:
        """Its number."""
        return self._numbers[member]

    def from_wire(self, number: int, field: str) -> Known:
        """Its member.

        Raises:
            InvalidInput: FIELD_INVALID, if it is unspecified or not known here.
        """
        try:
            return self._members[number]
        except KeyError:
            raise invalid(field, number, self._allowed) from None

    def all_from_wire(self, numbers: Iterable[int], field: str) -> tuple[Known, ...]:
        """The members of a repeated field; raises as `from_wire`."""
        return tuple(self.from_wire(number, f"{field}[{at}]") for at, number in enumerate(numbers))


def signature_to_wire(signature: Signature | None) -> pb.SignatureBundle | None:
    """A signature, if there is one."""
    if signature is None:
        return None
    return pb.SignatureBundle(media_type=signature.media_type, content=signature.content)


def signature_from_wire(message: Message, name: str) -> Signature | None:
    """A signature, or None where none is set."""
    if not message.HasField(name):
        return None
    bundle: pb.SignatureBundle = getattr(message, name)
    return Signature(media_type=bundle.media_type, content=bundle.content)
