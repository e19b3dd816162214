"""What can go wrong, as one tree of exceptions.

    VoiceFlowError
    ├── InvalidInput        the caller sent something that is not allowed
    ├── OutOfOrder          the caller sent it at a time when it is not allowed
    ├── NotServed           asked for something that this server does not do (yet)
    ├── NotFound            asked for something that does not exist here
    ├── Overloaded          refused for now; try again after `retry_after_seconds`
    ├── LimitExceeded       cut off because a stated limit was passed
    ├── Unavailable         the server is shutting down or not ready
    └── PackageInvalid      a model package, manifest or graph breaks its contract

Each error says what was seen and what is allowed (the message), and why in a word that programs can
rely on (`reason`, UPPER_SNAKE). `voiceflow.rpc.status` maps the tree to gRPC and back.
"""

from __future__ import annotations


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


class NotServed(VoiceFlowError):
    """The caller asked for something that this server does not do (yet)."""


class NotFound(VoiceFlowError):
    """The caller asked for something that does not exist here."""


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


class Unavailable(VoiceFlowError):
    """The server is shutting down or not ready."""


class PackageInvalid(VoiceFlowError):
    """A model package, manifest or graph breaks its contract."""
