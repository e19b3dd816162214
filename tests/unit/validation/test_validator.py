"""Whole runs: which gates run, what they tell, and every gate in the real sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import soundfile

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes import bad_models
from tests.fakes.models import Spoken, tones, write_stream_package, write_window_package
from tests.unit.validation.here import Here
from tests.unit.validation.packages import baseline, candidate, earlier, put, state
from voiceflow.catalog.gates import CostBudget, Gate, GateResult, Outcome, SandboxLayers
from voiceflow.errors import NotAllowedNow
from voiceflow.evaluation import EvaluationSet
from voiceflow.validation import Budgets, Candidate, GateStarted, Validation, Validator
from voiceflow.validation.gates import cost
from voiceflow.validation.sandbox import Sandbox, SandboxFailure

ALL_BUT_ACCURACY = [gate for gate in Gate if gate is not Gate.ACCURACY]


@pytest.fixture(autouse=True)
def _few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many calls are timed is no matter here."""
    monkeypatch.setattr(cost, "MAXIMUM_CALLS", 20)


@pytest.fixture
def conversation(tmp_path: Path) -> EvaluationSet:
    """One short conversation of two tones, labelled."""
    folder = tmp_path / "conversation"
    folder.mkdir()
    soundfile.write(folder / "one.flac", tones(Spoken((2,), 3.0), Spoken((9,), 3.0)), 16_000)
    (folder / "one.rttm").write_text("SPEAKER one 1 0 3 <NA> <NA> low <NA> <NA>\n")
    return EvaluationSet.open(folder)


def ended(events: Iterator[GateStarted | GateResult | Validation]) -> Validation:
    """The last event, which is the whole."""
    *_, last = events
    assert isinstance(last, Validation)
    return last


def outcomes(validation: Validation) -> dict[Gate, Outcome]:
    """How each gate ended."""
    return {result.gate: result.outcome for result in validation.gates}


@pytest.mark.parametrize("contract", ["stream", "window"])
def test_every_gate_runs_in_the_real_sandbox(
    sandbox: Sandbox, tmp_path: Path, conversation: EvaluationSet, contract: str
) -> None:
    """A model as it should be passes all six, beside an earlier version and the promoted one."""
    write = write_stream_package if contract == "stream" else write_window_package
    old, new = (write(tmp_path / v, v) for v in ("1.0.0", "1.0.1"))
    validator = Validator(sandbox, evaluation_set=conversation)
    events = list(
        validator.run(
            candidate(new), gates=list(Gate), earlier=[earlier(old)], baseline=baseline(old)
        )
    )
    validation = events[-1]
    assert isinstance(validation, Validation)
    assert [f for result in validation.gates for f in result.findings] == []
    assert validation.passed
    assert validation.sandbox.active
    assert validation.inputs[0].name == "audio"
    assert validation.evaluation_set_digest == conversation.digest
    assert validation.runtime_version
    told = [e.gate if isinstance(e, GateStarted | GateResult) else None for e in events[:-1]]
    assert told == [gate for gate in Gate for _ in range(2)]


def test_the_default_model_passes(sandbox: Sandbox) -> None:
    """What the project ships keeps the project's own rules."""
    validator = Validator(sandbox)
    gates = [gate for gate in ALL_BUT_ACCURACY if gate is not Gate.COST]
    validation = ended(validator.run(candidate(DEFAULT_MODEL), gates=gates))
    assert [f for result in validation.gates for f in result.findings] == []
    assert validation.passed


def test_a_bad_model_is_refused_in_the_real_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    """One that gives NaN in silence (R13); what does not depend on that still runs."""
    package = write_stream_package(tmp_path, graph=bad_models.unguarded())
    validator = Validator(sandbox)
    validation = ended(validator.run(candidate(package), gates=[Gate.BEHAVIOUR, Gate.GRAPH]))
    assert outcomes(validation) == {Gate.GRAPH: Outcome.PASSED, Gate.BEHAVIOUR: Outcome.FAILED}
    assert not validation.passed


def without_model(folder: Path) -> None:
    """Takes the graph away."""
    (folder / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("gates", "reported"),
    [
        (
            list(Gate)[:5],
            dict.fromkeys(list(Gate)[1:5], Outcome.SKIPPED) | {Gate.MANIFEST: Outcome.FAILED},
        ),
        ([Gate.COST], {Gate.COST: Outcome.SKIPPED}),
        ([Gate.MANIFEST], {Gate.MANIFEST: Outcome.FAILED}),
    ],
)
def test_what_needs_a_gate_that_failed_is_skipped(
    here: Here, tmp_path: Path, gates: Sequence[Gate], reported: dict[Gate, Outcome]
) -> None:
    """Needed gates run though nobody asked; only those asked for are told."""
    package = write_stream_package(tmp_path)
    without_model(package)
    events = list(Validator(here).run(candidate(package), gates=gates))
    validation = ended(iter(events))
    assert outcomes(validation) == reported
    assert not validation.passed
    started = [event.gate for event in events if isinstance(event, GateStarted)]
    assert started == [gate for gate, end in reported.items() if end is Outcome.FAILED]
    assert here.opened == []


