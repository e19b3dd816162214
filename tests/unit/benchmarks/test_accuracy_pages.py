"""README and model card say what the accuracy report says, of the model that it measured."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accuracy, accuracy_pages
from benchmarks.accuracy_pages import (
    BEGIN,
    END,
    README,
    block_of,
    is_of,
    report_path,
    with_block,
    write_pages,
)
from benchmarks.accuracy_summary import summary
from benchmarks.accuracy_systems import System
from benchmarks.paths import DEFAULT_MODEL, ROOT
from tests.fakes.models import write_stream_package
from voiceflow.artifact import Manifest, digest_of
from voiceflow.errors import NotAllowedNow
from voiceflow.package import CARD_FILE, MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE, load_package

PACKAGES = sorted(path.parent for path in (ROOT / "models").glob("*/*/manifest.json"))
WITHOUT_A_PLACE = {"models/diarizer/versions/1.0.0"}
"""Published before cards had one."""
RATES = {
    "der_percent": 12.5,
    "missed_percent": 5.0,
    "false_alarm_percent": 2.5,
    "confusion_percent": 5.0,
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small model whose card has a place for the summary."""
    folder = write_stream_package(tmp_path / "package")
    rewrite_card(folder, f"# A model\n\n{BEGIN}\n\nNot measured.\n\n{END}\n\nLimits: tones.\n")
    return folder


def rewrite_card(folder: Path, card: str) -> None:
    """Another card, and the manifest that goes with it."""
    stated = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / CARD_FILE).write_text(card)
    stated["files"][CARD_FILE] = digest_of(card.encode())
    if stated["sizes"]:
        stated["sizes"][CARD_FILE] = len(card.encode())
    (folder / MANIFEST_FILE).write_text(Manifest.model_validate(stated).to_json())


@pytest.fixture
def report(package: Path) -> dict[str, Any]:
    """As JSON has it, of that model, with what the pages need."""
    manifest = load_package(package).manifest
    rates = [
        {"collar_total_seconds": 0.5, "pooled": RATES | {"der_percent": 9.0}},
        {"collar_total_seconds": 0.0, "pooled": RATES | {"jer_percent": 20.0, "name": "pooled"}},
    ]
    target = {"what": "simulated: DER", "maximum": 20.0, "measured": 12.5, "unit": "%"}
    target |= {"interval": {"low": 10.0, "high": 15.0}, "peer": 25.0, "peer_remark": ""}
    return {
        "provenance": {
            "machine": "a machine",
            "commit": "0123456789ab",
            "model": manifest.resource_name,
            "model_digest": manifest.files[MODEL_FILE],
            "runs": 1,
            "at": "2026-01-02",
        },
        "operating_point": manifest.operating_point.model_dump(),
        "protocol": "a protocol",
        "scorer": "a scorer",
        "no_peer": None,
        "no_peer_rates": None,
        "targets": [target | {"reached": True}],
        "equal_error_percent": {"density": {"pooled": 7.5}, "peer": {"pooled": 8.5}},
        "sets": {"simulated": {System.DENSITY: {"scorer": "a scorer", "rates": rates}}},
    }


