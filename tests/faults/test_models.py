"""Models that do harm: as files, R5 to R16, and R41 as far as processes go; served, I22 to I29.

Each file is refused by gate 2 with its rule, in bounded time; and what it could do without that
gate is held by the sandbox all the same. Those that are served harm nobody but their own streams,
and these go on with another version, from the very hop that failed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.fakes import bombs
from tests.fakes.models import write_stream_package
from tests.fakes.planted import LOUD, hanging_graph, spoiling_graph
from tests.unit.validation.sandbox.acting import gone, need
from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.gates import Finding
from voiceflow.errors import PackageInvalid
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.validation.gates.graph import graph_gate
from voiceflow.validation.sandbox import Layer, Limits, Sandbox, SandboxFailure
from voiceflow.validation.values import Candidate
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher, Lane, ModelFailed, Urgency
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.loading import Loader
from voiceflow_inference.settings import Settings

QUIET = 0.3
ROOT = Path(__file__).resolve().parents[2]
GIB = 1024**3
LIMITS = Limits(cpu_seconds=1, wall_seconds=60, address_space_bytes=2 * GIB)
PATIENCE_SECONDS = 150
"""Nothing here may take longer on a busy machine; the bombs would take hours, or for ever."""

Looked = Callable[[bytes], list[Finding]]
Load = Callable[..., Coroutine[None, None, Generation]]
Failed = Callable[[str, bytes, Limits], SandboxFailure]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """All the layers that this machine has, with probes that look at nothing before they load."""
    with Sandbox(floor=frozenset(), probes="tests.fakes.unguarded") as sandbox:
        need(sandbox, Layer.RLIMITS)
        yield sandbox


@pytest.fixture(autouse=True)
def nothing_left(sandbox: Sandbox) -> Iterator[None]:
    """Each file is dealt with in time, and leaves no process, dead or alive."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert psutil.Process(sandbox.helper_pid).children(recursive=True) == []


@pytest.fixture
def looked(sandbox: Sandbox, tmp_path: Path) -> Looked:
    """What gate 2 finds in a file."""

    def look(content: bytes) -> list[Finding]:
        (tmp_path / "model.onnx").write_bytes(content)
        return list(graph_gate(sandbox, Candidate(b"", tmp_path)).findings)

    return look


@pytest.fixture
def failed(sandbox: Sandbox, tmp_path: Path) -> Failed:
    """How a conversation ends whose probe has no guard of its own."""

    def fail(probe: str, content: bytes, limits: Limits) -> SandboxFailure:
        model = tmp_path / "model.onnx"
        model.write_bytes(content)
        opened = sandbox.open(probe, files={model.name: model}, arguments={}, limits=limits)
        with opened as asked, pytest.raises(SandboxFailure) as caught:
            asked.ask()
        return caught.value

    return fail


def rules(findings: list[Finding]) -> set[str]:
    """The rules that are broken."""
    return {found.rule_id for found in findings}


def test_a_harmless_file_passes(looked: Looked) -> None:
    """What the bombs pretend to be is let through: they are refused for what they are."""
    assert looked(bombs.harmless()) == []


@pytest.mark.parametrize(
    ("bomb", "rule"),
    [(bombs.empty_nodes, "too-many-nodes"), (bombs.empty_values, "too-many-parts")],
    ids=["nodes", "values"],
)
def test_r5_millions_of_parts_are_counted_before_they_are_parsed(
    looked: Looked, bomb: Callable[[], bytes], rule: str
) -> None:
    """R5: 16 MiB of empty nodes, or of empty descriptions, end at the count."""
    assert rules(looked(bomb())) == {f"graph.{rule}"}


def test_r5_parsed_without_a_count_they_end_at_the_memory_limit(failed: Failed) -> None:
    """R5: the sandbox would hold a parser that counted nothing."""
    limits = Limits(cpu_seconds=30, wall_seconds=60, address_space_bytes=GIB)
    assert failed("parse", bombs.empty_nodes(), limits).rule == "memory-limit"


