"""Each part of `make bench`, short, on small models: it measures, and the report reads it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks import (
    bench,
    density,
    growth,
    latency,
    lifecycle,
    long_run,
    model_call,
    overhead,
    providers,
    throughput,
)
from benchmarks.audio import pcm16
from benchmarks.bench_report import Beside
from benchmarks.bench_rows import rows
from benchmarks.parts import Run, Setup, part_document
from tests.fakes.models import Spoken, tones
from voiceflow.bench.live import Server

SCALE = 0.0005
TALK = tones(Spoken((2,), 3.0), Spoken((2, 8), 2.0), Spoken((8,), 3.0))
REFERENCE = """\
SPEAKER talk 1 0.000 5.000 <NA> <NA> A <NA> <NA>
SPEAKER talk 1 3.000 5.000 <NA> <NA> B <NA> <NA>
"""
PARTS: dict[str, tuple[Callable[[Setup], Run], dict[str, Any]]] = {
    "model_call": (model_call.measure, {}),
    "latency": (latency.measure, {"delays": [0.0, 2.0]}),
    "throughput": (throughput.measure, {}),
    "overhead": (overhead.measure, {}),
    "density": (density.measure, {"streams": 2}),
    "growth": (growth.measure, {"streams": [1, 2]}),
    "lifecycle": (lifecycle.measure, {"starts": False}),
    "long_run": (long_run.measure, {"streams": 2, "seconds": 1.0, "look_seconds": 0.02}),
    "providers": (providers.measure, {"batches": [1, 2], "streams": [1, 3]}),
}
SILENT = {"density"}
"""Whose rows ask for more than is tried here."""


@dataclass(frozen=True)
class OnOneService(Setup):
    """Puts every load on a service that is there, whichever model it is for.

    Attributes:
        server: It.
    """

    server: Server

    @cached_property
    def audio(self) -> bytes:
        """Two tones, one of which interrupts the other."""
        return 4 * pcm16(TALK)

    @contextmanager
    def service(self, model: Path, room: int) -> Iterator[Server]:
        """That service."""
        del model, room
        yield self.server


@pytest.mark.parametrize("name", PARTS)
def test_a_part_measures_what_the_report_reads(
    name: str,
    open_server: Server,
    stream_package: Path,
    window_package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every figure that its rows ask for."""
    (tmp_path / "simulated").mkdir()
    soundfile.write(tmp_path / "simulated" / "talk.wav", TALK, 16_000)
    (tmp_path / "simulated" / "talk.rttm").write_text(REFERENCE)
    monkeypatch.setattr(lifecycle, "SPEECH", tmp_path)
    measure, arguments = PARTS[name]
    setup = OnOneService(
        stream_package,
        window_package,
        SCALE,
        {},
        argparse.Namespace(**arguments),
        tmp_path,
        open_server,
    )
    document = json.loads(json.dumps(part_document(name, setup, [measure(setup)])))
    found = [row for row in rows({name: document}) if row.measured is not None]
    assert found or name in SILENT | {"growth", "providers"}
    text = bench.write({name: document}, tmp_path / "out", Beside())
    assert "models/tones/versions/1.0.0" in text


def test_the_report_is_made_of_what_its_parts_have_left(
    stream_package: Path,
    window_package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command, which runs each in a process of its own; one that fails is named."""
    models = ("--model", stream_package, "--window-model", window_package)
    (tmp_path / "cost.json").write_text("of an earlier run")
    shape = ("--only", "cost", "providers", "--runs", "1", "--scale", "0.01", "--out", tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, (*models, *shape))])
    with pytest.raises(SystemExit, match="failed: cost"):  # there is no density
        bench.main()
    assert "cuda, windowed: " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bench.json",
        "bench.md",
        "providers.json",
    ]
