"""Makes changes safe to retry: a request that was carried out is answered again, not done again.

A change's record holds the request that made it. `requests/…` says which record a request makes: it
is written before the record, once, so that of two payloads under one id, wherever they arrive, one
is carried out. After a crash it may name a record that was never made; the same payload goes on
then. Entries are kept for good. Should they be lost, the records still tell.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping

from voiceflow.artifact import digest_of
from voiceflow.catalog.values import Value
from voiceflow.errors import InvalidInput
from voiceflow.identity.caller import Caller
from voiceflow_registry.records import Request, decode, encode
from voiceflow_registry.storage.object_store import ObjectMissing, ObjectStore, create_once


def request_of(
    caller: Caller, method: str, request_id: str, payload: Mapping[str, object]
) -> Request:
    """What a change's record remembers of who asked for it.

    Args:
        caller: Who.
        method: `PromoteVersion`.
        request_id: A UUID, written in any way; may be empty.
        payload: Everything else that was asked for, as what JSON can hold.

    Raises:
        InvalidInput: FIELD_INVALID, if the id is no UUID.
    """
    if request_id:
        try:
            request_id = str(uuid.UUID(request_id))
        except ValueError:
            raise InvalidInput(
                f"request_id: {request_id[:100]!r} is no UUID",
                reason="FIELD_INVALID",
                field="request_id",
            ) from None
    text = json.dumps([method, payload], sort_keys=True, separators=(",", ":"))
    return Request(
        principal=caller.principal, request_id=request_id, payload_digest=digest_of(text.encode())
    )


def same_request(request: Request, earlier: Request) -> bool:
    """Whether this request is that earlier one, sent again.

    Raises:
        InvalidInput: REQUEST_ID_REUSED, if it has its id and another payload.
    """
    if not request.request_id or (request.principal, request.request_id) != (
        earlier.principal,
        earlier.request_id,
    ):
        return False
    if request.payload_digest != earlier.payload_digest:
        raise InvalidInput(
            f"request_id: {request.request_id} was used before with another payload",
            reason="REQUEST_ID_REUSED",
            field="request_id",
        )
    return True


class _Entry(Value):
    request: Request
    key: str


class RequestIndex:
    """Finds the record that a request makes, or has made."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def find(self, request: Request) -> str | None:
        """Key of the record that this very request makes; None if none is known.

        The record may not be there, or be another request's, that was faster.

        Raises:
            InvalidInput: REQUEST_ID_REUSED.
        """
        if not request.request_id:
            return None
        key = _key(request)
        try:
            entry = decode(_Entry, self._store.get(key).content, key)
        except ObjectMissing:
            return None
        return entry.key if same_request(request, entry.request) else None

    def note(self, request: Request, key: str) -> str:
        """Remembers which record a request makes; to be done before it is made.

        Returns:
            Key of the record that was remembered first; another one if this request is carried out
            twice and its records have other keys.

        Raises:
            InvalidInput: REQUEST_ID_REUSED, if its id was first used with another payload.
        """
        if not request.request_id:
            return key
        index_key = _key(request)
        content = create_once(self._store, index_key, encode(_Entry(request=request, key=key)))
        entry = decode(_Entry, content, index_key)
        same_request(request, entry.request)
        return entry.key


def _key(request: Request) -> str:
    who = hashlib.sha256(request.principal.encode()).hexdigest()[:32]
    return f"requests/{who}/{uuid.UUID(request.request_id)}.json"
