"""A version serves only after it was verified, looked at apart, loaded here and warmed."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.fakes import bombs
from tests.fakes.models import write_stream_package
from tests.fakes.planted import greedy_graph, short_spoiling_graph
from tests.unit.inference.fakes import Adder
from voiceflow.artifact import LatencyMode, Manifest, digest_of
from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow.errors import NotAllowedNow, Overloaded, PackageInvalid, Unavailable
from voiceflow.package import load_package
from voiceflow.pipeline.model import FloatArray, Frames, State
from voiceflow.provider import Provider
from voiceflow.validation.sandbox import JsonValue
from voiceflow_inference.batcher import ModelFailed, Urgency
from voiceflow_inference.serving import load_child, loading
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.loading import Loader
from voiceflow_inference.settings import Settings

PIN = VersionPin(version="models/tones/versions/1.0.0")
ADDER = VersionPin(version="models/adder/versions/1.0.0")


LOOK = "voiceflow_inference.serving.load_child"


def chosen(**settings: Any) -> Settings:
    """With small batches."""
    given: dict[str, Any] = {"model_dir": Path("unused"), "batch_limit": 2} | settings
    return Settings(**given)


def loader(child: str = LOOK, **settings: Any) -> Loader:
    """With small batches."""
    return Loader(chosen(**settings), lambda: None, child)


@asynccontextmanager
async def loaded(
    folder: Path, pin: VersionPin = PIN, **settings: Any
) -> AsyncIterator[tuple[Generation, list[GenerationState]]]:
    """A generation, and the states that it went through."""
    states: list[GenerationState] = []
    generation = await loader(**settings).load(Found(folder), pin, 7, states.append)
    try:
        yield generation, states
    finally:
        await generation.close()


async def refusal(folder: Path, pin: VersionPin = PIN, **settings: Any) -> PackageInvalid:
    """Why a version is not loaded; it is never warmed then."""
    states: list[GenerationState] = []
    with pytest.raises(PackageInvalid) as caught:
        await loader(**settings).load(Found(folder), pin, 7, states.append)
    assert states == [GenerationState.LOADING]
    assert children() == []
    return caught.value


def children() -> list[psutil.Process]:
    """Processes that look at a version."""
    running = psutil.Process().children(recursive=True)
    return [process for process in running if {"load_child", "unlucky"} & _words(process)]


def _words(process: psutil.Process) -> set[str]:
    with suppress(psutil.NoSuchProcess):
        return set(" ".join(process.cmdline()).replace(".", " ").split())
    return set()


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Puts another file into a package, as its publisher could have."""
    (folder / name).write_bytes(content)
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    fields = manifest.model_dump()
    fields["files"][name] = digest_of(content)
    fields["sizes"][name] = len(content)
    (folder / "manifest.json").write_text(Manifest.model_validate(fields).to_json())


async def test_a_loaded_version_computes(stream_package: Path) -> None:
    """Its engine runs; it knows what it is, to the digest, and what it costs."""
    digest = digest_of((stream_package / "manifest.json").read_bytes())
    async with loaded(stream_package) as (generation, states):
        assert states == [GenerationState.LOADING, GenerationState.WARMING]
        assert generation.number == 7
        assert generation.name == PIN.version
        assert generation.pin == VersionPin(version=PIN.version, manifest_digest=digest)
        assert set(generation.costs) == set(generation.stream_costs) == set(LatencyMode)
        lane = generation.batcher.open_lane()
        frames = await lane.run(np.zeros(1280, np.float32), 0, Urgency.LIVE)
        assert frames.speech.shape == (2,)
        assert generation.tally.evidence().hops == 1
    assert children() == []
    assert not hasattr(generation, "model")
    with pytest.raises(ModelFailed):
        await lane.run(np.zeros(1280, np.float32), 0, Urgency.LIVE)
    await generation.close()


@pytest.mark.parametrize(
    "pin",
    [
        VersionPin(version="models/tones/versions/1.0.1"),
        VersionPin(version=PIN.version, manifest_digest=digest_of(b"another")),
    ],
    ids=["version", "digest"],
)
async def test_a_package_of_something_else_is_refused(
    stream_package: Path, pin: VersionPin
) -> None:
    """What a folder holds is not what its name says."""
    assert (await refusal(stream_package, pin)).reason == "DIGEST_MISMATCH"


