"""Gate 6: the error rate on the evaluation set, and what it means under a budget."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.fakes import bad_models
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.unit.validation.here import Here
from tests.unit.validation.packages import baseline, candidate, manifest_of, put
from voiceflow.catalog.gates import AccuracyBudget
from voiceflow.evaluation import EvaluationSet, Score
from voiceflow.validation.gates import accuracy
from voiceflow.validation.gates.accuracy import accuracy_gate, judge_accuracy
from voiceflow.validation.measured import Diarized, FinalRegion
from voiceflow.validation.sandbox import SandboxFailure
from voiceflow.validation.values import Baseline, GateOutcome


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """Three short conversations of two tones, labelled."""
    folder = tmp_path_factory.mktemp("conversations")
    for name in ("one", "two", "three"):
        audio = tones(Spoken((2,), 3.0), Spoken((), 1.0), Spoken((9,), 3.0))
        soundfile.write(folder / f"{name}.flac", audio, 16_000)
        (folder / f"{name}.rttm").write_text(
            f"SPEAKER {name} 1 0 3 <NA> <NA> low <NA> <NA>\n"
            f"SPEAKER {name} 1 4 3 <NA> <NA> high <NA> <NA>\n"
        )
    return EvaluationSet.open(folder)


def score(der_percent: float) -> Score:
    """Made-up rates."""
    return Score("pooled", 100.0, der_percent, der_percent, 0.0, 0.0, der_percent, "")


def rules(version: float, other: float | None, budget: AccuracyBudget) -> list[str]:
    """The rules that made-up error rates break."""
    compared = None if other is None else score(other)
    return [
        finding.rule_id for finding in judge_accuracy(score(version), compared, budget).findings
    ]


@pytest.mark.parametrize(
    ("version", "other", "budget", "broken"),
    [
        (20.0, None, AccuracyBudget(), []),
        (20.0, None, AccuracyBudget(der_percent=20.0), []),
        (20.1, None, AccuracyBudget(der_percent=20.0), ["accuracy.der"]),
        (20.0, 19.0, AccuracyBudget(der_worse_points=1.0), []),
        (20.1, 19.0, AccuracyBudget(der_worse_points=1.0), ["accuracy.der-worse"]),
        (20.0, None, AccuracyBudget(der_worse_points=0.0), []),
        (15.0, 19.0, AccuracyBudget(der_worse_points=0.0), []),
        (
            30.0,
            19.0,
            AccuracyBudget(der_percent=25.0, der_worse_points=1.0),
            ["accuracy.der", "accuracy.der-worse"],
        ),
    ],
)
def test_a_bound_that_is_passed_has_its_rule(
    version: float, other: float | None, budget: AccuracyBudget, broken: list[str]
) -> None:
    """A rate in all, and one relative to the promoted version's."""
    assert rules(version, other, budget) == broken


def test_rates_are_told_with_their_parts() -> None:
    """An error rate is always given with missed, false alarm and confusion."""
    outcome = judge_accuracy(score(20.0), score(19.0), AccuracyBudget(der_percent=25.0))
    figures = {figure.name: (figure.value, figure.baseline) for figure in outcome.figures}
    assert figures["der_percent"] == (20.0, 19.0)
    assert figures["der_worse_points"] == (1.0, None)
    assert {"missed_percent", "false_alarm_percent", "confusion_percent"} <= set(figures)


def judged(
    here: Here,
    folder: Path,
    conversations: EvaluationSet,
    *,
    other: Baseline | None = None,
    budget: AccuracyBudget | None = None,
) -> GateOutcome:
    """What the gate says of a package."""
    return accuracy_gate(
        here,
        candidate(folder),
        manifest_of(folder),
        budget or AccuracyBudget(),
        other,
        conversations,
    )


