"""Resume tokens: what a client keeps, so that its conversation can go on with any server.

A token holds a snapshot of the stream, sealed: its client cannot read it, change it, or use it as
somebody else, and nobody can once its time is up.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from voiceflow.errors import InvalidInput, NotServed, TooLarge
from voiceflow.identity.sealing import Sealer
from voiceflow.pipeline.snapshot import Snapshot

_FIELD: Final = "config.resume_token"
_VERSION: Final = 3
_MAXIMUM_CONTENT_BYTES: Final = 4 * 1024 * 1024
_PURPOSE: Final = b"voiceflow stream\0"


@dataclass(frozen=True, slots=True)
class Resumption:
    """A stream that goes on.

    Attributes:
        session: Its name.
        model_digest: Of the manifest of the model that it was on.
        snapshot: Where it was, and what was known.
    """

    session: str
    model_digest: str
    snapshot: Snapshot = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Content:
    version: int
    session: str
    model_digest: str
    snapshot: Snapshot = field(repr=False)


class ResumeTokens:
    """Makes and reads them.

    Args:
        sealer: Seals.
        valid_seconds: How long one opens.
        now: The time of day.
    """

    def __init__(
        self,
        sealer: Sealer,
        valid_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sealer = sealer
        self._valid = timedelta(seconds=valid_seconds)
        self._now = now

    @property
    def given(self) -> bool:
        """Whether this server gives tokens: it has a key to seal them with."""
        return self._sealer.has_key

    def make(self, session: str, principal: str, model_digest: str, snapshot: Snapshot) -> bytes:
        """A token for one stream, at the end of its final regions; empty where none is given.

        Args:
            session: The stream's name.
            principal: Who alone may use it.
            model_digest: Of the manifest of the stream's model.
            snapshot: Of the stream.
        """
        try:
            return self._sealer.seal(
                _pack(_Content(_VERSION, session, model_digest, snapshot)),
                bound_to=_bound_to(principal),
                expire_time=self._now() + self._valid,
            )
        except (NotServed, TooLarge):  # no key, or nobody would open it: the stream goes on
            return b""

    def read(self, token: bytes, principal: str) -> Resumption:
        """What a token holds.

        Args:
            token: As the client sent it.
            principal: The caller.

        Raises:
            InvalidInput: RESUME_TOKEN_INVALID: it is none of this service, or not this caller's, or
                of a version of the software that this one does not know; RESUME_TOKEN_EXPIRED.
        """
        try:
            packed = self._sealer.open(token, bound_to=_bound_to(principal), now=self._now())
        except InvalidInput as error:
            raise InvalidInput(error.message, reason=error.reason, field=_FIELD) from None
        content = _unpack(packed)
        if content is None or content.version != _VERSION:
            raise InvalidInput(
                "the resume token is of another version of the software",
                reason="RESUME_TOKEN_INVALID",
                field=_FIELD,
            )
        return Resumption(content.session, content.model_digest, content.snapshot)


def _bound_to(principal: str) -> bytes:
    return _PURPOSE + principal.encode()


_CONTENT: Final = TypeAdapter(_Content)
_DIRECTIONS: Final = {"snapshot": {"voices": {"table": {"directions"}}}}
_LENGTH: Final = struct.Struct(">I")


def _pack(content: _Content) -> bytes:
    """Length, compressed JSON of all but the directions of voices, and these as they are."""
    text = zlib.compress(_CONTENT.dump_json(content, exclude=_DIRECTIONS), level=1)
    return _LENGTH.pack(len(text)) + text + content.snapshot.voices.table.directions


def _unpack(packed: bytes) -> _Content | None:
    """What was packed; None if it cannot be read.

    What cannot be read is not shown, nor raised: it holds voiceprints.
    """
    try:
        (length,) = _LENGTH.unpack_from(packed)
        end = _LENGTH.size + length
        text = zlib.decompressobj().decompress(packed[_LENGTH.size : end], _MAXIMUM_CONTENT_BYTES)
        content = _CONTENT.validate_json(text)
    except (struct.error, zlib.error, ValidationError):
        return None
    voices = content.snapshot.voices
    table = replace(voices.table, directions=packed[end:])
    return replace(content, snapshot=replace(content.snapshot, voices=replace(voices, table=table)))