async def test_what_is_found_apart_is_told_as_it_was_found(tmp_path: Path) -> None:
    """With message and field: golden outputs that are not reproduced."""
    folder = write_stream_package(tmp_path)
    golden = dict(np.load(folder / "golden.npz"))
    golden["noise/speech"] = golden["noise/speech"] + 1
    np.savez(tmp_path / "other.npz", allow_pickle=False, **golden)
    replace_file(folder, "golden.npz", (tmp_path / "other.npz").read_bytes())
    error = await refusal(folder)
    assert (error.reason, error.field) == ("GOLDEN_MISMATCH", "files.golden.npz")
    assert "speech is 1 away" in error.message
    with (folder / "model.onnx").open("rb") as graph, (folder / "golden.npz").open("rb") as stated:
        arguments: dict[str, JsonValue] = {
            "manifest": (folder / "manifest.json").read_text(),
            "batch": 1,
            "provider": "cpu",
        }
        answer = load_child.look({"model.onnx": graph, "golden.npz": stated}, arguments)
    assert answer == {"reason": error.reason, "message": error.message, "field": error.field}


async def test_what_gives_nan_for_noise_is_refused(tmp_path: Path) -> None:
    """Golden outputs may be of hops of another length than the one that spoils."""
    folder = write_stream_package(tmp_path, graph=short_spoiling_graph())
    assert (await refusal(folder)).reason == "MODEL_OUTPUT_NOT_FINITE"


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (bombs.nested_functions, "MODEL_LOAD_SLOW"),
        (greedy_graph, "MODEL_TOO_LARGE"),
        (bombs.garbage, "GRAPH_REFUSED"),
    ],
)
async def test_what_takes_too_much_is_ended(
    tmp_path: Path, graph: Callable[[], bytes], reason: str
) -> None:
    """Time and memory are limited where it is looked at, and a file that is none is told so."""
    folder = write_stream_package(tmp_path)
    replace_file(folder, "model.onnx", graph())
    assert (await refusal(folder, load_seconds=2)).reason == reason


@pytest.mark.parametrize(
    ("word", "reason", "seen"),
    [
        ("nonsense", "MODEL_CRASHED", "nonsense"),
        ("almost", "MODEL_CRASHED", "nonsense"),
        ("flood", "MODEL_CRASHED", "more than one line of 16384 bytes"),
        ("long", "GOLDEN_MISMATCH", "xxx…"),
    ],
)
async def test_what_is_said_apart_is_not_believed(
    tmp_path: Path, word: str, reason: str, seen: str
) -> None:
    """More than a refusal nobody in there can bring about, and that only in a few words."""
    folder = write_stream_package(tmp_path, f"1.0.0-{word}")
    pin = VersionPin(version=f"{PIN.version}-{word}")
    error = await refusal(folder, pin, child="tests.fakes.unlucky")
    assert error.reason == reason
    assert seen in error.message
    assert len(error.message) <= 500
    assert error.message.isprintable()


def refused_provider(use: Callable[[], object]) -> None:
    """What is told to compute on CUDA says that the build here has only the processor."""
    with pytest.raises(NotAllowedNow, match="has no CUDAExecutionProvider") as caught:
        use()
    assert caught.value.reason == "PROVIDER_MISSING"


def test_every_place_that_opens_a_session_is_told_the_provider(stream_package: Path) -> None:
    """Before there is a version; in the process that looks at one; in the one that serves it."""
    package = load_package(stream_package)
    look = loading._FirstLook(LOOK, package, stream_package, chosen(provider="cuda"))
    refused_provider(lambda: loader(provider="cuda"))
    refused_provider(look.run)
    refused_provider(lambda: loading._load_here(package, 1, "cuda"))


