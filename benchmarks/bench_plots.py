"""Pictures of the report on speed and scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.bench_report import PLOTS, medians
from benchmarks.bench_rows import Documents

_BLUE, _GREEN, _RED = "#1b6ca8", "#2a9d5c", "#c4572b"


def plot(documents: Documents, folder: Path) -> list[Path]:
    """Draws what there is; `bench-NAME.png` in a folder."""
    drawn = []
    for name in PLOTS:
        if name not in documents:
            continue
        figure = Figure(figsize=(10.4, 4.0), layout="constrained")
        panels = figure.subplots(1, 2)
        _DRAW[name](documents, panels[0], panels[1])
        for axes in panels:
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
        path = folder / f"bench-{name}.png"
        # Without the version of what drew it: the same figures give the same file.
        figure.savefig(path, dpi=110, metadata={"Software": None})
        drawn.append(path)
    return drawn


def _growth(documents: Documents, left: Axes, right: Axes) -> None:
    run = documents["growth"]["runs"][0]
    found = [one["figures"] for one in run["by_streams"]]
    streams = [one["streams"] for one in found]
    left.plot(streams, [one["server_cpu_milliseconds"] for one in found], "o-", color=_BLUE)
    left.set_title("processor time of the server")
    left.set_ylabel("ms a second of a stream")
    right.plot(streams, [one["server_resident_megabytes"] for one in found], "o-", color=_GREEN)
    right.set_title("memory of the server")
    right.set_ylabel("MB")
    for axes in (left, right):
        axes.set_xlabel("live streams")


def _latency(documents: Documents, left: Axes, right: Axes) -> None:
    for axes, load, title in (
        (left, "calls", "calls of 3 s, twice a second"),
        (right, "streams", "live streams"),
    ):
        for model, style in (("windowed", "s--"), ("default", "o-")):
            delays = sorted(documents["latency"]["runs"][0][model], key=float)
            for percent, colour in ((50, _BLUE), (95, _GREEN), (99, _RED)):
                keys = (load, "latency", f"p{percent}_milliseconds")
                found = [medians(documents, "latency", model, one, *keys) for one in delays]
                known = [one if one is not None else float("nan") for one in found]
                label = f"{model}, P{percent}"
                axes.plot([float(one) for one in delays], known, style, color=colour, label=label)
        axes.set_title(title)
        axes.set_xlabel("ms of network added")
        axes.set_ylabel("ms")


def _throughput(documents: Documents, left: Axes, right: Axes) -> None:
    kinds = {"raw": _RED, "clients_accounted": _BLUE, "by_processor_time": _GREEN}
    for axes, callers, title in (
        (left, "cores", "of the bare loop on all cores"),
        (right, "engines", "of as many bare calls at once as the service makes"),
    ):
        bars = [(model, method) for model in ("windowed", "default") for method in _METHODS]
        for number, (kind, colour) in enumerate(kinds.items()):
            heights = [
                medians(documents, "throughput", model, method, "ratios", callers, kind) or 0.0
                for model, method in bars
            ]
            places = [at + (number - 1) * 0.27 for at in range(len(bars))]
            axes.bar(places, heights, 0.27, color=colour, label=kind.replace("_", " "))
        axes.set_xticks(
            range(len(bars)), [f"{model}\n{_METHODS[method]}" for model, method in bars]
        )
        axes.axhline(0.9, color="black", linewidth=0.8)
        axes.set_title(title)


_METHODS: Final = {"file": "DiarizeFile", "stream": "Diarize"}
_DRAW: Final[dict[str, Callable[[Documents, Axes, Axes], None]]] = {
    "growth": _growth,
    "latency": _latency,
    "throughput": _throughput,
}