def test_both_versions_hear_the_set_and_are_scored(
    here: Here, tmp_path: Path, conversations: EvaluationSet
) -> None:
    """The tiny model tells tones apart, but for what it must first get to know."""
    old, new = (write_stream_package(tmp_path / v, v) for v in ("1.0.0", "1.0.1"))
    outcome = judged(here, new, conversations, other=baseline(old))
    figures = {figure.name: figure for figure in outcome.figures}
    assert outcome.findings == ()
    assert 0.0 < figures["der_percent"].value < 50.0
    assert figures["der_percent"].baseline == figures["der_percent"].value
    assert figures["reference_speech_seconds"].value == pytest.approx(18.0)


def test_a_worse_version_is_refused(
    here: Here, tmp_path: Path, conversations: EvaluationSet
) -> None:
    """Here one that hears nothing: its thresholds are out of reach."""
    old = write_stream_package(tmp_path / "old", "1.0.0")
    deaf = manifest_of(old).operating_point.model_copy(
        update={"speech_threshold": 1.0, "activity_threshold": 1.0}
    )
    new = write_stream_package(tmp_path / "new", "1.0.1", operating_point=deaf)
    budget = AccuracyBudget(der_percent=50.0, der_worse_points=1.0)
    outcome = judged(here, new, conversations, other=baseline(old), budget=budget)
    assert [finding.rule_id for finding in outcome.findings] == [
        "accuracy.der",
        "accuracy.der-worse",
    ]


def test_recordings_are_given_out_in_groups(
    here: Here, tmp_path: Path, conversations: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set of any size is decoded a bounded part at a time, and scored as a whole."""
    package = write_stream_package(tmp_path)
    whole = judged(here, package, conversations)
    monkeypatch.setattr(accuracy, "_GROUP_RECORDINGS", 2)
    assert judged(here, package, conversations) == whole
    assert here.opened == ["accuracy"] * 3


def test_a_version_that_cannot_compute_a_hop_is_refused(
    here: Here, tmp_path: Path, conversations: EvaluationSet
) -> None:
    """With the recording at which it failed."""
    package = write_stream_package(tmp_path)
    put(package, "model.onnx", bad_models.frail())
    (finding,) = judged(here, package, conversations).findings
    assert finding.rule_id == "accuracy.run-failed"
    assert finding.seen.startswith("one: ")


def test_a_promoted_version_that_does_not_run_is_told_where_it_is_needed(
    here: Here, tmp_path: Path, conversations: EvaluationSet
) -> None:
    """It is not the candidate's fault, and no comparison is no pass."""
    broken = write_stream_package(tmp_path / "old", "1.0.0")
    put(broken, "model.onnx", bad_models.frail())
    new = write_stream_package(tmp_path / "new", "1.0.1")

    def found(budget: AccuracyBudget) -> list[str]:
        outcome = judged(here, new, conversations, other=baseline(broken), budget=budget)
        return [finding.rule_id for finding in outcome.findings]

    assert found(AccuracyBudget(der_worse_points=50.0)) == ["accuracy.baseline-failed"]
    assert found(AccuracyBudget()) == []


def region(start: int, end: int, *speakers: str) -> FinalRegion:
    """A region as a probe answers it."""
    return FinalRegion(start_samples=start, end_samples=end, speakers=speakers)


@pytest.mark.parametrize(
    "regions",
    [
        (),
        (region(0, 90),),
        (region(0, 110),),
        (region(10, 100),),
        (region(0, 60), region(50, 100)),
        (region(0, 40), region(50, 100)),
        (region(0, 100), region(100, 100)),
        tuple(region(n, n + 1, *(f"S{n}.{k}" for k in range(6))) for n in range(100)),
    ],
)
def test_regions_that_no_pipeline_makes_are_not_scored(regions: tuple[FinalRegion, ...]) -> None:
    """Who answers may be the model: gaps, overlaps and endless speakers are made up."""
    with pytest.raises(SandboxFailure) as failure:
        accuracy._regions(Diarized(regions=regions), 100)
    assert failure.value.rule == "reply-invalid"


def test_regions_that_part_the_audio_are_scored() -> None:
    """As the pipeline makes them."""
    regions = (region(0, 40, "S1"), region(40, 60), region(60, 100, "S1", "S2"))
    assert len(accuracy._regions(Diarized(regions=regions), 100)) == 3
