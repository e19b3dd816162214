"""What is known of models beside the one that is reported on, of results of their own.

A model's own accuracy report, and that of the default model's variants, are made by other runs; a
report says what stood in `results/` when it was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy_systems import System
from voiceflow.cli.evaluate.tables import number, table

VARIANTS = "variants"


def others_text(results: Path, own: str) -> str:
    """A row of error rates for each model, and where more is said of it.

    Args:
        results: Folder of published figures.
        own: Name of the report that this goes into, without suffix.
    """
    rows = [
        [model, how, set_name, *(number(rates[part]) for part in _PARTS), f"[{page}]({page})"]
        for model, how, set_name, rates, page in (*_reported(results, own), *_variants(results))
    ]
    if not rows:
        return ""
    head = ["model", "through the", "set", "DER %", "missed", "false alarm", "confusion", "report"]
    return table(head, rows)


def _reported(results: Path, own: str) -> Iterator[tuple[str, str, str, dict[str, float], str]]:
    """Through the service, in density mode."""
    for path in sorted(results.glob("accuracy*.json")):
        if path.stem != own:
            report = json.loads(path.read_text("utf-8"))
            for name, systems in report["sets"].items():
                yield (
                    _short(report["provenance"]["model"]),
                    "service",
                    name,
                    systems[System.DENSITY]["rates"][0]["pooled"],
                    f"{path.stem}.md",
                )


def _variants(results: Path) -> Iterator[tuple[str, str, str, dict[str, float], str]]:
    """Through the pipeline alone, the original first."""
    path = results / f"{VARIANTS}.json"
    models: list[dict[str, Any]] = (
        json.loads(path.read_text("utf-8"))["models"] if path.exists() else []
    )
    for one in models:
        for name, pooled in one["sets"].items():
            yield _short(one["model"]), "pipeline", name, pooled, f"{VARIANTS}.md"


def _short(resource_name: str) -> str:
    """`diarizer 2.0.0`."""
    _, model, _, version = resource_name.split("/")
    return f"{model} {version}"


_PARTS = ("der_percent", "missed_percent", "false_alarm_percent", "confusion_percent")
