"""What all methods share: the acts that they call, and checks of fields."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.names import ANY_MODEL, ModelName
from voiceflow.catalog.values import Page, Signature
from voiceflow.errors import InvalidInput, VoiceFlowError
from voiceflow.rpc.registry import signature_from_wire
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.audit.log import AuditLog
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.channels.watch import WatchHub
from voiceflow_registry.collect import Collector
from voiceflow_registry.pods.pods import Pods
from voiceflow_registry.publishing.publish import Publishing
from voiceflow_registry.validations import Validations
from voiceflow_registry.versions.versions import Versions

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

Item = TypeVar("Item")
Sent = TypeVar("Sent", bound=Message)

_SIGNATURE_BYTES: Final = 64 << 10
_PAGE_BYTES: Final = 3 << 20
"""Callers take replies of 4 MiB, unless they say otherwise."""


@dataclass(frozen=True)
class Acts:
    """Everything that the registry can do.

    Attributes:
        versions: Reads, compares, hands out, yanks and deletes versions.
        publishing: Takes versions in.
        validations: Runs them through the gates.
        channels: Promotes them.
        hub: Tells watchers of promotions.
        pods: Hears what servers serve.
        collector: Removes what nothing refers to.
        audit: Records who does what.
        audit_entries: Tells it.
        default_policy: Holds for channels without one of their own.
    """

    versions: Versions
    publishing: Publishing
    validations: Validations
    channels: Channels
    hub: WatchHub
    pods: Pods
    collector: Collector
    audit: AuditLog
    audit_entries: AuditEntries
    default_policy: ChannelPolicy


@contextmanager
def fields_named(**names: str) -> Iterator[None]:
    """Errors tell the fields of the request; acts know them by other names."""
    try:
        yield
    except VoiceFlowError as error:
        error.field = names.get(error.field or "", error.field)
        raise


def parent_model(text: str, *, field: str = "parent") -> ModelName | None:
    """The model of a list; None for `models/-`, which means all.

    Raises:
        InvalidInput: NAME_INVALID.
    """
    return None if text == f"models/{ANY_MODEL}" else ModelName.parse(text, field=field)


def checked_request_id(text: str, *, field: str = "request_id") -> str:
    """A request id.

    Raises:
        InvalidInput: FIELD_INVALID, if it is neither empty nor a UUID.
    """
    if text:
        try:
            uuid.UUID(text)
        except ValueError:
            raise InvalidInput(
                f"{field}: {text[:100]!r} is no UUID", reason="FIELD_INVALID", field=field
            ) from None
    return text


def checked_signature(message: Message, *, path: str = "signature") -> Signature | None:
    """The field `signature` of a message.

    Raises:
        InvalidInput: FIELD_INVALID, if its content is too long.
    """
    signature = signature_from_wire(message, "signature")
    if signature is not None and len(signature.content) > _SIGNATURE_BYTES:
        field = f"{path}.content"
        raise InvalidInput(
            f"{field}: {len(signature.content)} bytes; allowed are {_SIGNATURE_BYTES}",
            reason="FIELD_INVALID",
            field=field,
        )
    return signature


def listed(
    read: Callable[[int], Page[Item]], page_size: int, to_wire: Callable[[Item], Sent]
) -> tuple[list[Sent], str]:
    """One page as messages, shorter than asked for if it would not fit into a reply.

    Args:
        read: Gives a page of some size.
        page_size: As asked for.
        to_wire: Maps an item.

    Returns:
        The messages, and the token of the next page.
    """
    page = read(page_size)
    messages = [to_wire(item) for item in page.items]
    sizes = accumulate(message.ByteSize() for message in messages)
    fitting = max(1, sum(size <= _PAGE_BYTES for size in sizes))
    if fitting < len(messages):
        page = read(fitting)
        messages = [to_wire(item) for item in page.items]
    return messages, page.next_page_token