def test_a_card_and_its_manifest_say_what_was_measured(
    package: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    """Between the marks, and nowhere else; the package is sound, and again the same."""
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\nof another model\n{END}\n")
    for _ in range(2):
        assert write_pages(report, package, readme) == [package / CARD_FILE]
        loaded = load_package(package)
        card = loaded.files[CARD_FILE].decode()
        assert card == f"# A model\n\n{BEGIN}\n\n{summary(report)}\n\n{END}\n\nLimits: tones.\n"
    (measured,) = loaded.manifest.measured
    named = {"data_set": "simulated", "protocol": "a protocol", "scorer": "a scorer"}
    assert measured.model_dump() == RATES | named
    assert block_of(readme.read_text()) == "of another model"


def test_the_summary_has_target_figure_peer_and_verdict(report: dict[str, Any]) -> None:
    """In a row each; where figures come from stands below."""
    lines = [re.sub(r" +", " ", line) for line in summary(report).splitlines()]
    assert ("| simulated: DER | at most 20 % | 12.5 % (10.0 to 15.0) | 25.0 % | reached |") in lines
    assert "| Resemblyzer's encoder | 8.5 |" in lines
    assert lines[-1].endswith("commit 0123456789ab, a machine, 1 run, 2026-01-02.")
    without = summary(report | {"no_peer": "it was not asked for"})
    assert "beside it: it was not asked for.**" in without


def test_the_readme_holds_the_default_models_summary(
    package: Path, report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other's."""
    monkeypatch.setattr(accuracy_pages, "DEFAULT_MODEL", package)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\n{END}\n\nafter\n")
    assert write_pages(report, package, readme) == [package / CARD_FILE, readme]
    assert readme.read_text() == f"before\n\n{BEGIN}\n\n{summary(report)}\n\n{END}\n\nafter\n"


def test_a_card_without_marks_stays_as_it_is(package: Path, report: dict[str, Any]) -> None:
    """A version that was published before is what it was, to the byte."""
    rewrite_card(package, "# A model\n")
    before = (package / MANIFEST_FILE).read_bytes()
    assert write_pages(report, package) == []
    assert (package / MANIFEST_FILE).read_bytes() == before
    assert load_package(package).files[CARD_FILE] == b"# A model\n"


@pytest.mark.parametrize("what", ["weights", "thresholds"])
def test_figures_of_another_model_are_not_written(
    package: Path, report: dict[str, Any], what: str
) -> None:
    """Neither of other weights nor of the same ones with other thresholds."""
    if what == "weights":
        report["provenance"]["model_digest"] = "sha256:0"
    else:
        report["operating_point"]["speech_threshold"] = 0.25
    with pytest.raises(NotAllowedNow) as refused:
        write_pages(report, package)
    assert refused.value.reason == "OTHER_MODEL"
    assert block_of((package / CARD_FILE).read_text()) == "Not measured."


def test_a_signed_package_stays_as_it_is(package: Path, report: dict[str, Any]) -> None:
    """Its bytes are somebody's word."""
    (package / SIGNATURE_FILE).write_text("{}")
    with pytest.raises(NotAllowedNow) as refused:
        write_pages(report, package)
    assert refused.value.reason == "SIGNED"
    assert block_of((package / CARD_FILE).read_text()) == "Not measured."


def test_a_signed_package_is_refused_before_anything_is_run(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after twenty minutes."""
    (package / SIGNATURE_FILE).write_text("{}")
    arguments = ["accuracy", "--write", "--model", str(package), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(accuracy, "EvaluationSet", Nothing)
    with pytest.raises(SystemExit, match="SIGNED"):
        accuracy.main()
    assert not (tmp_path / "out").exists()


class Nothing:
    """Sets that hold nothing."""

    @classmethod
    def open(cls, folder: Path) -> None:
        """None."""


def test_what_is_published_is_measured_on_all_sets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of a set has the set's name, and not its figures."""
    monkeypatch.setattr(sys, "argv", ["accuracy", "--write", "--data", "simulated"])
    with pytest.raises(SystemExit):
        accuracy.main()
    assert "no --data" in capsys.readouterr().err


def test_a_page_without_both_marks_has_no_place() -> None:
    """One mark alone bounds nothing."""
    assert block_of("text") is None
    assert block_of(f"{BEGIN} text") is None
    assert block_of(f"text {END}") is None
    assert block_of(with_block(f"a{BEGIN}{END}b", "text")) == "text"


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: "-".join(path.parts[-2:]))
def test_pages_say_what_the_published_report_says(folder: Path) -> None:
    """Of the weights and thresholds that are there.

    If not, `make evaluate EVALUATE=--write` is due.
    """
    path = report_path(folder)
    if not path.exists():
        pytest.skip(f"{folder.name} has no published accuracy report")
    report = json.loads(path.read_text("utf-8"))
    assert is_of(report, load_package(folder).manifest)
    said = None if report["provenance"]["model"] in WITHOUT_A_PLACE else summary(report)
    assert block_of((folder / CARD_FILE).read_text("utf-8")) == said
    if folder == DEFAULT_MODEL:
        assert block_of(README.read_text("utf-8")) == summary(report)
        assert block_of(path.with_suffix(".md").read_text("utf-8")) is None
        assert summary(report) in path.with_suffix(".md").read_text("utf-8")