def test_a_manifest_that_cannot_be_read_does_not_hide_a_graph(here: Here, tmp_path: Path) -> None:
    """The graph is looked at all the same: a publisher hears of both."""
    package = write_stream_package(tmp_path)
    (package / "manifest.json").write_text("{}")
    validation = ended(Validator(here).run(candidate(package), gates=list(Gate)[:3]))
    assert outcomes(validation) == {
        Gate.MANIFEST: Outcome.FAILED,
        Gate.GRAPH: Outcome.PASSED,
        Gate.CONTRACT: Outcome.SKIPPED,
    }


def test_gates_are_told_in_their_order_whatever_the_order_of_asking(
    here: Here, tmp_path: Path
) -> None:
    """And each of them once."""
    package = write_stream_package(tmp_path)
    gates = [Gate.CONTRACT, Gate.MANIFEST, Gate.CONTRACT]
    validation = ended(Validator(here).run(candidate(package), gates=gates))
    assert [result.gate for result in validation.gates] == [Gate.MANIFEST, Gate.CONTRACT]


def test_tensors_are_told_only_of_a_graph_that_keeps_its_contract(
    here: Here, tmp_path: Path
) -> None:
    """What broke it is in the findings."""
    package = write_stream_package(tmp_path)
    put(package, "model.onnx", bad_models.other_tensors("extra"))
    validation = ended(Validator(here).run(candidate(package), gates=[Gate.CONTRACT]))
    assert outcomes(validation) == {Gate.CONTRACT: Outcome.FAILED}
    assert (validation.inputs, validation.outputs) == ((), ())


def test_accuracy_without_a_set_is_refused_before_anything_runs(here: Here, tmp_path: Path) -> None:
    """Not in the middle of a run."""
    package = write_stream_package(tmp_path)
    with pytest.raises(NotAllowedNow) as refused:
        Validator(here).run(candidate(package), gates=[Gate.ACCURACY])
    assert refused.value.reason == "EVALUATION_SET_MISSING"


class Weak(Here):
    """A sandbox below its floor."""

    def layers(self) -> SandboxLayers:
        """As `Sandbox.layers` refuses."""
        raise NotAllowedNow("lacks a layer", reason="SANDBOX_TOO_WEAK")


def test_a_sandbox_too_weak_is_told_before_anything_runs(tmp_path: Path) -> None:
    """Nothing of the model is read."""
    weak = Weak()
    with pytest.raises(NotAllowedNow) as refused:
        Validator(weak).run(Candidate(b"", tmp_path), gates=[Gate.GRAPH])
    assert refused.value.reason == "SANDBOX_TOO_WEAK"
    assert weak.opened == []


def test_a_run_that_is_left_goes_no_further(here: Here, tmp_path: Path) -> None:
    """Closing the iterator ends it; no process is started for what is not asked any more."""
    package = write_stream_package(tmp_path)
    with closing(Validator(here).run(candidate(package), gates=list(Gate)[:5])) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, GateResult) and event.gate is Gate.GRAPH:
                break
    assert here.opened == ["graph"]


def test_a_model_that_the_sandbox_ends_has_broken_a_rule_of_its_gate(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox says what happened, the gate whose rule it was."""

    def hang(*_: object) -> None:
        raise SandboxFailure("wall-clock", seen="9 s", allowed="5 s", message="It hangs.")

    monkeypatch.setattr(cost, "_compare", hang)
    package = write_stream_package(tmp_path)
    validation = ended(Validator(here).run(candidate(package), gates=[Gate.COST]))
    (result,) = validation.gates
    assert [finding.rule_id for finding in result.findings] == ["cost.wall-clock"]


def test_a_gate_tells_a_hundred_findings_at_most(here: Here, tmp_path: Path) -> None:
    """A manifest can be wrong in more ways than anybody wants to read."""
    package = write_stream_package(tmp_path)
    state(package, **{f"field{n}": n for n in range(300)})
    validation = ended(Validator(here).run(candidate(package), gates=[Gate.MANIFEST]))
    assert len(validation.gates[0].findings) == 100


def test_budgets_reach_the_gates(here: Here, tmp_path: Path) -> None:
    """What a channel allows is what is judged by."""
    package = write_stream_package(tmp_path)
    budgets = Budgets(cost=CostBudget(model_size_bytes=1))
    validation = ended(Validator(here).run(candidate(package), gates=[Gate.COST], budgets=budgets))
    assert [finding.rule_id for finding in validation.gates[0].findings] == ["cost.model-size"]
