"""Ours and the peer's in one picture: by delay, by age of the stream, and end of speech."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy_systems import System
from voiceflow.cli.evaluate.end_of_speech import MAXIMUM_CUT_IN_PERCENT
from voiceflow.cli.evaluate.report import Report
from voiceflow.cli.evaluate.tables import age_name

NAMES: Final[Mapping[System, str]] = {
    System.DENSITY: "density mode",
    System.AGENT: "agent mode",
    System.PEER: "the peer",
}
"""Of the systems that say something while they listen."""
COLOURS: Final[Mapping[System, str]] = {
    System.DENSITY: "#1b6ca8",
    System.AGENT: "#2a9d5c",
    System.PEER: "#c4572b",
}

MAXIMUM_LATENCY_MILLISECONDS: Final[Mapping[float, float]] = {50.0: 200.0, 95.0: 400.0}
"""Of the end of speech, by percent of the ends, at `MAXIMUM_CUT_IN_PERCENT` false cut-ins."""

Results = Mapping[str, Mapping[System, Report]]
"""By set and system."""


def plot_by_delay(results: Results, path: Path) -> None:
    """DER of what is known so long after the audio, a panel for each set."""
    figure, panels = _panels(results)
    for (name, reports), axes in zip(results.items(), panels, strict=True):
        for system, report in _told(reports).items():
            assert report.streaming is not None  # noqa: S101 - see _told
            known = list(report.streaming.by_delay.items())
            names = [f"{delay:g}" if math.isfinite(delay) else "end" for delay, _ in known]
            rates = [errors.der_percent for _, errors in known]
            axes.plot(names, rates, "o-", color=COLOURS[system], label=NAMES[system])
        _label(axes, name, "seconds after the audio", "DER %")
    _save(figure, path)


def plot_by_age(results: Results, path: Path) -> None:
    """DER in the end by the age of the stream, a panel for each set."""
    figure, panels = _panels(results)
    for (name, reports), axes in zip(results.items(), panels, strict=True):
        told = _told(reports)
        for number, (system, report) in enumerate(told.items()):
            assert report.streaming is not None  # noqa: S101 - see _told
            ages = report.streaming.by_age
            spans = pairwise([*ages, math.inf])
            bars = [
                (age_name(*span), errors.der_percent)
                for span, errors in zip(spans, ages.values(), strict=True)
                if errors.reference_seconds
            ]
            width = 0.8 / len(told)
            places = [at + (number + 0.5) * width - 0.4 for at in range(len(bars))]
            heights = [rate for _, rate in bars]
            axes.bar(places, heights, width, color=COLOURS[system], label=NAMES[system])
            axes.set_xticks(range(len(bars)), [age for age, _ in bars])
        _label(axes, name, "age of the stream", "DER %")
    _save(figure, path)


def plot_end_of_speech(results: Results, path: Path) -> None:
    """Latency against false cut-ins, a panel for each set; what was sent is a cross.

    Where a set has no pause, a panel has no line.
    """
    figure, panels = _panels(results)
    for (name, reports), axes in zip(results.items(), panels, strict=True):
        for system, colour in COLOURS.items():
            found = reports[system].end_of_speech if system in reports else None
            if found is None or system is System.DENSITY:  # agents wait in agent mode
                continue
            for percent, style in ((50.0, "o-"), (95.0, "s--")):
                front = [
                    (1000 * point.endings.latency_seconds(percent), point.endings.cut_in_percent)
                    for point in found.front(percent)
                ]
                label = f"{NAMES[system]}, P{percent:g}"
                axes.plot(*_columns(front), style, color=colour, markersize=3, label=label)
                if found.as_sent is not None:
                    sent = 1000 * found.as_sent.latency_seconds(percent)
                    axes.plot(sent, found.as_sent.cut_in_percent, "x", color=colour)
        for percent, marker in ((50.0, "o"), (95.0, "s")):
            target = MAXIMUM_LATENCY_MILLISECONDS[percent], MAXIMUM_CUT_IN_PERCENT
            label = f"target, P{percent:g}"
            axes.plot(*target, marker, color="black", fillstyle="none", label=label)
        axes.set_xlim(0, 1000)
        _label(axes, name, "ms from the end of speech", "false cut-ins %")
    _save(figure, path)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _told(reports: Mapping[System, Report]) -> dict[System, Report]:
    """The systems that say something while they listen."""
    return {
        system: report
        for system, report in reports.items()
        if system in COLOURS and report.streaming is not None
    }


def _panels(results: Results) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * len(results), 4.0), layout="constrained")
    return figure, list(figure.subplots(1, len(results), squeeze=False).flat)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _save(figure: Figure, path: Path) -> None:
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        lines, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, lines, strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    # Without the version of what drew it: the same figures give the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