def test_r6_functions_are_refused_unread(looked: Looked) -> None:
    """R6: 26 functions that each call the next one twice never reach the checker."""
    (found,) = looked(bombs.nested_functions())
    assert found.rule_id == "graph.function"
    assert found.seen == "26 functions"
    assert "inline" in found.message


@pytest.mark.parametrize("probe", ["check", "run"])
def test_r6_checked_or_loaded_they_end_at_the_cpu_limit(failed: Failed, probe: str) -> None:
    """R6: the sandbox would hold a checker or loader that unfolded them."""
    assert failed(probe, bombs.nested_functions(), LIMITS).rule == "cpu-limit"


def test_r7_loops_are_refused(looked: Looked) -> None:
    """R7: a loop of 2**63 - 1 rounds in 300 bytes is refused for its operator."""
    (found,) = looked(bombs.endless_loop())
    assert found.rule_id == "graph.operator"
    assert "LSTM" in found.message


def test_r7_run_it_ends_at_the_cpu_limit(failed: Failed) -> None:
    """R7: the sandbox would hold a runtime that ran it."""
    assert failed("run", bombs.endless_loop(), LIMITS).rule == "cpu-limit"


def test_r8_branches_in_branches_are_refused_before_they_are_parsed(looked: Looked) -> None:
    """R8: as deep as a parser would follow is deeper than any model needs."""
    assert rules(looked(bombs.nested_branches(28))) == {"graph.too-deep"}
    assert looked(bombs.nested_branches(5)) == []


def test_r9_a_constant_of_256_gib_is_refused_for_its_shape(looked: Looked) -> None:
    """R9: the shape is known without making the tensor."""
    (found,) = looked(bombs.huge_constant())
    assert found.rule_id == "graph.tensor-size"
    assert found.seen == f"68719476736, {256 * GIB} bytes"


@pytest.mark.parametrize("bomb", [bombs.huge_constant, bombs.hidden_huge_constant])
def test_r9_made_it_ends_at_the_memory_limit(failed: Failed, bomb: Callable[[], bytes]) -> None:
    """R9: whether its shape is in the file or comes in, the sandbox holds who makes it."""
    failure = failed("run", bomb(), LIMITS)
    assert failure.rule == "memory-limit"
    assert failure.allowed == f"{2 * GIB} bytes of address space"


@pytest.mark.parametrize("in_subgraph", [False, True], ids=["graph", "subgraph"])
@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sibling.bin"])
def test_r10_weights_in_other_files_are_refused(
    looked: Looked, location: str, *, in_subgraph: bool
) -> None:
    """R10: wherever the path leads, and wherever in the graph it stands."""
    found = looked(bombs.external_data(location, in_subgraph=in_subgraph))
    assert rules(found) == {"graph.external-data"}
    assert found[0].seen == f"data in {location}"


def test_r11_operators_of_other_domains_are_refused(looked: Looked) -> None:
    """R11: onnx's checker would have accepted it."""
    (found,) = looked(bombs.custom_domain())
    assert found.rule_id == "graph.domain"
    assert found.seen == "1 of com.example.Backdoor"


def test_r14_a_crash_on_load_is_a_finding(sandbox: Sandbox) -> None:
    """R14: a process that dies of a segmentation fault before it answers breaks a rule."""
    arguments = {"action": "segfault"}
    opened = sandbox.open("at_once", files={}, arguments=arguments, limits=LIMITS)
    with opened as probe, pytest.raises(SandboxFailure) as caught:
        probe.ask()
    assert caught.value.rule == "crash"
    assert "SIGSEGV" in caught.value.seen


