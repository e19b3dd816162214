"""Dashboards and alert rules ask for what the services tell, and every alert has its runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.queries import ROOT, Query, faults, labels_in_code

DEPLOY: Final = ROOT / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARDS: Final = sorted((DEPLOY / "grafana").glob("*.json"))
RUNBOOKS: Final = ROOT / "docs" / "runbooks.md"

_SHOWN: Final = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


@pytest.fixture(scope="module")
def labels() -> frozenset[str]:
    """What they are told apart by."""
    return labels_in_code()


def queries_of_dashboard(path: Path) -> Iterator[Query]:
    """Every query of a dashboard."""
    board = json.loads(path.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            shown = frozenset(_SHOWN.findall(target["legendFormat"]))
            yield Query(f"{path.name}: {panel['title']}", target["expr"], shown)
    for annotation in board["annotations"]["list"]:
        shown = frozenset(_SHOWN.findall(annotation["textFormat"]))
        yield Query(f"{path.name}: {annotation['name']}", annotation["expr"], shown)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            call = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert call, variable
            metric, label = call.groups()
            yield Query(f"{path.name}: ${variable['name']}", f"sum by ({label}) ({metric})")


def rules_of(path: Path) -> list[dict[str, Any]]:
    """Every alert rule of a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def queries_of_rules(path: Path) -> Iterator[Query]:
    """The query of each rule, with the labels that its summary shows."""
    for rule in rules_of(path):
        shown = frozenset(_SHOWN.findall(rule["annotations"]["summary"]))
        yield Query(f"{path.name}: {rule['alert']}", rule["expr"], shown)


def queries(path: Path) -> Iterator[Query]:
    """Every query of a file."""
    return queries_of_rules(path) if path.suffix == ".yaml" else queries_of_dashboard(path)


def runbook_faults(alerts: Path, runbooks: Path) -> Iterator[str]:
    """Alerts without a section, and sections without an alert."""
    headings = set(re.findall(r"^## (\w+)$", runbooks.read_text(), re.MULTILINE))
    for rule in rules_of(alerts):
        name = rule["alert"]
        if rule["annotations"].get("runbook") != f"docs/runbooks.md#{name.lower()}":
            yield f"{name}: its runbook is not its own section"
        if rule["labels"]["severity"] not in {"page", "ticket"}:
            yield f"{name}: severity is page or ticket"
        if name not in headings:
            yield f"{name}: docs/runbooks.md has no such section"
        headings.discard(name)
    yield from (f"{heading}: no alert is called so" for heading in sorted(headings))


FILES: Final = [*DASHBOARDS, ALERTS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_whatever_is_asked_for_is_told(
    path: Path, metrics: frozenset[str], labels: frozenset[str]
) -> None:
    """Each metric and label of each query is one that code gives, as Prometheus spells it."""
    found = list(queries(path))
    assert len(found) > 10
    assert [fault for query in found for fault in faults(query, metrics, labels)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_name_that_nothing_tells_is_found_out(
    path: Path, metrics: frozenset[str], labels: frozenset[str], tmp_path: Path
) -> None:
    """In a copy with one metric, one matcher, one grouping or one legend spoiled."""
    text = path.read_text()
    name = next(one for query in queries(path) for one in sorted(query.metrics - {"up"}))
    by = re.search(r"by \((?:le, )?(\w+)", text)
    assert by is not None
    quote = r"\"" if path.suffix == ".json" else '"'
    spoiled = {
        f"there is no metric {name}s": text.replace(name, f"{name}s"),
        "nothing has the label speling": re.sub(r"by \((le, )?\w+", r"by (\1speling", text),
        "nothing has the label speled": re.sub(
            r"_total(?:\[|\{)", f"_total{{speled={quote}x{quote}, ", text
        ),
        f"its answers have no label {by[1]}x": re.sub(
            rf"(\{{\{{ ?(?:\$labels\.)?){by[1]}\b", rf"\g<1>{by[1]}x", text
        ),
    }
    for fault, changed in spoiled.items():
        copy = tmp_path / path.name
        copy.write_text(changed)
        told = [one for query in queries(copy) for one in faults(query, metrics, labels)]
        assert any(fault in one for one in told), fault


def test_a_query_is_read_to_its_names() -> None:
    """Functions, words, ranges, offsets and texts are none."""
    query = Query(
        "x",
        'histogram_quantile(0.99, sum by (le, a) (rate(m_bucket{b="up", c=~"x|y"}[5m]))) > 0.1'
        " or (n unless on (d) n offset 15m) * 1e3",
    )
    assert query.metrics == {"m_bucket", "n"}
    assert query.labels == {"le", "a", "b", "c", "d"}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """Who is woken is told what to do."""
    assert list(runbook_faults(ALERTS, RUNBOOKS)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("alert: HopsSlow", "alert: HopsLate", "HopsLate: docs/runbooks.md has no such section"),
        ("alert: HopsSlow", "alert: HopsLate", "HopsSlow: no alert is called so"),
        ("md#hopsslow", "md#hops", "HopsSlow: its runbook is not its own section"),
        ("severity: ticket", "severity: later", "RoomShort: severity is page or ticket"),
    ],
)
def test_an_alert_without_its_runbook_is_found_out(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    """In a spoiled copy."""
    copy = tmp_path / "alerts.yaml"
    copy.write_text(ALERTS.read_text().replace(old, new))
    assert fault in list(runbook_faults(copy, RUNBOOKS))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_fire_when_they_should_and_never_else() -> None:
    """As Prometheus itself runs deploy/prometheus/alerts_test.yaml."""
    tests = DEPLOY / "prometheus" / "alerts_test.yaml"
    ended = subprocess.run(
        ["promtool", "test", "rules", tests.name],  # noqa: S607 - whichever there is
        cwd=tests.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_in_the_rules_own_test() -> None:
    """None is written whose firing nobody has seen."""
    test = yaml.safe_load((ALERTS.parent / "alerts_test.yaml").read_text())
    fired = re.findall(r'alertname="(\w+)"', json.dumps(test).replace("\\", ""))
    assert sorted(fired) == sorted(rule["alert"] for rule in rules_of(ALERTS))
