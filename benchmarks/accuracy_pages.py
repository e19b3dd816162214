"""Puts the summary of an accuracy report where people look first: the README, and the model's card.

There it stands between two marks, and nothing else of the page is touched. A card is one of the
files of its package, so the manifest is written anew as well, with the card's digest and the error
rates that were measured. That makes other bytes of the same version: it is done before the version
is published, never after.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import blocks
from benchmarks.accuracy_summary import summary
from benchmarks.accuracy_systems import System
from benchmarks.paths import DEFAULT_MODEL, ROOT
from voiceflow.artifact import Manifest, Measurement, OperatingPoint, digest_of
from voiceflow.cli.evaluate.figures import finite
from voiceflow.errors import NotAllowedNow
from voiceflow.package import (
    CARD_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    load_package,
)

_BLOCK: Final = "accuracy"
BEGIN, END = blocks.marks(_BLOCK)

RESULTS: Final = ROOT / "benchmarks" / "results"
README: Final = ROOT / "README.md"


def report_path(folder: Path) -> Path:
    """Where the published report of a package's model lies."""
    manifest = load_package(folder).manifest
    default = folder.resolve() == DEFAULT_MODEL.resolve()
    name = "accuracy" if default else f"accuracy-{manifest.model}-{manifest.version}"
    return RESULTS / f"{name}.json"


def check_unsigned(folder: Path) -> None:
    """Whether the files of a package may change.

    Raises:
        NotAllowedNow: SIGNED, they are somebody's word already.
    """
    if (folder / SIGNATURE_FILE).exists():
        raise NotAllowedNow(f"{folder} is signed: its card stays as it is", reason="SIGNED")


def write_pages(report: Mapping[str, Any], folder: Path, readme: Path = README) -> list[Path]:
    """Writes the summary to the package and, if it is the default model's, to the README.

    Args:
        report: As JSON has it.
        folder: Of the package; a card without marks stays as it is, and so does its manifest.
        readme: Whose marks are filled.

    Returns:
        The pages that hold it now.

    Raises:
        NotAllowedNow: SIGNED; OTHER_MODEL, the report is of other weights or thresholds.
    """
    check_unsigned(folder)
    if not is_of(report, load_package(folder).manifest):
        origin = report["provenance"]
        raise NotAllowedNow(
            f"{origin['model']} was measured, with weights of digest {origin['model_digest']};"
            f" those of {folder} or its thresholds are others",
            reason="OTHER_MODEL",
        )
    text = summary(report)
    pages = [folder / CARD_FILE]
    if folder.resolve() == DEFAULT_MODEL.resolve():
        pages.append(readme)
    written = []
    for page in pages:
        before = page.read_text("utf-8")
        if block_of(before) is not None:
            page.write_text(with_block(before, text), "utf-8")
            written.append(page)
    if pages[0] in written:
        _write_manifest(report, folder)
    return written


def is_of(report: Mapping[str, Any], manifest: Manifest) -> bool:
    """Whether a report, as JSON has it, is of these weights with these thresholds."""
    thresholds = OperatingPoint.model_validate(report["operating_point"])
    return bool(
        report["provenance"]["model_digest"] == manifest.files[MODEL_FILE]
        and finite(thresholds.model_dump()) == finite(manifest.operating_point.model_dump())
    )


def block_of(page: str) -> str | None:
    """What stands between the marks; None: they are not there."""
    return blocks.block_of(page, _BLOCK)


def with_block(page: str, text: str) -> str:
    """The page with another text between its marks."""
    return blocks.with_block(page, _BLOCK, text)


def _write_manifest(report: Mapping[str, Any], folder: Path) -> None:
    path = folder / MANIFEST_FILE
    stated = Manifest.from_json(path.read_bytes()).model_dump()
    card = (folder / CARD_FILE).read_bytes()
    stated["files"][CARD_FILE] = digest_of(card)
    if stated["sizes"]:
        stated["sizes"][CARD_FILE] = len(card)
    stated["measured"] = [
        _measurement(name, systems[System.DENSITY]) | {"protocol": report["protocol"]}
        for name, systems in report["sets"].items()
    ]
    path.write_text(Manifest.model_validate(stated).to_json(), "utf-8")


def _measurement(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    pooled = next(r["pooled"] for r in told["rates"] if r["collar_total_seconds"] == 0)
    rates = {field: pooled[field] for field in Measurement.model_fields if field in pooled}
    return {"data_set": name, "scorer": told["scorer"]} | rates
