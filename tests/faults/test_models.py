"""Model files made to do harm, rows R5 to R16; and R41 as far as processes go.

Each is refused by gate 2 with its rule, in bounded time; and what a file could do without that gate
is held by the sandbox all the same.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes import bombs
from tests.unit.validation.sandbox.acting import gone, need
from voiceflow.catalog.gates import Finding
from voiceflow.validation.gates.graph import graph_gate
from voiceflow.validation.sandbox import Layer, Limits, Sandbox, SandboxFailure
from voiceflow.validation.values import Candidate

ROOT = Path(__file__).resolve().parents[2]
GIB = 1024**3
LIMITS = Limits(cpu_seconds=1, wall_seconds=60, address_space_bytes=2 * GIB)
PATIENCE_SECONDS = 150
"""Nothing here may take longer on a busy machine; the bombs would take hours, or for ever."""

Looked = Callable[[bytes], list[Finding]]
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
