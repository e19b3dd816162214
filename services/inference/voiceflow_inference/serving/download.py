"""Finds the package that a pod serves: once, before the service starts.

Without a trust root, what the registry says is believed. With one, nothing is: see `trusting`; and
where the registry is away, or says what cannot be trusted, the pod goes on with what it held when
it last served.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import Promotion, VersionPin
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.values import Value
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.registry import RegistryClient
from voiceflow.client.registry.downloading import check_replaceable, is_complete
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import (
    ContentCorrupt,
    LimitExceeded,
    NotAllowedNow,
    Unavailable,
    VoiceFlowError,
)
from voiceflow.package import CheckManifest
from voiceflow.trust.envelopes import MAXIMUM_ENVELOPE_BYTES
from voiceflow.trust.statements import MAXIMUM_STATEMENT_BYTES
from voiceflow.trust.trusted import MAXIMUM_JUMP
from voiceflow_inference.serving.trusting import TrustedChannel

_LOG = logging.getLogger(__name__)

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Of one answer at most: a manifest of 1 MiB with its signature, or 50 promotions."""

ANSWER_SECONDS: Final = 60.0
"""Longer nobody waits for one answer."""

WARM_WAIT_SECONDS: Final = 10.0
"""Longer a pod that holds a package does not wait for a registry that may know of a newer one."""

WARM_FETCH_SECONDS: Final = 120.0
"""Longer it does not fetch a newer one; what has come by then is taken up at the next start."""

MAXIMUM_RECORD_BYTES: Final = 4 * MAXIMUM_STATEMENT_BYTES
"""Of a promotion in JSON: its statement, what the record repeats of it, by whom and why."""

MAXIMUM_SIGNATURE_BYTES: Final = 2 * MAXIMUM_ENVELOPE_BYTES
"""Of its signature in JSON."""

REGISTRY: Final = "registry"
"""Subject of the alarm about a registry that says what cannot be trusted."""

_PAUSE_SECONDS: Final = 1.0


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


async def download_promoted(registry: Registry, channel: ChannelName, cache: Path) -> Found:
    """Fetches the primary of a channel, as its newest promotion pins it, and believes it.

    Args:
        registry: Is asked.
        channel: Which is followed.
        cache: Holds one folder for each version and digest; what is there is not fetched again.

    Raises:
        NotFound: Nothing was ever promoted to the channel.
        Unavailable: The registry stayed away.
        ContentCorrupt: It sends something other than what was promoted.
    """
    async with registry.client(registry.wait_seconds) as client:
        promoted = await client.get_channel(channel)
        pin = promoted.rollout.primary
        _LOG.info("%s serves %s since promotion %d", channel, pin.version, promoted.sequence)
        return await _fetch(client, pin, Found(_folder(cache, pin), pin.manifest_digest))


async def download_trusted(registry: Registry, trusted: TrustedChannel, cache: Path) -> Found:
    """Fetches the primary of a channel's newest promotion, if both can be trusted.

    Otherwise the package that was held before is gone on with, if that still can be: an alarm says
    why, where somebody has to look at it. However slowly the registry talks, that is decided after
    the seconds that are stated here.

    Args:
        registry: Is asked, and not believed.
        trusted: What is trusted of the channel.
        cache: As for `download_promoted`.

    Raises:
        VoiceFlowError: Why the newest one is not served, where none is held; or why the held one
            cannot be: whoever signed it is not trusted any more, or its package is gone.
    """
    wait_seconds, answer_seconds, fetch_seconds = registry.wait_seconds, ANSWER_SECONDS, None
    if trusted.held is not None:
        wait_seconds = answer_seconds = min(wait_seconds, WARM_WAIT_SECONDS)
        fetch_seconds = WARM_FETCH_SECONDS
    try:
        async with registry.client(wait_seconds, answer_seconds) as client:
            async with _at_most(wait_seconds + answer_seconds, _endless(trusted)):
                steps = await _since_trusted(client, trusted)
            newest = trusted.take(steps)
            pin = newest.rollout.primary
            async with _at_most(fetch_seconds, _slow(pin)):
                found = await _fetch(client, pin, _pinned(trusted, pin, cache))
        trusted.hold(newest)
    except VoiceFlowError as error:
        held = trusted.check_held()
        if held is None:
            raise
        _tell(trusted, held, error)
        return await _hold_on(registry, trusted, held.rollout.primary, cache)
    trusted.alarms.clear(REGISTRY)
    _LOG.info("promotion %d of %s is trusted", newest.sequence, trusted.channel)
    return found


