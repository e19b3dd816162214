"""What the registry costs: publishing, promoting, and telling many watchers, on both stores.

    python -m benchmarks.registry [--runs 3] [--watchers 1000] [--json PATH]

Registries are child processes; the client, its digests and the stand-in for Google Cloud Storage
(`tests/fakes/gcs.py`, a Python server on loopback) take their share of the same cores, so figures
of the bucket say what the registry adds and nothing of Google's latency.

- Publish: a package of 50 MB over gRPC until every byte has been taken, and until it is committed:
  stored, hashed, put through gates 1 to 3, verified. Beside it in the same run the least that
  taking it needs, on the same disk: copying the files with fsync and hashing them three times (the
  client once, the registry before and after it stores them). Three packages of that
  size were published before it, so that what memory still grows by is not what the process needs
  once.
- Promote: versions promoted by turns, one after the other on one channel, and on eight channels at
  once.
- Watch: watchers spread over two registries on one store follow one channel; it is promoted through
  a third, so that every watcher depends on its registry's look at the store. The delay is counted
  from the moment at which the promoter has its answer to the moment at which a watcher has the
  promotion. Allowed are the time between two looks and half a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.arguments import count
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_registry
from tests.fakes import gcs
from voiceflow.artifact import Manifest, SemanticVersion, digest_of
from voiceflow.catalog.channels import ChannelCursor, Promotion
from voiceflow.catalog.names import ChannelName
from voiceflow.client.registry import Progress, RegistryClient, Stage
from voiceflow.package import MANIFEST_FILE, MODEL_FILE, load_package

_POLL_SECONDS = 1.0
_WATCHERS_OF_A_CONNECTION = 100
_LARGE_BYTES = 50_000_000
_BUCKET = "bench"
# Promoting is measured, not the gates: what publishing demands is enough.
_SETTINGS: Mapping[str, str | float] = {
    "demanded_gates": "manifest,graph,contract",
    "allow_downgrades": True,
    "poll_seconds": _POLL_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Publishing:
    """One package published.

    Attributes:
        megabytes: Of all its files.
        sending_seconds: Until the registry had taken every byte.
        seconds: Until it was committed.
        least_seconds: Copying and hashing the same bytes.
        resident_growth_megabytes: Memory of the registry after it, above before it.
    """

    megabytes: float
    sending_seconds: float
    seconds: float
    least_seconds: float
    resident_growth_megabytes: float


@dataclass(frozen=True, slots=True)
class Promoting:
    """Promotions a second."""

    one_channel_per_second: float
    eight_channels_per_second: float


@dataclass(frozen=True, slots=True)
class Watching:
    """How late watchers hear of a promotion, in seconds."""

    watchers: int
    promotions: int
    heard: int
    median_seconds: float
    p99_seconds: float
    maximum_seconds: float
    allowed_seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """All of it on one kind of store."""

    store: str
    publishing: Publishing
    promoting: Promoting
    watching: Watching


def rewrite(source: Path, folder: Path, version: str, *, padding_bytes: int = 0) -> Path:
    """A package as another version, its graph made heavier by a tensor that it needs.

    Args:
        source: A package with the stream contract.
        folder: Where to.
        version: To be called.
        padding_bytes: Of the tensor; zeros would be compressed somewhere, so it is noise.
    """
    shutil.copytree(source, folder)
    if padding_bytes:
        model = onnx.load(str(folder / MODEL_FILE))
        noise = np.random.default_rng(padding_bytes).standard_normal(padding_bytes // 4, np.float32)
        zero, speech = np.zeros(1, np.int64), model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = [f"{speech}.bare" if n == speech else n for n in node.output]
        tensors: dict[str, NDArray[Any]] = {
            "padding": noise,
            "padding.at": zero,
            "padding.zero": np.zeros(1, np.float32),
        }
        model.graph.initializer.extend(numpy_helper.from_array(t, n) for n, t in tensors.items())
        model.graph.node.extend(
            [
                helper.make_node("Gather", ["padding", "padding.at"], ["padding.one"]),
                helper.make_node("Mul", ["padding.one", "padding.zero"], ["padding.nothing"]),
                helper.make_node("Add", [f"{speech}.bare", "padding.nothing"], [speech]),
            ]
        )
        onnx.save(model, str(folder / MODEL_FILE))
    manifest = Manifest.from_json((folder / MANIFEST_FILE).read_bytes())
    contents = {name: (folder / name).read_bytes() for name in manifest.files}
    files = {name: digest_of(content) for name, content in contents.items()}
    sizes = {name: len(content) for name, content in contents.items()}
    new: SemanticVersion = manifest.version.parse(version)
    changed = manifest.model_copy(update={"version": new, "files": files, "sizes": sizes})
    (folder / MANIFEST_FILE).write_text(changed.to_json())
    return folder


async def publish(registry: Service, package: Path, scratch: Path) -> Publishing:
    """Publishes a package, then does the least that taking it needs."""
    size = await asyncio.to_thread(_size, package)
    before = registry.resident_bytes()
    sent: list[float] = []

    def look(progress: Progress) -> None:
        if progress.stage is Stage.CHECKING:
            sent.append(time.perf_counter())

    async with RegistryClient(registry.address, timeout_seconds=600) as client:
        started = time.perf_counter()
        await client.publish(package, on_progress=look)
        seconds = time.perf_counter() - started
    growth = registry.resident_bytes() - before
    return Publishing(
        megabytes=round(size / 1e6, 1),
        sending_seconds=round(sent[0] - started, 3),
        seconds=round(seconds, 3),
        least_seconds=round(_least(package, scratch), 3),
        resident_growth_megabytes=round(growth / 1e6, 1),
    )


def _size(package: Path) -> int:
    return sum(path.stat().st_size for path in package.iterdir())


def _least(package: Path, scratch: Path) -> float:
    started = time.perf_counter()
    for path in package.iterdir():
        target = scratch / path.name
        with path.open("rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
        for _ in range(3):
            with target.open("rb") as handle:
                hashlib.file_digest(handle, "sha256")
        target.unlink()
    return time.perf_counter() - started


async def promote(registry: Service, model: str, versions: Sequence[str]) -> Promoting:
    """Promotes two versions by turns."""

    async def by_turns(client: RegistryClient, channel: ChannelName, times: int) -> None:
        state, _ = await client.promote(channel, versions[-1], etag="")
        for turn in range(times):
            version = versions[turn % len(versions)]
            state, _ = await client.promote(channel, version, etag=state.etag, allow_downgrade=True)

    async with RegistryClient(registry.address) as client:
        started = time.perf_counter()
        await by_turns(client, ChannelName(model, "alone"), 200)
        one = 201 / (time.perf_counter() - started)
        channels = [ChannelName(model, f"channel-{number}") for number in range(8)]
        started = time.perf_counter()
        await asyncio.gather(*(by_turns(client, channel, 50) for channel in channels))
        eight = 8 * 51 / (time.perf_counter() - started)
    return Promoting(round(one, 1), round(eight, 1))


async def watch(
    promoter: Service, others: Sequence[Service], channel: ChannelName, versions: Sequence[str],
    watchers: int,
) -> Watching:  # fmt: skip
    """Promotes while many watch."""
    promotions = 20
    heard: list[tuple[int, float]] = []
    told: dict[int, float] = {}
    ready = asyncio.Semaphore(0)

    async def follow(client: RegistryClient) -> None:
        cursor = ChannelCursor(channel=str(channel), after_sequence=0)
        async with aclosing(client.watch([cursor])) as events:
            async for event in events:
                if not isinstance(event, Promotion):
                    ready.release()  # a policy or a heartbeat: the watch stands
                    continue
                heard.append((event.sequence, time.perf_counter()))
                if event.sequence == promotions:
                    return

    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(RegistryClient(others[n % len(others)].address))
            for n in range(-(-watchers // _WATCHERS_OF_A_CONNECTION))
        ]
        tasks = [asyncio.create_task(follow(clients[n % len(clients)])) for n in range(watchers)]
        for _ in range(watchers):
            await ready.acquire()
        async with RegistryClient(promoter.address) as client:
            etag = ""
            for sequence in range(1, promotions + 1):
                state, _ = await client.promote(
                    channel, versions[sequence % len(versions)], etag=etag, allow_downgrade=True
                )
                told[sequence] = time.perf_counter()
                etag = state.etag
                await asyncio.sleep(0.73 * _POLL_SECONDS)  # not in step with any look
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
    delays = np.array([at - told[sequence] for sequence, at in heard])
    median, p99, most = np.percentile(delays, [50, 99, 100])
    return Watching(
        watchers, promotions, len(heard), round(float(median), 3), round(float(p99), 3),
        round(float(most), 3), _POLL_SECONDS + 0.5,
    )  # fmt: skip


async def measure(name: str, store: str, settings: dict[str, str | float], watchers: int) -> Run:
    """Everything on one store."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_var())))
        large = [
            rewrite(DEFAULT_MODEL, scratch / v, v, padding_bytes=_LARGE_BYTES - 6_000_000 + 4 * n)
            for n, v in enumerate(("1.0.0", "2.0.0", "3.0.0", "4.0.0"))
        ]
        small = [rewrite(DEFAULT_MODEL, scratch / v, v) for v in ("1.0.1", "1.0.2")]
        manifest = load_package(small[0]).manifest
        registries = [
            stack.enter_context(running_registry(store, **_SETTINGS, **settings)) for _ in range(3)
        ]
        publishing = [await publish(registries[0], package, scratch) for package in large][-1]
        async with RegistryClient(registries[0].address) as client:
            versions = [(await client.publish(folder)).version.name for folder in small]
        promoting = await promote(registries[0], manifest.model, versions)
        watched = ChannelName(manifest.model, "watched")
        watching = await watch(registries[0], registries[1:], watched, versions, watchers)
        return Run(name, publishing, promoting, watching)


