"""What is signed on the way in, a registry hands on so that a pod trusts it."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.models import write_stream_package
from tests.fakes.registry import running
from tests.fakes.simulated_registry import NOW, Pod
from tests.fakes.trust import CHANNEL, key, trust_roots
from voiceflow.client.registry import RegistryClient


async def test_a_signed_version_goes_the_whole_way(tmp_path: Path) -> None:
    """Published, promoted, replaced and rolled back to: a pod follows, and stays without alarm."""
    trust_root = tmp_path / "trust-root.json"
    trust_root.write_bytes(trust_roots().to_json())
    versions = []
    async with running(trust_root=trust_root, demanded_gates="manifest") as (app, _):
        address = app.server.address
        pod = Pod(tmp_path / "pod", address, now=NOW)
        async with RegistryClient(address) as client:
            for version in ("1.0.0", "1.1.0"):
                folder = write_stream_package(tmp_path / version, version, model=CHANNEL.model)
                published = await client.publish(folder, signing_key=key("publisher"))
                versions.append(published.version.name)
                await client.promote(CHANNEL, versions[-1], signing_key=key("promoter"))
                assert await pod.start() == version
            await client.rollback(CHANNEL, signing_key=key("promoter"))
        assert await pod.start() == "1.0.0"
        assert pod.alarms.raised == {}
        assert pod.remembers().trusted.sequence == 3