@pytest.mark.parametrize("left_out", ["bind", "reproduce"])
def test_each_session_of_a_version_is_told_the_provider(
    stream_package: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """That which runs it, and that which tries its golden outputs, apart and here."""
    for module in (loading, load_child):
        monkeypatch.setattr(module, left_out, lambda *_, **__: None)
    package = load_package(stream_package)
    refused_provider(lambda: loading._load_here(package, 1, "cuda"))
    files = {name: (stream_package / name).open("rb") for name in ("model.onnx", "golden.npz")}
    with files["model.onnx"], files["golden.npz"]:
        arguments: dict[str, JsonValue] = {
            "manifest": package.manifest.to_json(),
            "batch": 1,
            "provider": "cuda",
        }
        answer = load_child.look(files, arguments)
    assert isinstance(answer, dict)
    assert answer["reason"] == "PROVIDER_MISSING"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a layer of the sandbox")
def test_beside_a_gpu_devices_may_be_opened_while_a_version_is_looked_at(tmp_path: Path) -> None:
    """Its driver does; on the processor nothing does."""
    folder = write_stream_package(tmp_path, "1.0.0-device")
    package = load_package(folder)

    def look(provider: Provider) -> None:
        settings = chosen(provider=provider)
        loading._FirstLook("tests.fakes.unlucky", package, folder, settings).run()

    with pytest.raises(PackageInvalid, match="/dev/null") as caught:
        look("cpu")
    assert caught.value.reason == "MODEL_CRASHED"
    refused_provider(lambda: look("cuda"))


async def test_a_device_that_is_gone_is_no_fault_of_the_version(tmp_path: Path) -> None:
    """The version is not left for it, but tried again."""
    folder = write_stream_package(tmp_path, "1.0.0-gone")
    pin = VersionPin(version=f"{PIN.version}-gone")
    with pytest.raises(Unavailable, match="no device") as caught:
        await loader("tests.fakes.unlucky").load(Found(folder), pin, 7, lambda _: None)
    assert caught.value.reason == "PROVIDER_UNUSABLE"


async def test_who_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """The process that looks is ended, however deep in the model it is."""
    folder = write_stream_package(tmp_path, "1.0.0-hang")
    pin = VersionPin(version=f"{PIN.version}-hang")
    load = loader("tests.fakes.unlucky").load(Found(folder), pin, 1, lambda _: None)
    task = asyncio.create_task(load)
    async with asyncio.timeout(60):
        # The one that starts others, and the one that looks.
        while len(children()) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


class Slow(Adder):
    """Runs until it is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Raises, in the end."""
        del audio, state
        self.ended.wait()
        raise RuntimeError("ended")

    def terminate(self) -> None:
        """Ends it."""
        self.ended.set()


async def test_what_does_not_get_warm_is_ended() -> None:
    """Also where nothing was seen of it apart."""
    model = Slow()
    with pytest.raises(PackageInvalid) as caught:
        await loader(load_seconds=0.01).warmed(model, ADDER, 1, lambda _: None)
    assert caught.value.reason == "MODEL_LOAD_SLOW"
    assert model.ended.is_set()


async def test_what_fails_while_it_is_warmed_is_refused() -> None:
    """It is no defect of the server."""
    model = Slow()
    model.terminate()
    with pytest.raises(PackageInvalid) as caught:
        await loader().warmed(model, ADDER, 1, lambda _: None)
    assert caught.value.reason == "MODEL_CRASHED"


async def test_there_is_room_for_every_stream_and_its_successor() -> None:
    """A slot is free a moment later than the place of its stream."""
    generation = await loader(streams=3, files=1).warmed(Adder(), ADDER, 1, lambda _: None)
    for _ in range(8):
        generation.batcher.open_lane()
    with pytest.raises(Overloaded):
        generation.batcher.open_lane()
    await generation.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs priorities of threads")
async def test_the_first_is_loaded_like_anything_else_and_the_next_behind_everything() -> None:
    """Nobody is served before the first, and everybody waits for it."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    nices: list[int] = []

    class Watched(Adder):
        def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
            nices.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().run(audio, state)

    loads = loader()
    for number in (1, 2):
        generation = await loads.warmed(Watched(), ADDER, number, lambda _: None)
        await generation.close()
    first = nices[: len(nices) // 2]
    assert (max(first) > own, min(nices[len(first) :]) > own) == (False, True)


async def test_threads_of_a_model_do_not_step_back(stream_package: Path) -> None:
    """Though it is loaded behind everything else, it computes beside everything else."""

    def nices() -> dict[str, int]:
        nices = {}
        for task in Path("/proc/self/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                nices[task.name] = int((task / "stat").read_text().rpartition(")")[2].split()[16])
        return nices

    before = nices()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    async with loaded(stream_package, threads=3), asyncio.timeout(30):
        while True:
            new = [nice for task, nice in nices().items() if task not in before]
            if len(new) >= 3 and set(new) == {own}:  # the engine, and two that help it
                break
            await asyncio.sleep(0.01)  # threads that have loaded it are about to end
