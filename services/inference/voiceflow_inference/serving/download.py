"""Fetches the version that a channel serves, once, before the service starts."""

from __future__ import annotations

import logging
from pathlib import Path

from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.registry import RegistryClient
from voiceflow.client.retry import RetryPolicy

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


async def download_promoted(
    registry: str,
    channel: ChannelName,
    cache: Path,
    *,
    identity: ClientIdentity | None,
    wait_seconds: float,
) -> Path:
    """Fetches the primary of a channel, as its newest promotion pins it.

    Args:
        registry: `host:port`.
        channel: Which is followed.
        cache: Holds one folder for each version and digest; what is there is not fetched again.
        identity: Who asks, and whom it trusts; None: plain text.
        wait_seconds: How long the registry may stay away.

    Returns:
        A verified package.

    Raises:
        NotFound: Nothing was ever promoted to the channel.
        Unavailable: The registry stayed away.
        ContentCorrupt: It sends something other than what was promoted.
    """
    patience = RetryPolicy(
        attempts=max(1, round(wait_seconds / _PAUSE_SECONDS)),
        longest_pause_seconds=2 * _PAUSE_SECONDS,
    )
    async with RegistryClient(registry, identity=identity, retry=patience) as client:
        promoted = await client.get_channel(channel)
        pin = promoted.rollout.primary
        _LOG.info("%s serves %s since promotion %d", channel, pin.version, promoted.sequence)
        folder = _folder(cache, pin)
        return await client.download(pin.version, folder, manifest_digest=pin.manifest_digest)


def _folder(cache: Path, pin: VersionPin) -> Path:
    """One for each content: two registries may know different bytes by one name."""
    name = VersionName.parse(pin.version)
    digest = pin.manifest_digest.removeprefix("sha256:")
    return cache / name.model / f"{name.version}-{digest[:16]}"