def _var() -> Path:
    folder = Path("var/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _stores() -> Iterator[list[tuple[str, str, dict[str, str | float]]]]:
    """Name, setting and further settings of each kind of store."""
    with tempfile.TemporaryDirectory(dir=_var()) as folder, gcs.serving() as server:
        server.add_bucket(_BUCKET)
        yield [
            ("folder", str(Path(folder) / "store"), {}),
            ("bucket", f"gs://{_BUCKET}/registry", {"gcs_endpoint": server.endpoint}),
        ]


def table(runs: Sequence[Run]) -> str:
    """For people, as Markdown."""
    columns = {"store": "---", "taken MB/s": "---:", "times the least": "---:"}
    columns |= {
        "committed s": "---:",
        "memory MB": "---:",
        "promotions/s": "---:",
        "of 8 channels": "---:",
    }
    columns |= {"watchers": "---:", "median s": "---:", "P99 s": "---:", "allowed s": "---:"}
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(columns.values())}|"]
    for run in runs:
        one, two, three = run.publishing, run.promoting, run.watching
        lines.append(
            f"| {run.store} | {one.megabytes / one.sending_seconds:.0f} | "
            f"{one.sending_seconds / one.least_seconds:.1f} | {one.seconds:.1f} | "
            f"{one.resident_growth_megabytes:+.0f} | "
            f"{two.one_channel_per_second:.0f} | {two.eight_channels_per_second:.0f} | "
            f"{three.heard // three.promotions} | {three.median_seconds:.2f} | "
            f"{three.p99_seconds:.2f} | {three.allowed_seconds:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=count, default=3)
    parser.add_argument("--watchers", type=count, default=1000)
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.runs):
        with _stores() as stores:
            for name, store, settings in stores:
                runs.append(asyncio.run(measure(name, store, settings, arguments.watchers)))
                print(table(runs[-1:]), flush=True)
    origin = provenance(load_package(DEFAULT_MODEL), arguments.runs)
    text = f"{origin}\n\n{table(runs)}"
    print(text)
    if arguments.json:
        document = {"provenance": asdict(origin), "runs": [asdict(run) for run in runs]}
        write_report(arguments.json, document, text)


if __name__ == "__main__":
    main()
