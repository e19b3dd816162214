"""Instruments have one place, one name each, and do nothing that a stream could feel."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.fakes.metrics import counted, histogram_count, told
from voiceflow.telemetry import metrics
from voiceflow.telemetry.metrics import Gauge

ROOT = Path(__file__).parents[3]


def test_instruments_are_made_in_one_place_alone() -> None:
    """No other module asks OpenTelemetry for a meter."""
    packages = [ROOT / "src", ROOT / "services"]
    makers = {
        path.name
        for package in packages
        for path in package.rglob("*.py")
        if re.search(
            r"get_meter\b|create_(counter|histogram|gauge|up_down)", path.read_text("utf-8")
        )
    }
    assert makers == {"metrics.py"}


def test_names_are_the_projects_own_and_no_two_are_alike() -> None:
    """`voiceflow.` and words with dots, each with a unit and a meaning."""
    tree = ast.parse(Path(metrics.__file__).read_text("utf-8"))
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("voiceflow.")
    ]
    assert len(texts) == len(set(texts)) > 30
    assert all(re.fullmatch(r"voiceflow(\.[a-z_]+)+", name) for name in texts)


def test_a_gauge_says_what_it_is_told_while_somebody_tells() -> None:
    """Two parts of a process may tell; when they end, so does what they said."""
    with metrics.QUEUE_HOPS.told_by(lambda: [(3, {"who": "one"})]):
        with metrics.QUEUE_HOPS.told_by(lambda: [(4, {"who": "other"})]):
            assert told("voiceflow.queue.hops", who="one") == [3]
            assert told("voiceflow.queue.hops", who="other") == [4]
        assert told("voiceflow.queue.hops", who="other") == []
    assert told("voiceflow.queue.hops", who="one") == []


def test_a_gauge_tells_of_nothing_that_is_gone() -> None:
    """A version that is not loaded any more leaves no value behind."""
    loaded = ["1.0.0", "1.1.0"]
    with metrics.GENERATION_STATE.told_by(lambda: [(1, {"version": one}) for one in loaded]):
        assert told("voiceflow.generation.state") == [1, 1]
        loaded.remove("1.0.0")
        assert told("voiceflow.generation.state", version="1.1.0") == [1]
        assert told("voiceflow.generation.state", version="1.0.0") == []


def test_what_is_counted_is_read_again() -> None:
    """Counters add up, and histograms know how many values they hold."""
    assert isinstance(metrics.STREAMS, Gauge)
    before = counted("voiceflow.swaps", version="test"), histogram_count("voiceflow.batch.size")
    metrics.SWAPS.add(1, {"version": "test"})
    metrics.BATCH_SIZE.record(4)
    assert counted("voiceflow.swaps", version="test") == before[0] + 1
    assert histogram_count("voiceflow.batch.size") == before[1] + 1
