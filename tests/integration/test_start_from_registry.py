"""An inference service that starts from what a registry has promoted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service import Service, running_registry, running_service
from voiceflow.catalog.names import ChannelName
from voiceflow.cli.models.promoting import promote_version, publish_package
from voiceflow.client import DiarizationClient
from voiceflow.client.registry import RegistryClient


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A registry whose channels ask for no more than publishing does."""
    store = tmp_path_factory.mktemp("registry")
    with running_registry(store, demanded_gates="manifest") as service:
        yield service


async def test_a_package_goes_the_whole_way_once(registry: Service, stream_package: Path) -> None:
    """Published, run through the gates, promoted; the second time it is there already."""
    channel = ChannelName("tones", "whole-way")
    async with RegistryClient(registry.address) as client:
        first = await publish_package(client, stream_package)
        report, promotion = await promote_version(client, first.version, channel)
        assert report is not None
        assert report.passed
        again = await publish_package(client, stream_package)
        assert again.already_published
        assert await promote_version(client, again.version, channel) == (None, promotion)


async def test_the_service_fetches_and_serves_the_promoted_version(
    registry: Service, stream_package: Path, tmp_path: Path
) -> None:
    """By name and digest; what the cache holds is not fetched again, what is damaged there is."""
    async with RegistryClient(registry.address) as client:
        published = await client.publish(stream_package)
        await client.promote("models/tones/channels/stable", published.version.name)

    cached: list[Path] = []
    for damaged in (False, True):
        if damaged:
            (cached[0] / "model.onnx").write_bytes(b"damaged")
        with running_service(
            None, registry=registry.address, model="tones", cache_dir=str(tmp_path)
        ) as service:
            async with DiarizationClient(service.address) as client:
                state = await client.serving_state()
        assert state.generations[0].model_version == published.version.name
        cached = sorted(tmp_path.glob("tones/*"))  # noqa: ASYNC240 - nothing else waits
        assert [path.name[:5] for path in cached] == ["1.0.0"]
    digest = published.version.manifest_digest.removeprefix("sha256:")
    assert cached[0].name == f"1.0.0-{digest[:16]}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--registry", "127.0.0.1:1", "--registry-wait-seconds", "0.1"], "127.0.0.1:1"),
        (["--registry", "REGISTRY", "--model", "nobody"], "models/nobody/channels/stable"),
        (["--registry", "REGISTRY", "--model-dir", "x"], "either --model-dir or --registry"),
    ],
)
def test_a_service_that_finds_no_promoted_version_says_why(
    registry: Service, tmp_path: Path, arguments: list[str], said: str
) -> None:
    """One line, and a status that is not 0: no registry, no such channel, two sources."""
    command = [sys.executable, "-m", "voiceflow_inference", "--cache-dir", str(tmp_path)]
    command += [registry.address if word == "REGISTRY" else word for word in arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in {1, 2}
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