@pytest.mark.parametrize(
    ("action", "argument", "layers"),
    [
        ("read_file", "/etc/passwd", {Layer.RLIMITS}),
        ("write_file", "/dev/null", {Layer.RLIMITS}),
        ("open_socket", None, {Layer.RLIMITS}),
        ("fork", None, {Layer.SECCOMP}),
        ("execute", None, {Layer.SECCOMP}),
    ],
)
def test_r15_sockets_processes_and_files_are_out_of_reach(
    sandbox: Sandbox, action: str, argument: str | None, layers: set[Layer]
) -> None:
    """R15: who has taken a process over can open nothing and start nothing."""
    need(sandbox, *layers)
    opened = sandbox.open("act", files={}, arguments={}, limits=LIMITS)
    with opened as probe:
        try:
            answer = probe.ask([action, argument])
        except SandboxFailure as failure:
            assert failure.rule == "forbidden-call"  # noqa: PT017 - either way of refusing will do
        else:
            assert isinstance(answer, dict)
            assert set(answer) == {"refused"}


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "an empty file"),
        (bombs.zip_archive(), "a zip archive, such as a PyTorch checkpoint or an .npz"),
        (bombs.pickled(), "a Python pickle"),
        (bombs.garbage(), "4096 bytes: a part of kind 7"),
        (bombs.harmless()[:-1], "66 bytes: a part is longer than what it stands in"),
        (b"# A model\n", "10 bytes: a part of kind 3"),
    ],
    ids=["empty", "zip", "pickle", "garbage", "cut", "text"],
)
def test_r16_what_is_no_model_is_told_so(looked: Looked, content: bytes, seen: str) -> None:
    """R16: zip, pickle, empty, garbage: named for what they are, never opened as that."""
    (found,) = looked(content)
    assert found.rule_id == "graph.not-onnx"
    assert found.seen == seen


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's ties between processes")
@pytest.mark.parametrize("state", ["busy", "waiting"])
def test_r41_sigkill_of_the_owner_mid_validation_leaves_no_process(state: str) -> None:
    """R41: helper and model end with the registry that was killed, whatever they are doing."""
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.validation.sandbox.owner", state],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with owner:
        assert owner.stdout is not None
        helper, model = map(int, owner.stdout.readline().split())
        assert psutil.pid_exists(model)
        owner.kill()
    assert gone(helper, model)


@pytest.fixture
async def load(tmp_path: Path) -> AsyncIterator[Load]:
    """Loads packages of tones with some graph as generations, each with an engine of its own."""
    chosen: dict[str, Any] = {"model_dir": tmp_path, "batch_limit": 2, "streams": 4}
    settings = Settings(**chosen)
    generations: list[Generation] = []

    async def load(version: str, graph: bytes = b"") -> Generation:
        number = len(generations) + 1
        folder = write_stream_package(tmp_path / f"{number}", version, graph=graph)
        pin = VersionPin(version=f"models/tones/versions/{version}")
        hang_seconds = 1.0 if graph else None
        loader = Loader(settings, lambda: hang_seconds, child="tests.fakes.unlucky")
        generation = await loader.load(Found(folder), pin, number, lambda _: None)
        generations.append(generation)
        return generation

    yield load
    for generation in generations:
        await generation.close()


async def hear(lane: Lane, level: float) -> bytes:
    """What a lane says of one hop of a tone, to the bit."""
    hop = np.float32(level) * np.cos(np.arange(1280) * 2 * np.pi / 32).astype(np.float32)
    frames = await lane.run(hop, 0.0, Urgency.LIVE)
    return frames.speech.tobytes() + frames.activity.tobytes() + frames.embedding.tobytes()


async def alone(generation: Generation, levels: list[float]) -> list[bytes]:
    """What a stream hears that was on one generation from its first hop."""
    lane = generation.batcher.open_lane()
    told = [await hear(lane, level) for level in levels]
    lane.close()
    return told


def running_engines() -> int:
    """Threads that compute hops, or that do not come back."""
    return sum(thread.name == "engine" for thread in threading.enumerate())


