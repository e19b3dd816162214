"""The report of all systems, of files that they could have left."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import accuracy, accuracy_systems
from benchmarks.accuracy_systems import System
from benchmarks.accuracy_targets import Outcome, outcomes
from voiceflow.cli.evaluate.hypotheses import write_hypothesis
from voiceflow.cli.evaluate.report import measure
from voiceflow.evaluation import EvaluationSet

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
    return out


def reported(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path, *arguments: str
) -> tuple[dict[str, object], str]:
    """The figures and the page of what was left."""
    path = tmp_path / "results" / "accuracy.json"
    data = ("--data", str(tmp_path / "data" / "simulated"))
    options = ("--out", str(left), "--json", str(path), "--measure-only", *data, *arguments)
    monkeypatch.setattr(sys, "argv", ["accuracy", *options])
    accuracy.main()
    figures: dict[str, object] = json.loads(path.read_text())
    return figures, path.with_suffix(".md").read_text()


def test_the_report_has_every_system_and_its_pictures(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """JSON without NaN, a page with a row for each, and pictures that are there."""
    rates = tmp_path / "rates.json"
    rates.write_text('{"librispeech": 1.5, "pooled": 7.5}')
    figures, page = reported(monkeypatch, left, tmp_path, "--equal-error", f"ours={rates}")
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
    assert "over 0.5, 200 ms" in page


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
    found = {one.what: one for one in outcomes(results, equal_error_percent=8.5)}
    assert found["simulated: DER"].reached
    beside = found["simulated: DER, of the peer's"]
    assert (beside.measured, beside.reached) == (0.0, True)
    assert beside.interval is not None
    assert beside.interval.high == 0.0
    verification = found["two-second verification, pooled: equal error rate"]
    assert verification.reached is False
    unknown = {"elsewhere": results["simulated"]}
    assert [one.reached for one in outcomes(unknown, None)] == [None]


@pytest.mark.parametrize(
    ("measured", "reached"), [(1.0, True), (2.0, True), (2.1, False), (math.inf, False)]
)
def test_a_target_is_the_most_that_is_allowed(measured: float, reached: bool) -> None:
    """What is missed too often is too late."""
    assert Outcome("", 2.0, measured, "s").reached is reached


def test_a_rate_that_is_no_json_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, left: Path, tmp_path: Path
) -> None:
    """Before anything is measured, with what is allowed."""
    with pytest.raises(SystemExit, match="NAME=PATH"):
        reported(monkeypatch, left, tmp_path, "--equal-error", "ours")
