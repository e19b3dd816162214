"""Gate 4: models that are nearly right, each refused by the rule that it breaks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import bad_models
from tests.fakes.models import write_stream_package, write_window_package
from tests.unit.validation.here import Here
from tests.unit.validation.packages import candidate, manifest_of, put
from voiceflow.catalog.gates import Finding
from voiceflow.validation.gates.behaviour import (
    TOLERANCE,
    behaviour_gate,
    judge_batches,
    judge_signals,
)
from voiceflow.validation.measured import Compared, Deviation, Heard, HeardAll
from voiceflow.validation.probes.behaviour import batches
from voiceflow.validation.values import GateOutcome


def judged(here: Here, folder: Path) -> GateOutcome:
    """What the gate says of a package."""
    return behaviour_gate(here, candidate(folder), manifest_of(folder))


def rules(here: Here, folder: Path) -> set[str]:
    """The rules that a package breaks."""
    return {finding.rule_id for finding in judged(here, folder).findings}


@pytest.mark.parametrize("write", [write_stream_package, write_window_package])
def test_a_model_as_it_should_be_passes(
    here: Here, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    """Of either contract."""
    outcome = judged(here, write(tmp_path))
    assert outcome.findings == ()
    assert {figure.name for figure in outcome.figures} >= {"context_furthest", "batches_furthest"}


@pytest.mark.parametrize(
    ("graph", "rule"),
    [
        (bad_models.forgetful, "behaviour.chunked-not-whole"),
        (bad_models.neighbourly, "behaviour.batch-independence"),
        (bad_models.prophetic, "behaviour.look-ahead"),
        (bad_models.unguarded, "behaviour.not-finite"),
        (bad_models.boastful, "behaviour.range"),
        (bad_models.stretched, "behaviour.unit-length"),
        (bad_models.shortened, "behaviour.shape"),
        (bad_models.lonely, "behaviour.run-failed"),
        (bad_models.moody, "behaviour.not-repeatable"),
    ],
)
def test_a_model_with_one_thing_wrong_is_refused_by_its_rule(
    here: Here, tmp_path: Path, graph: Callable[[], bytes], rule: str
) -> None:
    """Its golden outputs are what it gives: only running it otherwise tells (R13)."""
    package = write_stream_package(tmp_path / "right")
    if graph is bad_models.lonely:  # cannot even compute the golden outputs, of two rows
        put(package, "model.onnx", graph())
    else:
        package = write_stream_package(tmp_path / "wrong", graph=graph())
    assert rule in rules(here, package)


def test_a_model_that_mixes_rows_breaks_that_rule_alone(here: Here, tmp_path: Path) -> None:
    """Alone it is right in every way, so no other gate would find it."""
    package = write_stream_package(tmp_path, graph=bad_models.neighbourly())
    assert rules(here, package) == {"behaviour.batch-independence"}


def test_a_model_that_forgets_breaks_that_rule_alone(here: Here, tmp_path: Path) -> None:
    """In one call it is right in every way."""
    package = write_stream_package(tmp_path, graph=bad_models.forgetful())
    assert rules(here, package) == {"behaviour.chunked-not-whole"}


def test_context_shorter_than_what_the_model_hears_is_refused(here: Here, tmp_path: Path) -> None:
    """A stream that moves would go on wrong."""
    package = write_stream_package(tmp_path, context_seconds=0.1)
    assert rules(here, package) == {"behaviour.context"}


def test_golden_outputs_that_are_not_given_are_refused(here: Here, tmp_path: Path) -> None:
    """Those of another graph."""
    package = write_stream_package(tmp_path / "package")
    other = write_stream_package(tmp_path / "other", graph=bad_models.other_state())
    put(package, "golden.npz", (other / "golden.npz").read_bytes())
    (finding,) = judged(here, package).findings
    assert finding.rule_id == "behaviour.golden"
    assert "away from what is stated" in finding.seen


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY", b"\x80\x04K\x01."])
def test_golden_outputs_that_cannot_be_read_are_refused(
    here: Here, tmp_path: Path, content: bytes
) -> None:
    """Empty, garbage, half an array, a pickle (R16)."""
    package = write_stream_package(tmp_path)
    put(package, "golden.npz", content)
    assert rules(here, package) == {"behaviour.golden"}


def test_a_tolerance_that_proves_nothing_is_refused(here: Here, tmp_path: Path) -> None:
    """Golden outputs within any distance are none."""
    package = write_stream_package(tmp_path)
    with np.load(package / "golden.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **(arrays | {"tolerance": np.float32(10.0)}))
    put(package, "golden.npz", content.getvalue())
    assert rules(here, package) == {"behaviour.golden-tolerance"}


def test_every_number_of_rows_is_tried() -> None:
    """Up to the largest batch, since which rows round otherwise depends on how many there are."""
    orders = batches._orders()
    assert {len(order) for order in orders} == set(range(1, batches.ROWS + 1))
    assert [sorted(order) for order in orders] == [list(range(len(order))) for order in orders]
    assert orders[-1][0] != 0


def batch(distance: float | None) -> Finding:
    """What is said of rows that differ so much from the same rows alone."""
    deviation = Deviation(what="3 streams, 12 frames", tensor="speech", furthest=distance)
    (finding,) = judge_batches(Compared(comparisons=18, deviations=(deviation,)))
    return finding


def test_rows_that_differ_in_their_last_bits_are_told_how_to_round_alike() -> None:
    """The cure is another one than for rows that are mixed."""
    assert "multiple of 16" in batch(1e-7).message
    assert "mixes rows" in batch(0.3).message
    assert "mixes rows" in batch(None).message
    assert batch(1e-7).rule_id == batch(0.3).rule_id


def test_distances_up_to_the_tolerance_are_rounding(here: Here) -> None:
    """A bound is allowed; what is beyond is not."""
    assert here.opened == []
    heard = Heard(signal="noise", lowest=-1e-7, highest=1 + 1e-7, furthest_length=TOLERANCE)
    assert list(judge_signals(HeardAll(heard=(heard,)))) == []
    for broken in ({"lowest": -0.1}, {"highest": 1.1}, {"furthest_length": 0.1}):
        beyond = HeardAll(heard=(heard.model_copy(update=broken),))
        assert len(list(judge_signals(beyond))) == 1
