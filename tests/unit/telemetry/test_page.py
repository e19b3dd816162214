"""The page for operators names what there is: every metric, every option, and no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from voiceflow.telemetry import TelemetrySettings, metrics
from voiceflow_inference.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "observing.md").read_text("utf-8")


def test_every_metric_is_on_the_page_with_what_it_tells() -> None:
    """A row for each, in the words of the instrument itself."""
    rows = dict(
        re.findall(r"^\| `(voiceflow\.[a-z_.]+)` \| (?:\w| )+ \| (.*) \|$", PAGE, re.MULTILINE)
    )
    made = {}
    for node in ast.walk(ast.parse(Path(metrics.__file__).read_text("utf-8"))):
        if isinstance(node, ast.Call) and len(node.args) >= 3:
            texts = [part.value for part in node.args[:3] if isinstance(part, ast.Constant)]
            if len(texts) == 3 and str(texts[0]).startswith("voiceflow."):
                made[texts[0]] = texts[2]
    assert rows == made


def test_every_option_is_on_the_page_with_its_default() -> None:
    """Those of both services, and the objective of the inference service."""
    rows = dict(
        re.findall(r"^\| `--([a-z-]+)[^|`]*(?:\\\|\w+)?` \| ([^|]*) \|", PAGE, re.MULTILINE)
    )
    fields = {**TelemetrySettings.model_fields}
    del fields["log_level"]
    fields["latency_objective_seconds"] = Settings.model_fields["latency_objective_seconds"]
    assert rows == {
        name.replace("_", "-"): "none" if field.default is None else shown(field.default)
        for name, field in fields.items()
    }


def shown(value: object) -> str:
    """A default as the page writes it."""
    return f"`{value}`" if isinstance(value, str) else str(value)
