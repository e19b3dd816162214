"""The client and the real registry, over connections that are cut."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.publishing import Package, package
from tests.fakes.registry import process, running
from voiceflow.catalog.channels import ChannelCursor, Heartbeat, Promotion
from voiceflow.client import RegistryClient
from voiceflow.client.registry import Progress, Stage
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import AlreadyExists, Conflict, VoiceFlowError

CHANNEL = "models/tones/channels/stable"
SOON = RetryPolicy(attempts=8, first_pause_seconds=0.01, longest_pause_seconds=0.5)
MEGABYTE = 1 << 20


def noise(size_bytes: int) -> bytes:
    """Bytes that look like weights."""
    return hashlib.shake_256(b"noise").digest(size_bytes)


def write(folder: Path, what: Package) -> Path:
    """A package in a folder."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(what.manifest)
    for name, content in what.files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
async def registry() -> AsyncIterator[str]:
    """Address of a real registry whose gates pass."""
    async with running() as (app, _):
        yield app.server.address


async def test_an_upload_that_is_cut_is_not_sent_twice(registry: str, tmp_path: Path) -> None:
    """Three cuts in the middle: what the registry has kept is not sent again."""
    folder = write(tmp_path / "package", package(weights=noise(24 * MEGABYTE)))
    async with cutting_proxy(registry) as (proxy, address):
        proxy.cut_after_bytes = [10 * MEGABYTE, 9 * MEGABYTE, 5 * MEGABYTE]
        seen: list[Progress] = []
        async with RegistryClient(address, retry=SOON) as client:
            published = await client.publish(folder, on_progress=seen.append)
            assert not published.already_published
        assert proxy.cut_after_bytes == []
        assert sum(one.stage is Stage.WAITING for one in seen) >= 3
        sent_again = proxy.passed_bytes - 24 * MEGABYTE
        # A cut loses what was on its way, and the part that was not yet kept.
        assert sent_again < 3 * 8 * MEGABYTE
    async with RegistryClient(registry) as client:
        fetched = await client.download(published.version.name, tmp_path / "fetched")
    for path in folder.iterdir():
        assert (fetched / path.name).read_bytes() == path.read_bytes()


async def test_the_same_package_again_sends_nothing(registry: str, tmp_path: Path) -> None:
    """Also under another request id; other bytes are told."""
    folder = write(tmp_path / "package", package(weights=noise(4 * MEGABYTE)))
    async with (
        cutting_proxy(registry) as (proxy, address),
        RegistryClient(address, retry=SOON) as client,
    ):
        await client.publish(folder)
        passed_bytes = proxy.passed_bytes
        assert (await client.publish(folder)).already_published
        assert proxy.passed_bytes - passed_bytes < 100_000
        other = write(tmp_path / "other", package(weights=b"other"))
        with pytest.raises(AlreadyExists):
            await client.publish(other)


async def test_a_weight_file_that_another_version_has_is_not_sent(
    registry: str, tmp_path: Path
) -> None:
    """Content is held by its digest."""
    async with (
        cutting_proxy(registry) as (proxy, address),
        RegistryClient(address, retry=SOON) as client,
    ):
        weights = noise(4 * MEGABYTE)
        await client.publish(write(tmp_path / "1", package("1.0.0", weights=weights)))
        passed_bytes = proxy.passed_bytes
        await client.publish(write(tmp_path / "2", package("1.0.1", weights=weights)))
        assert proxy.passed_bytes - passed_bytes < 100_000


async def test_a_check_before_publishing_keeps_nothing(registry: str, tmp_path: Path) -> None:
    """All of it is sent and looked at; nobody finds it after."""
    folder = write(tmp_path / "package", package(weights=noise(2 * MEGABYTE)))
    async with RegistryClient(registry) as client:
        checked = await client.publish(folder, validate_only=True)
        assert checked.version.publish_time is None
        assert checked.report.passed
        assert [model async for model in client.list_models()] == []


