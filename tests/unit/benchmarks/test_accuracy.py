"""The report of all systems, of files that they could have left."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accuracy, accuracy_systems
from benchmarks.accuracy_curve import curve_text
from benchmarks.accuracy_others import others_text
from benchmarks.accuracy_run import Run, begin
from benchmarks.accuracy_summary import targets_table
from benchmarks.accuracy_systems import DELTAS_NEW, System
from benchmarks.accuracy_targets import Outcome, outcomes
from benchmarks.peers.diart.settings import TUNED, read_tuned
from benchmarks.provenance import Provenance
from voiceflow.cli.evaluate.hypotheses import write_hypothesis
from voiceflow.cli.evaluate.report import measure
from voiceflow.evaluation import EvaluationSet
from voiceflow.evaluation.bootstrap import Interval

RUN = Run(
    Provenance("a machine", "0123456789ab", "models/m/versions/1.0.0", "sha256:0", 1, "2026-01-02"),
    {"speech_threshold": 0.5},
    None,
    None,
)
BASELINES = (System.ONE_LABEL, System.ONE_SPEAKER, System.ORACLE_SPEECH)


@pytest.fixture
def left(told: Path, labelled: EvaluationSet, tmp_path: Path) -> Path:
    """A folder as a run leaves it, the peer included: ours are perfect."""
    out = tmp_path / "var"
    for system in (System.DENSITY, System.AGENT, System.PEER):
        shutil.copytree(told, out / system / "simulated")
    for system in (*BASELINES, System.DENSITY):
        for one in labelled.recordings:
            write_hypothesis(out / system / "simulated", one.name, one.reference)
    RUN.write(out)
    return out


def reported(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path, *arguments: str
) -> tuple[dict[str, Any], str]:
    """The figures and the page of what was left."""
    path = tmp_path / "results" / "accuracy.json"
    data = ("--data", str(tmp_path / "data" / "simulated"))
    options = ("--out", str(left), "--json", str(path), "--measure-only", *data, *arguments)
    monkeypatch.setattr(sys, "argv", ["accuracy", *options])
    accuracy.main()
    figures: dict[str, Any] = json.loads(path.read_text())
    return figures, path.with_suffix(".md").read_text()


def test_the_report_has_every_system_and_its_pictures(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """JSON without NaN, a page with a row for each, and pictures that are there."""
    for system, rate in ((System.DENSITY, 7.5), (System.PEER, 8.5)):
        rates = json.dumps({"librispeech": 1.5, "pooled": rate})
        (left / system / "equal-error.json").write_text(rates)
    figures, page = reported(monkeypatch, left, tmp_path)
    json.dumps(figures, allow_nan=False)
    sets = figures["sets"]
    assert isinstance(sets, dict)
    assert list(sets["simulated"]) == list(System)
    assert figures["no_peer"] is None
    for what in (
        "ours, density mode",
        "ours, told",
        "Silero VAD",
        "one speaker from beginning",
        "two-second",
    ):
        assert f"| {what}" in page
    for line in page.splitlines():
        if line.startswith("!["):
            picture = tmp_path / "results" / line.partition("(")[2].rstrip(")")
            assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.count("![") == 3
    assert "| Resemblyzer's encoder |         1.5 |    8.5 |" in page
    assert figures["provenance"] == asdict(RUN.provenance)
    assert str(RUN.provenance) in page
    assert "over 0.5, 200 ms" in page


def test_the_report_says_what_another_setting_of_the_peer_would_have_given(
    monkeypatch: pytest.MonkeyPatch, left: Path, labelled: EvaluationSet, tmp_path: Path
) -> None:
    """The tuned one is marked; what a measured set would have liked better is hindsight."""
    figures, page = reported(monkeypatch, left, tmp_path)
    assert figures["peer_curve"] is None
    assert "set otherwise" not in page
    for delta in DELTAS_NEW:
        folder = left / System.PEER / "simulated" / f"delta-new-{delta:g}"
        for one in labelled.recordings:
            all_said = one.reference if delta == 0.36 else one.reference[1:]
            write_hypothesis(folder, one.name, all_said)
    figures, page = reported(monkeypatch, left, tmp_path)
    rows = [line.split("|")[1:-1] for line in page.partition("set otherwise")[2].splitlines()]
    cells = {row[0].strip(): (row[1].strip(), row[2].strip()) for row in rows if len(row) == 3}
    tuned = read_tuned().delta_new
    assert cells[f"{tuned:g} (tuned)"][1] == cells["0.16"][1]
    assert cells["0.36"][1] == "0.0 (best in hindsight)"
    stage = json.loads(TUNED.read_text())["stages"][4]
    chosen = stage["error_percent"][", ".join(map(str, stage["chosen"]))]
    assert cells[f"{tuned:g} (tuned)"][0] == f"{chosen:.1f}"
    assert page.count("in hindsight") == 1


def test_of_several_best_settings_the_tuned_one_is_named() -> None:
    """Then hindsight knows nothing better."""
    points = [{"delta_new": delta, "der_percent": {"real": 30.0}} for delta in (0.2, 0.24, 0.28)]
    text = curve_text({"tuned": 0.24, "tuning": {"0.24": 27.0}, "points": points})
    (row,) = (line for line in text.splitlines() if "hindsight" in line)
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "0.24 (tuned)",
        "27.0",
        "30.0 (best in hindsight)",
    ]


def test_what_is_measured_again_is_of_the_model_that_was_run(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """Whatever the default model is by now; a run that was cut off is nobody's."""
    figures, _ = reported(monkeypatch, left, tmp_path, "--model", str(tmp_path / "gone"))
    assert figures["operating_point"] == RUN.operating_point
    begin(left)
    with pytest.raises(SystemExit, match="HYPOTHESIS_MISSING"):
        reported(monkeypatch, left, tmp_path)


