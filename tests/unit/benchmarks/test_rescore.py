"""The rescorer gives the tables that were printed when the files were written."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import rescore
from benchmarks.rescore import difference_percent, scored_twice
from voiceflow.cli.evaluate.report import measure
from voiceflow.cli.evaluate.scores import error_rates, read_hypotheses
from voiceflow.cli.evaluate.tables import rates_text
from voiceflow.evaluation import EvaluationSet

needs_second_scorer = pytest.mark.skipif(
    importlib.util.find_spec("spyder") is None,
    reason="the second scorer is built where there is a C++ compiler",
)


def rescored(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int | str | None:
    """What the script exits with."""
    monkeypatch.setattr(sys, "argv", ["rescore", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        rescore.main()
    code: int | str | None = ended.value.code
    return code


@needs_second_scorer
def test_the_tables_are_those_of_the_evaluation(
    told: Path,
    labelled: EvaluationSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Figure for figure, from the RTTM files alone; the second scorer agrees."""
    report = measure(told, labelled)
    for path in [*told.glob("*.json"), *told.glob("*.jsonl")]:
        path.unlink()
    figures = tmp_path / "figures.json"
    data = ("--reference", tmp_path / "data" / "simulated", "--json", figures)
    assert rescored(monkeypatch, told, *data, "--second") == 0
    printed = capsys.readouterr().out
    assert report.aliased is not None
    for rates in (*report.rates.values(), report.aliased):
        assert rates_text(rates).partition("\n")[2] in printed
    first = json.loads(figures.read_text())["rates"][0]
    assert first["pooled"] == report.as_data()["rates"][0]["pooled"]
    assert first["pooled"]["confusion_percent"] > 0
    assert first["difference_percent"] < 0.001
    assert first["second"]["pooled"]["jer_percent"] is None


@needs_second_scorer
def test_scorers_that_differ_are_said_and_fail(
    told: Path,
    labelled: EvaluationSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By more than 0.05 points, on any recording."""
    first, second = scored_twice(read_hypotheses(told, labelled), labelled, 0.0)
    assert difference_percent(first, second) < 0.001
    other = second.recordings[1]
    off = replace(other, false_alarm_percent=other.false_alarm_percent + 0.06)
    differs = replace(second, recordings=(second.recordings[0], off))
    assert difference_percent(first, differs) == pytest.approx(0.06)
    monkeypatch.setattr(rescore, "scored_twice", lambda *_: (first, differs))
    data = ("--reference", tmp_path / "data" / "simulated")
    assert rescored(monkeypatch, told, *data, "--second") == 1


def test_a_rate_that_one_scorer_does_not_have_is_a_difference(
    told: Path, labelled: EvaluationSet
) -> None:
    """Unless nothing was scored by either."""
    rates = error_rates(read_hypotheses(told, labelled), labelled)
    nothing = replace(rates.pooled, missed_percent=float("nan"))
    assert difference_percent(rates, replace(rates, pooled=nothing)) == float("inf")
    empty = replace(nothing, reference_seconds=0.0)
    assert difference_percent(replace(rates, pooled=empty), replace(rates, pooled=empty)) == 0.0


def test_a_recording_without_a_hypothesis_is_an_error(
    told: Path, tmp_path: Path, labelled: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name, and nothing is scored."""
    (told / f"{labelled.recordings[0].name}.rttm").unlink()
    ended = rescored(monkeypatch, told, "--reference", tmp_path / "data" / "simulated")
    assert isinstance(ended, str)
    assert "one.rttm" in ended