async def _since_trusted(client: RegistryClient, trusted: TrustedChannel) -> list[Promotion]:
    """What the registry says was promoted since the trusted promotion, the newest last."""
    steps: list[Promotion] = []
    async with aclosing(client.history(trusted.channel)) as history:
        async for promotion in history:
            _check_bounded(promotion)
            # Who signed the newest vouches for all: no other signature is kept.
            steps.append(promotion.model_copy(update={"signature": None}) if steps else promotion)
            if _suffice(steps, trusted.sequence):
                break
    return steps[::-1]


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
async def _at_most(seconds: float | None, error: VoiceFlowError) -> AsyncIterator[None]:
    """Ends what a registry may never let end, with an error; None: waits for ever."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise error from None


def _endless(trusted: TrustedChannel) -> ContentCorrupt:
    """Page after page may come, with nothing on it."""
    return ContentCorrupt(
        f"the registry does not come to an end with the history of {trusted.channel}",
        reason="HISTORY_ENDLESS",
    )


def _slow(pin: VersionPin) -> LimitExceeded:
    """Byte after byte may come."""
    return LimitExceeded(
        f"{pin.version} did not arrive within {WARM_FETCH_SECONDS:g} s; the next start goes on"
        " from what did",
        reason="DOWNLOAD_SLOW",
    )


def _suffice(steps: Sequence[Promotion], trusted_sequence: int) -> bool:
    """Whether promotions, newest first, lead on from the trusted one, or never will."""
    newest, oldest = steps[0].sequence, steps[-1].sequence
    return (
        trusted_sequence == 0
        or oldest <= trusted_sequence + 1
        or oldest != newest - len(steps) + 1
        or newest > trusted_sequence + MAXIMUM_JUMP
    )


async def _hold_on(
    registry: Registry, trusted: TrustedChannel, pin: VersionPin, cache: Path
) -> Found:
    """The package that was held, verified anew; fetched again if it is damaged."""
    found = _pinned(trusted, pin, cache)
    if not await asyncio.to_thread(
        is_complete, found.folder, pin.manifest_digest, found.check_manifest
    ):
        async with registry.client(min(registry.wait_seconds, WARM_WAIT_SECONDS)) as client:
            await _fetch(client, pin, found)
    trusted.look()
    return found


def _tell(trusted: TrustedChannel, held: Promotion, error: VoiceFlowError) -> None:
    """Says why the pod goes on with what it held.

    That the registry is away is no alarm, unless a newer promotion is known and does not arrive.
    """
    away = isinstance(error, Unavailable) or error.reason == "DEADLINE_EXCEEDED"
    if away and trusted.sequence == held.sequence:
        _LOG.warning("goes on with promotion %d: %s", held.sequence, error.message)
    else:
        trusted.alarms.sound(REGISTRY, error.reason, error.message)


async def _fetch(client: RegistryClient, pin: VersionPin, found: Found) -> Found:
    """Sees to it that a pinned package is there, verified; asks nobody if it is."""
    await asyncio.to_thread(_clear, found.folder)
    await client.download(
        pin.version,
        found.folder,
        manifest_digest=pin.manifest_digest,
        check_manifest=found.check_manifest,
    )
    return found


def _clear(folder: Path) -> None:
    """Removes what stands in a package's place and is none: the cache is this service's own."""
    try:
        check_replaceable(folder)
    except NotAllowedNow as error:
        _LOG.warning("it is removed: %s", error.message)
        with suppress(OSError):  # what cannot be removed the download refuses
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            else:
                folder.unlink()


def _pinned(trusted: TrustedChannel, pin: VersionPin, cache: Path) -> Found:
    return Found(_folder(cache, pin), pin.manifest_digest, trusted.check_manifest(pin))


def _folder(cache: Path, pin: VersionPin) -> Path:
    """One for each content: two registries may know different bytes by one name."""
    name = VersionName.parse(pin.version)
    digest = pin.manifest_digest.removeprefix("sha256:")
    return cache / name.model / f"{name.version}-{digest[:16]}"