def test_models_with_results_of_their_own_stand_in_the_report(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """Each by its own report; of the variants, the pipeline's rates."""
    results = tmp_path / "results"
    assert others_text(results, "accuracy") == ""
    reported(monkeypatch, left, tmp_path)
    (results / "accuracy.json").rename(results / "accuracy-fast-cnn-1.0.0.json")
    rates = dict.fromkeys(("der_percent", "missed_percent", "confusion_percent"), 1.0)
    rates["false_alarm_percent"] = 2.0
    one = {"model": "models/diarizer-int8/versions/1.0.0", "sets": {"real": rates}}
    (results / "variants.json").write_text(json.dumps({"models": [one]}))
    monkeypatch.setattr(accuracy, "RESULTS", results)
    for _ in range(2):
        _, page = reported(monkeypatch, left, tmp_path)
        assert "(accuracy.md)" not in page, "a report is no other one"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    link = "[accuracy-fast-cnn-1.0.0.md](accuracy-fast-cnn-1.0.0.md)"
    assert ["m 1.0.0", "service", "simulated", "0.0", "0.0", "0.0", "0.0", link] in rows
    link = "[variants.md](variants.md)"
    assert ["diarizer-int8 1.0.0", "pipeline", "real", "1.0", "1.0", "2.0", "1.0", link] in rows


def test_a_model_without_a_mode_is_reported_without_it(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """As one of windows, which has no agent mode: when speech ends is not measured."""
    shutil.rmtree(left / System.AGENT)
    figures, page = reported(monkeypatch, left, tmp_path)
    assert "agent mode" not in page
    ends = [one for one in figures["targets"] if "end of speech" in one["what"]]
    assert [(one["measured"], one["reached"]) for one in ends] == [(None, None)] * 2


def test_a_peer_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """In the page and the figures; its targets are not measured."""
    shutil.rmtree(left / System.PEER)
    figures, page = reported(monkeypatch, left, tmp_path)
    assert "simulated" in str(figures["no_peer"])
    assert "**There is no Silero VAD" in page
    assert "not measured" in page


def test_a_peer_that_cannot_be_run_is_said(
    monkeypatch: pytest.MonkeyPatch, labelled: EvaluationSet, tmp_path: Path
) -> None:
    """Its environment cannot be made, or it fails: the last that it said."""
    data = {"simulated": tmp_path / "data" / "simulated"}
    monkeypatch.setattr(accuracy_systems, "ROOT", tmp_path)  # where there is no Makefile
    monkeypatch.setattr(accuracy_systems, "PEER_PYTHON", tmp_path / "python")
    why = accuracy_systems.run_peer(data, [labelled], tmp_path / "out")
    assert why is not None
    assert why.startswith("`make peers` failed: make")
    assert "No rule to make target" in why
    monkeypatch.setattr(accuracy_systems, "PEER_PYTHON", Path(sys.executable))
    why = accuracy_systems.run_peer(data, [labelled], tmp_path / "out")
    assert why is not None
    assert why.startswith("it failed on simulated: ")
    assert "No module named" in why


def test_targets_are_reached_or_not(left: Path, labelled: EvaluationSet) -> None:
    """Ours against the set's limits, and in percent of the peer's rate."""
    results = {
        "simulated": {system: measure(left / system / "simulated", labelled) for system in System}
    }
    rates = {System.DENSITY: {"pooled": 8.5}, System.PEER: {"pooled": 8.4}}
    found = {one.what: one for one in outcomes(results, rates)}
    assert found["simulated: DER"].reached
    beside = found["simulated: DER, of the peer's"]
    assert (beside.measured, beside.reached) == (0.0, True)
    assert beside.interval is not None
    assert beside.interval.high == 0.0
    verification = found["two-second verification, pooled: equal error rate"]
    assert (verification.reached, verification.peer) == (False, 8.4)
    assert found["simulated: DER"].peer > 0.0
    unknown = {"elsewhere": results["simulated"]}
    assert [one.reached for one in outcomes(unknown, {})] == [None]


@pytest.mark.parametrize("measured", [1.25, math.nan, math.inf])
@pytest.mark.parametrize(("peer", "remark"), [(2.5, ""), (math.nan, ""), (math.inf, "at 5 %")])
def test_an_outcome_is_read_back_as_it_was(measured: float, peer: float, remark: str) -> None:
    """JSON has neither NaN nor infinity."""
    outcome = Outcome("what", 2.0, measured, "ms", Interval(1.0, 1.5), peer, remark)
    data = json.loads(json.dumps(outcome.as_data(), allow_nan=False))
    assert repr(Outcome.from_data(data)) == repr(outcome)
    table = targets_table({"targets": [data]})
    assert ("too many missed" in table) == (math.inf in {measured, peer})
    assert ("not measured" in table) == math.isnan(measured)


@pytest.mark.parametrize(
    ("measured", "reached"), [(1.0, True), (2.0, True), (2.1, False), (math.inf, False)]
)
def test_a_target_is_the_most_that_is_allowed(measured: float, reached: bool) -> None:
    """What is missed too often is too late."""
    assert Outcome("", 2.0, measured, "s").reached is reached
