"""Thresholds are chosen by what they earn."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training import operating_point
from voiceflow.artifact import Manifest
from voiceflow.package import load_package


@pytest.mark.parametrize(("gain_percent", "moves"), [(0.05, False), (0.5, True)])
def test_a_threshold_moves_for_more_than_chance(
    stream_package: Path, monkeypatch: pytest.MonkeyPatch, gain_percent: float, moves: bool
) -> None:
    """A turn or two of a tuning set are no reason."""

    def rates(manifest: Manifest, _heard: object) -> dict[str, float]:
        better = manifest.operating_point.overlap_threshold == 0.8
        told = dict.fromkeys(("missed detection", "false alarm", "confusion"), 0.0)
        return {**told, "der": 20.0 - gain_percent * better}

    monkeypatch.setattr(operating_point, "error_rates", rates)
    found = operating_point.search(load_package(stream_package).manifest, [])
    assert (found.overlap_threshold == 0.8) is moves