class Stubborn:
    """A model that cannot be ended: its call waits where nobody can reach it."""

    def __init__(self, model: BoundModel) -> None:
        self._model = model
        self.manifest, self.state_shapes = model.manifest, model.state_shapes
        self.let_go = threading.Event()

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the model; loud audio does not come back."""
        if np.abs(audio).max() > 0.99:
            self.let_go.wait()
        return self._model.run(audio, state)

    def terminate(self) -> None:
        """Is not heard."""


async def test_i22_a_model_that_hangs_is_ended_and_its_stream_goes_on(load: Load) -> None:
    """I22: others do not notice; its own stream is carried, the hop that hung is not lost."""
    good, bad = await load("1.0.0"), await load("1.0.1", hanging_graph())
    engines = running_engines()
    stream, other = bad.batcher.open_lane(), good.batcher.open_lane()
    told = [await hear(stream, QUIET) for _ in range(3)]
    hanging = asyncio.create_task(hear(stream, LOUD))
    others = [await hear(other, QUIET) for _ in range(5)]
    assert not hanging.done()
    with pytest.raises(ModelFailed) as caught:
        await hanging
    assert caught.value.reason == "MODEL_HUNG"
    assert bad.tally.evidence().hung
    carried = good.batcher.open_lane(stream.state())
    told += [await hear(carried, level) for level in (LOUD, QUIET)]
    assert told == await alone(good, [QUIET, QUIET, QUIET, LOUD, QUIET])
    assert others == await alone(good, [QUIET] * 5)
    await bad.close()
    assert running_engines() == engines - 1


async def test_i22_a_model_that_cannot_be_ended_is_left_behind(load: Load) -> None:
    """I22: its thread is lost; whatever it gives in the end, nobody hears."""
    good = await load("1.0.0")
    model = Stubborn(good.model)
    batcher = Batcher(SlotBackend(model, 2), batch_limit=2, hang_seconds=lambda: 0.05)
    batcher.start()
    stream = batcher.open_lane()
    told = [await hear(stream, QUIET)]
    with pytest.raises(ModelFailed):
        await hear(stream, LOUD)
    before = stream.state()
    model.let_go.set()
    await batcher.stop()
    carried = good.batcher.open_lane(before)
    told += [await hear(carried, level) for level in (LOUD, QUIET)]
    assert told == await alone(good, [QUIET, LOUD, QUIET])


async def test_i22_stopping_does_not_wait_for_a_model_that_hangs(load: Load) -> None:
    """I22: a process that is told to end does."""
    model = Stubborn((await load("1.0.0")).model)
    batcher = Batcher(SlotBackend(model, 2), batch_limit=2, hang_seconds=lambda: 0.05)
    batcher.start()
    with pytest.raises(ModelFailed):
        await hear(batcher.open_lane(), LOUD)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await batcher.stop()
    model.let_go.set()


async def test_i23_nan_fails_one_hop_of_one_stream(load: Load) -> None:
    """I23: neighbours in the batch do not notice; the stream goes on elsewhere as if it had not."""
    good, bad = await load("1.0.0"), await load("1.0.1", spoiling_graph())
    lanes = [bad.batcher.open_lane() for _ in range(2)]
    told = [await hear(lanes[0], QUIET)]
    neighbour = [await hear(lanes[1], QUIET)]
    spoilt, well = await asyncio.gather(
        hear(lanes[0], LOUD), hear(lanes[1], QUIET), return_exceptions=True
    )
    assert isinstance(spoilt, ModelFailed)
    assert spoilt.reason == "MODEL_OUTPUT_NOT_FINITE"
    assert bad.tally.evidence().non_finite_hops == 1
    assert [*neighbour, well] == await alone(good, [QUIET, QUIET])
    carried = good.batcher.open_lane(lanes[0].state())
    told += [await hear(carried, level) for level in (LOUD, QUIET)]
    assert told == await alone(good, [QUIET, LOUD, QUIET])


async def test_i29_a_crash_on_load_kills_nothing_but_the_process_that_looked(load: Load) -> None:
    """I29: a segmentation fault refuses the version, and what is served goes on."""
    good = await load("1.0.0")
    lane = good.batcher.open_lane()
    loading = asyncio.create_task(load("1.0.1-crash"))
    told = [await hear(lane, QUIET)]
    with pytest.raises(PackageInvalid) as caught:
        await loading
    assert caught.value.reason == "MODEL_CRASHED"
    assert "SIGSEGV" in caught.value.message
    told += [await hear(lane, QUIET)]
    assert told == await alone(good, [QUIET, QUIET])