async def test_a_download_that_is_cut_goes_on_into_a_corrupt_cache(
    registry: str, tmp_path: Path
) -> None:
    """The damaged folder stands until the whole one takes its place."""
    what = package(weights=noise(12 * MEGABYTE))
    folder = write(tmp_path / "package", what)
    cache = write(tmp_path / "cache" / "1.0.0", what)
    damaged = bytearray(what.files["model.onnx"])
    damaged[5 * MEGABYTE] ^= 1
    (cache / "model.onnx").write_bytes(damaged)
    async with RegistryClient(registry) as client:
        published = await client.publish(folder)
    digest = published.version.manifest_digest
    async with cutting_proxy(registry) as (proxy, address):
        proxy.cut_after_bytes = [5 * MEGABYTE, 4 * MEGABYTE]
        async with RegistryClient(address, retry=SOON) as client:
            name = published.version.name
            fetched = await client.download(name, cache, manifest_digest=digest)
        assert proxy.cut_after_bytes == []
        assert proxy.passed_bytes < 20 * MEGABYTE
    assert fetched == cache
    for file, content in what.files.items():
        assert (cache / file).read_bytes() == content
    assert [path.name for path in cache.parent.iterdir()] == ["1.0.0"]


async def test_a_watch_outlives_its_registry(tmp_path: Path) -> None:
    """Killed, and started again on the same store: every promotion is told once, in order."""
    store = ("--store", str(tmp_path / "store"))
    told: list[int] = []
    news = asyncio.Event()

    async def follow(address: str) -> None:
        async with RegistryClient(address, retry=SOON) as client:
            cursors = [ChannelCursor(channel=CHANNEL)]
            async with aclosing(client.watch(cursors)) as events:
                async for event in events:
                    if isinstance(event, Promotion):
                        told.append(event.sequence)
                    if isinstance(event, Promotion | Heartbeat):
                        news.set()

    async def promote(address: str, version: str) -> None:
        async with RegistryClient(address, retry=SOON) as client:
            await client.promote(CHANNEL, f"models/tones/versions/{version}")

    async def until(sequence: int) -> None:
        while told[-1:] != [sequence]:
            news.clear()
            await asyncio.wait_for(news.wait(), 30)

    async with process(*store) as first:
        async with RegistryClient(first.address) as client:
            for version in ("1.0.0", "1.1.0", "1.2.0"):
                folder = write(tmp_path / version, package(version, weights=version.encode()))
                name = (await client.publish(folder)).version.name
                async for _ in client.validate(name, channel=CHANNEL):
                    pass
        async with cutting_proxy(first.address) as (proxy, address):
            watching = asyncio.create_task(follow(address))
            await asyncio.wait_for(news.wait(), 30)  # a channel that does not exist yet
            assert told == []
            await promote(first.address, "1.0.0")
            await until(1)
            await first.kill()
            async with process(*store) as second:
                await promote(second.address, "1.1.0")
                await promote(second.address, "1.2.0")
                proxy.upstream = second.address
                await until(3)
                async with RegistryClient(second.address) as client:
                    await client.rollback(CHANNEL)
                await until(4)
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    assert told == [1, 2, 3, 4]


async def test_of_two_who_promote_at_once_one_is_told(registry: str, tmp_path: Path) -> None:
    """Both stand on the same state; nothing is retried over it."""
    async with RegistryClient(registry) as client:
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            folder = write(tmp_path / version, package(version, weights=version.encode()))
            await client.publish(folder)
        first, _ = await client.promote(CHANNEL, "models/tones/versions/1.0.0")
        results = await asyncio.gather(
            *(
                client.promote(CHANNEL, f"models/tones/versions/{version}", etag=first.etag)
                for version in ("1.1.0", "1.2.0")
            ),
            return_exceptions=True,
        )
        lost = [one for one in results if isinstance(one, VoiceFlowError)]
        assert [type(one) for one in lost] == [Conflict]
        history = [one.sequence async for one in client.history(CHANNEL)]
    assert history == [2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_publishing_and_fetching_take_memory_that_does_not_grow(
    registry: str, tmp_path: Path
) -> None:
    """50 MB need no more than 1 MB does, but for what a stream has under way."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from voiceflow.client import RegistryClient\n"
        "async def main(address, folder):\n"
        "    async with RegistryClient(address) as client:\n"
        "        published = await client.publish(Path(folder))\n"
        "        await client.download(published.version.name, Path(folder + '-fetched'))\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
        # What resource.getrusage tells begins with the memory of the process that started it.
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    peaks = []
    for version, size_bytes in (("1.0.0", MEGABYTE), ("1.0.1", 50 * MEGABYTE)):
        folder = write(tmp_path / version, package(version, weights=noise(size_bytes)))
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, registry, str(folder)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await child.communicate()
        assert child.returncode == 0
        peaks.append(int(out) * 1024)
    assert peaks[1] - peaks[0] < 24 * MEGABYTE
