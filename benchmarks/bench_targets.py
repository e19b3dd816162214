"""What speed and scale are to be: every figure that `make bench` measures, and its target. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from voiceflow.bench.figures import MAXIMUM_LAG_GROWTH_MILLISECONDS

Run = Mapping[str, Any]
"""What a part has written of one run."""

ONE_CALL: Final = "One model call"
END_TO_END: Final = "End to end"
SCALE: Final = "Scale"
LIFE: Final = "Life of a service"
LARGE: Final = "Large models"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is to be reached.

    Attributes:
        section: Of the report.
        what: Is measured.
        unit: Of it.
        part: That measures it.
        read: Finds it in a run; KeyError, TypeError, IndexError: it is not there;
            ZeroDivisionError: too little was measured.
        maximum: That is allowed; None: none is set.
        minimum: Likewise.
    """

    section: str
    what: str
    unit: str
    part: str
    read: Callable[[Run], float | None]
    maximum: float | None = None
    minimum: float | None = None

    @property
    def windowed(self) -> bool:
        """Whether it is of the windowed model."""
        return self.what.startswith("windowed")


def _call(model: str, batch: int, figure: str) -> Callable[[Run], float]:
    return lambda run: run[model][str(batch)]["call"][figure]


def _way(model: str, delay: str, load: str, figure: str) -> Callable[[Run], float]:
    return lambda run: run[model][delay][load]["latency"][figure]


def _ratio(model: str, method: str, callers: str, kind: str) -> Callable[[Run], float | None]:
    return lambda run: run[model][method]["ratios"][callers][kind]


def _served(model: str, method: str, figure: str) -> Callable[[Run], float]:
    return lambda run: run[model][method]["served"][figure]


def _at(streams: int, figure: str) -> Callable[[Run], float | None]:
    """Of that many streams in `growth`."""

    def read(run: Run) -> float | None:
        found = [
            one["figures"] for one in run["by_streams"] if one["figures"]["streams"] == streams
        ]
        value: float | None = found[0][figure]
        return value

    return read


def _five_hundred(run: Run) -> Run:
    """Of the streams in `density`; KeyError: there were others."""
    found: Run = {one["streams"]: one for one in (run["streams"],)}[500]
    return found


def _overhead(model: str, streams: str, figure: str) -> Callable[[Run], float]:
    return lambda run: run[model][streams]["overhead"][figure]


def _time(kind: str, figure: str) -> Callable[[Run], float]:
    return lambda run: run[kind][figure]


_P50, _P95, _P99 = (f"p{percent}_milliseconds" for percent in (50, 95, 99))

