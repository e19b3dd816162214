"""The one table between the exception tree and gRPC status, in both directions.

Every status carries ``google.rpc.ErrorInfo`` (domain ``voiceflow``, the reason, and the name of the
error class as metadata ``error``), ``BadRequest`` where one field is at fault,
``PreconditionFailure`` where several things stand in the way, and ``RetryInfo`` where trying again
later helps. The law: ``from_rpc_error`` of what a client receives equals the error that the server
raised; only texts and violations beyond what a client's limit on metadata lets through (8 KiB as
gRPC has it, everything counted) are cut. An error outside the tree becomes INTERNAL without its
text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    ContentCorrupt,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotAllowedNow,
    NotFound,
    NotServed,
    OutOfOrder,
    OutOfRange,
    Overloaded,
    PackageInvalid,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Untrusted,
    Violation,
    VoiceFlowError,
)

DOMAIN: Final = "voiceflow"
INTERNAL_REASON: Final = "INTERNAL"

_CODES: Final[Mapping[type[VoiceFlowError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    OutOfOrder: grpc.StatusCode.FAILED_PRECONDITION,
    NotAllowedNow: grpc.StatusCode.FAILED_PRECONDITION,
    NotServed: grpc.StatusCode.UNIMPLEMENTED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    Untrusted: grpc.StatusCode.PERMISSION_DENIED,
    Conflict: grpc.StatusCode.ABORTED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    LimitExceeded: grpc.StatusCode.ABORTED,
    TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    ContentCorrupt: grpc.StatusCode.DATA_LOSS,
    PackageInvalid: grpc.StatusCode.FAILED_PRECONDITION,
}

# What a status means that names no error class: gRPC itself, a proxy or another server made it.
_FOREIGN: Final[Mapping[grpc.StatusCode, type[VoiceFlowError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.FAILED_PRECONDITION: OutOfOrder,
    grpc.StatusCode.UNIMPLEMENTED: NotServed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.DATA_LOSS: ContentCorrupt,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    grpc.StatusCode.ABORTED: LimitExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
}

_DETAILS_KEY: Final = "grpc-status-details-bin"
_CLASS_KEY: Final = "error"
_CLASSES: Final = {cls.__name__: cls for cls in _CODES}


def status_code(error: BaseException) -> grpc.StatusCode:
    """The status code that an error is sent as."""
    for cls in type(error).__mro__:
        if cls in _CODES:
            return _CODES[cls]
    return grpc.StatusCode.INTERNAL


def to_status(error: BaseException) -> Status:
    """The status, with details, that an error is sent as.

    Args:
        error: Anything raised while serving. Outside the tree, its text is not sent.

    Returns:
        google.rpc.Status; its code is the integer of ``status_code(error)``.
    """
    known = error if isinstance(error, VoiceFlowError) else _internal()
    message = _cut(known.message, _MESSAGE_BYTES)
    status = Status(code=_number(status_code(known)), message=message)
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=known.reason)
    info.metadata[_CLASS_KEY] = type(known).__name__
    _attach(status, info)
    if known.field is not None:
        bad = error_details_pb2.BadRequest()
        field = _cut(known.field, _FIELD_BYTES)
        bad.field_violations.add(field=field, description=message, reason=known.reason)
        _attach(status, bad)
    if isinstance(known, NotAllowedNow) and known.violations:
        _attach(status, _unmet(known.violations))
    if isinstance(known, Overloaded | Unavailable) and known.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(known.retry_after_seconds * 1e9))
        _attach(status, retry)
    return status


def abort_arguments(
    error: BaseException,
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Code, details and trailing metadata for ``ServicerContext.abort``."""
    status = to_status(error)
    # Beside the status this text is only for readers without details; it is sent percent-encoded.
    details = _cut(status.message, _MESSAGE_BYTES if status.message.isascii() else _FIELD_BYTES)
    return status_code(error), details, ((_DETAILS_KEY, status.SerializeToString()),)


def from_rpc_error(error: grpc.RpcError) -> VoiceFlowError:
    """The error behind a failed call, for clients.

    Args:
        error: What the call raised; synchronous or asyncio.

    Returns:
        The error that the server raised, or the nearest one where gRPC itself or another server
        made the status; its reason is then the name of the status code.
    """
    code: grpc.StatusCode = error.code()
    status = _received_status(error)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    unmet = error_details_pb2.PreconditionFailure()
    for detail in status.details:
        for message in (info, bad, retry, unmet):
            detail.Unpack(message)

    message = status.message or error.details() or code.name
    reason = info.reason if info.domain == DOMAIN and info.reason else code.name
    field = bad.field_violations[0].field if bad.field_violations else None
    cls = _CLASSES.get(info.metadata.get(_CLASS_KEY, ""), _FOREIGN.get(code, VoiceFlowError))
    told = retry.HasField("retry_delay")
    seconds = retry.retry_delay.ToNanoseconds() / 1e9
    if cls is Overloaded or (cls is LimitExceeded and told):
        return Overloaded(message, reason=reason, retry_after_seconds=seconds)
    if cls is Unavailable and told:
        return Unavailable(message, reason=reason, field=field, retry_after_seconds=seconds)
    if cls is NotAllowedNow:
        violations = [Violation(v.type, v.subject, v.description) for v in unmet.violations]
        return NotAllowedNow(message, reason=reason, field=field, violations=violations)
    return cls(message, reason=reason, field=field)


# Together less than 8 KiB: the message goes out up to three times, twice of that as base64.
_MESSAGE_BYTES: Final = 1000
_FIELD_BYTES: Final = 300
_VIOLATIONS_BYTES: Final = 2000

OMITTED_KIND: Final = "VIOLATIONS_OMITTED"
"""Kind of the last violation, where there are more than a status can hold."""


def _unmet(violations: Sequence[Violation]) -> error_details_pb2.PreconditionFailure:
    """As many violations as a status can hold, and how many there are besides."""
    unmet = error_details_pb2.PreconditionFailure()
    for at, violation in enumerate(violations):
        added = unmet.violations.add(
            type=_cut(violation.kind, _FIELD_BYTES),
            subject=_cut(violation.subject, _FIELD_BYTES),
            description=_cut(violation.description, _MESSAGE_BYTES),
        )
        if unmet.ByteSize() > _VIOLATIONS_BYTES:
            unmet.violations.remove(added)
            left = len(violations) - at
            unmet.violations.add(type=OMITTED_KIND, description=f"{left} more")
            break
    return unmet


def _cut(text: str, maximum_bytes: int) -> str:
    """The text, or its beginning and an ellipsis."""
    encoded = text.encode()
    if len(encoded) <= maximum_bytes:
        return text
    return encoded[: maximum_bytes - 3].decode(errors="ignore") + "…"


def _internal() -> VoiceFlowError:
    return VoiceFlowError("the server failed; its log says why", reason=INTERNAL_REASON)


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number


def _attach(status: Status, detail: Message) -> None:
    packed = Any()
    packed.Pack(detail)
    status.details.append(packed)


def _received_status(error: grpc.RpcError) -> Status:
    metadata = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _DETAILS_KEY:
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()
