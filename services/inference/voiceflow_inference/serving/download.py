"""What is asked of a registry, and how it can neither hold a pod up nor fill it up.

Without a trust root, what the registry says is believed. With one, nothing is: see `belief`.
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import Promotion, Role, VersionPin
from voiceflow.catalog.values import Value
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.registry import RegistryClient
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import (
    ContentCorrupt,
    LimitExceeded,
    Unavailable,
    VoiceFlowError,
)
from voiceflow.package import CheckManifest
from voiceflow.trust.envelopes import MAXIMUM_ENVELOPE_BYTES
from voiceflow.trust.statements import MAXIMUM_STATEMENT_BYTES
from voiceflow_inference.serving.belief import Belief
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.since import LOOK_BACK, Since, is_enough, roles_since

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Of one answer at most: a manifest of 1 MiB with its signature, or 50 promotions."""

ANSWER_SECONDS: Final = 60.0
"""Longer nobody waits for one answer."""

MAXIMUM_RECORD_BYTES: Final = 4 * MAXIMUM_STATEMENT_BYTES
"""Of a promotion in JSON: its statement, what the record repeats of it, by whom and why."""

MAXIMUM_SIGNATURE_BYTES: Final = 2 * MAXIMUM_ENVELOPE_BYTES
"""Of its signature in JSON."""

_PAUSE_SECONDS: Final = 1.0
_LOOK_BACK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """A package, and what it must prove when it is loaded.

    Attributes:
        folder: Where it is.
        manifest_digest: That it must have; None: any.
        check_manifest: Whom its signature must be of; None: it is not looked at.
    """

    folder: Path
    manifest_digest: Digest | None = None
    check_manifest: CheckManifest | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """Where promotions come from.

    Attributes:
        target: `host:port`.
        identity: Who asks, and whom it trusts; None: plain text.
        wait_seconds: How long it may stay away.
    """

    target: str
    identity: ClientIdentity | None
    wait_seconds: float

    def client(self, wait_seconds: float, answer_seconds: float = ANSWER_SECONDS) -> RegistryClient:
        """A client that waits so long for it and for an answer, and reads no endless one."""
        patience = RetryPolicy(
            attempts=max(1, round(wait_seconds / _PAUSE_SECONDS)),
            longest_pause_seconds=2 * _PAUSE_SECONDS,
        )
        return RegistryClient(
            self.target,
            identity=self.identity,
            retry=patience,
            timeout_seconds=answer_seconds,
            message_bytes=MESSAGE_BYTES,
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """What the registry says was promoted.

    Attributes:
        promotions: Since what is believed, the newest last.
        since: Since when each role of the newest is as it is, as far as that was told in time.
    """

    promotions: Sequence[Promotion]
    since: Mapping[Role, Since]


async def newest_steps(client: RegistryClient, belief: Belief, seconds: float) -> Steps:
    """What the registry says was promoted since what is believed.

    Args:
        client: Asks it.
        belief: Says how much of the history it needs.
        seconds: Longer it is not listened to.

    Raises:
        ContentCorrupt: PROMOTION_TOO_LONG, HISTORY_ENDLESS.
        VoiceFlowError: What the registry says, or that it is away.
    """
    steps: list[Promotion] = []
    async with aclosing(client.history(belief.channel)) as history:
        async with _at_most(seconds, _endless(belief)):
            async for promotion in history:
                _check_bounded(promotion)
                # Who signed the newest vouches for all: no other signature is kept.
                step = promotion.model_copy(update={"signature": None}) if steps else promotion
                steps.append(step)
                if belief.suffice(steps):
                    break
        since = await _since(steps, history) if steps else {}
    return Steps(steps[::-1], since)


async def fetch_version(
    client: RegistryClient, belief: Belief, cache: Cache, pin: VersionPin, seconds: float
) -> Found:
    """Sees to it that a pinned package is there, verified; asks nobody if it is.

    Args:
        client: Asks the registry.
        belief: Says whom its signature must be of.
        cache: Where it goes.
        pin: Which.
        seconds: Longer it is not waited for; `math.inf`: as long as it comes at all.

    Raises:
        LimitExceeded: DOWNLOAD_SLOW: the next call goes on from what came.
        Untrusted: It is not signed as it must be.
        ContentCorrupt: The registry sends something else.
        VoiceFlowError: CACHE_FULL; or what the registry says, or that it is away.
    """
    found = Found(cache.folder(pin), pin.manifest_digest, belief.check_manifest(pin))
    await asyncio.to_thread(cache.clear, pin)
    try:
        async with _at_most(seconds, _slow(pin, seconds)):
            for _ in range(_TRIES):
                await client.download(
                    pin.version,
                    found.folder,
                    manifest_digest=pin.manifest_digest,
                    check_manifest=found.check_manifest,
                )
                if await asyncio.to_thread(cache.use, pin):
                    return found
    except VoiceFlowError as error:
        cause = error.__cause__
        if not (isinstance(cause, OSError) and cause.errno in _FULL):
            raise
        await asyncio.to_thread(cache.make_room, pin)
        raise VoiceFlowError(
            f"{pin.version} does not fit onto the disk: {error.message}", reason="CACHE_FULL"
        ) from cause
    raise Unavailable(f"{pin.version}: another process removes it again", reason="CACHE_SHARED")


async def _since(
    steps: Sequence[Promotion], history: AsyncIterator[Promotion]
) -> Mapping[Role, Since]:
    """Looks further back, which is for people alone: where that fails, they are told less.

    What is looked at has come with the answer that brought the newest, as a rule.
    """
    known = list(steps)
    with suppress(VoiceFlowError, TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(_LOOK_BACK_SECONDS):
            while len(known) < LOOK_BACK and not is_enough(known):
                known.append(await anext(history))
    return roles_since(known)


def _check_bounded(promotion: Promotion) -> None:
    """Refuses what is longer than any promotion: a thousand may be held, and one is remembered."""
    record = promotion.model_copy(update={"signature": None})
    if (
        len(promotion.statement) > MAXIMUM_STATEMENT_BYTES
        or _size_bytes(record) > MAXIMUM_RECORD_BYTES
        or (promotion.signature and _size_bytes(promotion.signature) > MAXIMUM_SIGNATURE_BYTES)
    ):
        raise ContentCorrupt(
            f"the registry tells a promotion {promotion.sequence} that is longer than any can be",
            reason="PROMOTION_TOO_LONG",
        )


def _size_bytes(value: Value) -> int:
    """In JSON, as it is remembered."""
    return len(value.model_dump_json().encode())


@asynccontextmanager
async def _at_most(seconds: float, error: VoiceFlowError) -> AsyncIterator[None]:
    """Ends what a registry may never let end, with an error."""
    try:
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            yield
    except TimeoutError:
        raise error from None


def _endless(belief: Belief) -> ContentCorrupt:
    """Page after page may come, with nothing on it."""
    return ContentCorrupt(
        f"the registry does not come to an end with the history of {belief.channel}",
        reason="HISTORY_ENDLESS",
    )


def _slow(pin: VersionPin, seconds: float) -> LimitExceeded:
    """Byte after byte may come."""
    return LimitExceeded(
        f"{pin.version} did not arrive within {seconds:g} s; the next try goes on from what did",
        reason="DOWNLOAD_SLOW",
    )


_TRIES: Final = 3
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