TARGETS: Final[tuple[Target, ...]] = (
    Target(ONE_CALL, "windowed, 3 s, idle: median", "ms", "model_call", _call("windowed", 1, _P50)),
    Target(ONE_CALL, "windowed, 3 s, idle: P95", "ms", "model_call", _call("windowed", 1, _P95)),
    Target(
        ONE_CALL, "windowed, 3 s, idle: P99", "ms", "model_call", _call("windowed", 1, _P99), 10.0
    ),
    Target(
        ONE_CALL,
        "windowed, 3 s, while 20 paced clients are served: P99",
        "ms",
        "model_call",
        lambda run: run["served"]["call"][_P99],
        10.0,
    ),
    Target(
        ONE_CALL,
        "windowed, on all cores",
        "calls/s",
        "throughput",
        lambda run: run["windowed"]["bare"]["cores"]["best"]["rows_per_second"],
        minimum=297.0,
    ),
    Target(
        ONE_CALL,
        "default model, its file",
        "MB",
        "model_call",
        lambda run: run["default_model_megabytes"],
        8.0,
    ),
    Target(
        ONE_CALL,
        "default model, a second of audio, batch 16",
        "ms",
        "model_call",
        lambda run: run["default"]["16"]["milliseconds_per_audio_second"],
        1.0,
    ),
    *(
        Target(
            END_TO_END,
            f"windowed, 20 paced clients, 3 s twice a second, {way}: P99",
            "ms",
            "latency",
            _way("windowed", delay, "calls", _P99),
            maximum,
        )
        for delay, way, maximum in (
            ("0", "loopback", 20.0),
            ("10", "10 ms of network added", 60.0),
            ("40", "40 ms of network added", 60.0),
        )
    ),
    *(
        Target(
            END_TO_END,
            f"default model, 20 live streams, {way}: P99",
            "ms",
            "latency",
            _way("default", delay, "streams", _P99),
            maximum,
        )
        for delay, way, maximum in (
            ("0", "loopback", 20.0),
            ("40", "40 ms of network added", 60.0),
        )
    ),
    *(
        target
        for model in ("windowed", "default")
        for target in (
            Target(
                END_TO_END,
                f"{model}, closed loop of 20 clients, DiarizeFile of 3 s",
                "calls/s",
                "throughput",
                _served(model, "file", "calls_per_second"),
            ),
            Target(
                END_TO_END,
                f"{model}, the same by Diarize",
                "calls/s",
                "throughput",
                _served(model, "stream", "calls_per_second"),
            ),
            *(
                target
                for method, name in (("file", "DiarizeFile"), ("stream", "Diarize"))
                for target in (
                    Target(
                        END_TO_END,
                        f"{model}, {name}, success of that run",
                        "%",
                        "throughput",
                        _served(model, method, "success_percent"),
                        minimum=100.0,
                    ),
                    Target(
                        END_TO_END,
                        f"{model}, {name}, of the bare loop on all cores, clients accounted",
                        "",
                        "throughput",
                        _ratio(model, method, "cores", "clients_accounted"),
                        minimum=0.9,
                    ),
                )
            ),
            Target(
                END_TO_END,
                f"{model}, of the bare loop on all cores, raw",
                "",
                "throughput",
                _ratio(model, "file", "cores", "raw"),
            ),
            Target(
                END_TO_END,
                f"{model}, of as many bare calls at once as the service makes, clients accounted",
                "",
                "throughput",
                _ratio(model, "file", "engines", "clients_accounted"),
            ),
            Target(
                END_TO_END,
                f"{model}, of the bare loop, by processor time",
                "",
                "throughput",
                _ratio(model, "file", "engines", "by_processor_time"),
            ),
        )
    ),
    *(
        Target(
            END_TO_END,
            f"{model}, server overhead of a hop, {streams} at once: {name}",
            "ms",
            "overhead",
            _overhead(model, streams, key),
            maximum,
        )
        for model in ("windowed", "default")
        for streams in ("1", "20")
        for name, key, maximum in (("median", _P50, 1.0), ("P99", _P99, 3.0))
    ),
    Target(
        SCALE,
        "density mode, 500 streams: P99",
        "ms",
        "density",
        lambda run: _five_hundred(run)["latency"][_P99],
        100.0,
    ),
    Target(
        SCALE,
        "density mode, 500 streams: lag growth",
        "ms",
        "density",
        lambda run: _five_hundred(run)["lag_growth_milliseconds"],
        MAXIMUM_LAG_GROWTH_MILLISECONDS,
    ),
    Target(
        SCALE,
        "density mode, 500 streams: refused or failed",
        "streams",
        "density",
        lambda run: _five_hundred(run)["refused"] + _five_hundred(run)["failed"],
        0.0,
    ),
    Target(
        SCALE,
        "density mode, 500 streams: processor time of the server for a second of a stream",
        "ms",
        "density",
        lambda run: _five_hundred(run)["server_cpu_milliseconds"],
        1.6,
    ),
    Target(
        SCALE,
        "density mode, most streams with P99 under 100 ms",
        "streams",
        "density",
        lambda run: run["density"]["largest"],
        minimum=500.0,
    ),
    Target(
        SCALE,
        "agent mode, most streams with P99 under 100 ms",
        "streams",
        "density",
        lambda run: run["agent"]["largest"],
    ),
    Target(
        SCALE,
        "agent mode, at that: processor time of the server for a second of a stream",
        "ms",
        "density",
        lambda run: run["agent"]["figures"]["server_cpu_milliseconds"],
    ),
    Target(
        SCALE,
        "memory at 500 streams",
        "MB",
        "growth",
        _at(500, "server_resident_megabytes"),
        450.0,
    ),
    Target(
        SCALE,
        "of it a stream",
        "MB",
        "growth",
        _at(500, "server_resident_megabytes_per_stream"),
    ),
    Target(
        LIFE,
        "cold start to first reply",
        "s",
        "lifecycle",
        lambda run: run["cold_start_seconds"],
    ),
    Target(
        LIFE,
        "warm start to first reply",
        "s",
        "lifecycle",
        lambda run: run["warm_start_seconds"],
    ),
    Target(
        LIFE,
        "a conversation of an hour, faster than real time",
        "times",
        "lifecycle",
        lambda run: run["hour"]["times_real_time"],
    ),
    Target(
        LIFE,
        "a conversation of an hour, processor time of its last tenth over that of its first",
        "",
        "lifecycle",
        lambda run: (
            run["hour"]["cpu_milliseconds_per_second"][-1]
            / run["hour"]["cpu_milliseconds_per_second"][0]
        ),
    ),
    Target(
        LIFE,
        "interruption until it is told, of those noticed: median",
        "ms",
        "lifecycle",
        lambda run: run["interruptions"]["latency"][_P50],
    ),
    Target(
        LIFE,
        "interruptions noticed",
        "%",
        "lifecycle",
        lambda run: 100 * run["interruptions"]["noticed"] / run["interruptions"]["interruptions"],
    ),
    Target(
        LIFE,
        "streams of a long run that were refused or failed",
        "streams",
        "long_run",
        lambda run: run["figures"]["refused"] + run["figures"]["failed"],
        0.0,
    ),
    Target(
        LIFE,
        "memory, last tenth of a long run over its second",
        "",
        "long_run",
        lambda run: run["resident_megabytes"][-1] / run["resident_megabytes"][1],
        1.05,
    ),
)
"""The rows of the targets that are measured here; those of accuracy and of turn-taking are not."""


def shape_targets(name: str) -> tuple[Target, ...]:
    """Of a large model's shape: a run is what `large_models` has published of it."""
    return tuple(
        Target(
            LARGE,
            f"{name}, 3 s, {way}: {figure}",
            unit,
            "large_models",
            _time(kind, key),
            maximum,
        )
        for way, kind in (("alone", "bare"), ("through the service", "served"))
        for figure, unit, key, maximum in (
            ("median", "ms", "median", None),
            ("P99", "ms", "p99", None),
            ("P99 over median", "", "p99_to_median", 2.0 if kind == "served" else None),
        )
    )
