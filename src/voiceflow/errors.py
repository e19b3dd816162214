"""What can go wrong, as one tree of exceptions.

    VoiceFlowError
    ├── InvalidInput        the caller sent something that is not allowed
    ├── OutOfOrder          the caller sent it at a time when it is not allowed
    ├── NotAllowedNow       not allowed as things are; `violations` says what would have to change
    ├── NotServed           asked for something that this server does not do (yet)
    ├── NotFound            asked for something that does not exist here
    ├── AlreadyExists       what is to be made is there already, and is different
    ├── OutOfRange          an offset beyond the end
    ├── Unauthenticated     who calls is not known
    ├── Forbidden           this caller may not do that
    │   └── Untrusted       not signed by who may sign it, or older than what is known
    ├── Conflict            something changed meanwhile; read again and decide again
    ├── Overloaded          refused for now; try again after `retry_after_seconds`
    ├── LimitExceeded       cut off because a stated limit was passed
    ├── TooLarge            more than a stated limit allows
    ├── Unavailable         the server is shutting down or not ready
    ├── ContentCorrupt      what is stored is not what was stored
    └── PackageInvalid      a model package, manifest or graph breaks its contract

Each error says what was seen and what is allowed (the message), and why in a word that programs can
rely on (`reason`, UPPER_SNAKE). `voiceflow.rpc.status` maps the tree to gRPC and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class VoiceFlowError(Exception):
    """Base of all errors that VoiceFlow raises on purpose.

    Args:
        message: For people: what was seen, what is allowed.
        reason: For programs: UPPER_SNAKE, stable.
        field: Path of the request or manifest field at fault, if there is one.
    """

    def __init__(self, message: str, *, reason: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field


class InvalidInput(VoiceFlowError):
    """The caller sent something that is not allowed."""


class OutOfOrder(VoiceFlowError):
    """The caller sent something allowed at a time when it is not."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that stands in the way.

    Attributes:
        kind: For programs: a rule id, or UPPER_SNAKE.
        subject: What it is about: a file, gate, channel.
        description: For people: what was seen, what is allowed.
    """

    kind: str
    subject: str
    description: str


class NotAllowedNow(VoiceFlowError):
    """The caller asked for something that is not allowed as things are.

    Args:
        message: For people.
        reason: For programs.
        field: Path of the request field at fault, if there is one.
        violations: Everything that would have to change first.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        field: str | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.violations = tuple(violations)


class NotServed(VoiceFlowError):
    """The caller asked for something that this server does not do (yet)."""


class NotFound(VoiceFlowError):
    """The caller asked for something that does not exist here."""


class AlreadyExists(VoiceFlowError):
    """What the caller wants to make is there already, and is different."""


class OutOfRange(VoiceFlowError):
    """The caller asked for something beyond the end."""


class Unauthenticated(VoiceFlowError):
    """Who calls is not known: no credentials, or none that hold."""


class Forbidden(VoiceFlowError):
    """This caller may not do that."""


class Untrusted(Forbidden):
    """Not signed by a key that may sign it, or older than what is known already."""


class Conflict(VoiceFlowError):
    """Something has changed since the caller looked; read again and decide again."""


class Overloaded(VoiceFlowError):
    """Refused for now.

    Args:
        message: For people.
        reason: For programs.
        retry_after_seconds: When to try again.
    """

    def __init__(self, message: str, *, reason: str, retry_after_seconds: float) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class LimitExceeded(VoiceFlowError):
    """Cut off because a stated limit was passed."""


class TooLarge(VoiceFlowError):
    """More than a stated limit allows."""


class Unavailable(VoiceFlowError):
    """The server is shutting down or not ready.

    Args:
        message: For people.
        reason: For programs.
        field: Path of the request field at fault, if there is one.
        retry_after_seconds: When to try again, if that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        field: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_seconds = retry_after_seconds


class ContentCorrupt(VoiceFlowError):
    """What is stored is not what was stored: it does not have its digest."""


class PackageInvalid(VoiceFlowError):
    """A model package, manifest or graph breaks its contract."""
