"""The report on servers under the same clients: as JSON, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.provenance import Provenance
from benchmarks.serving_figures import Figures, median
from voiceflow.cli.evaluate.tables import number, table

BARE: Final = "InferenceSession.run"
"""What the model alone is called."""


@dataclass(frozen=True, slots=True)
class System:
    """A server, or the model alone, and what it has shown.

    Attributes:
        name: Of it.
        protocol: What goes over the wire, in words.
        settings: How it ran, in words.
        versions: Of its packages.
        closed: Of each round: clients that call as soon as they have been answered.
        paced: Of each round: clients that call twice a second; nothing for the model alone.
        failures: How often calls failed, by reason.
        others_percent: Of the machine, by other processes, in the stretch where that was most.
    """

    name: str
    protocol: str
    settings: str
    versions: Mapping[str, str]
    closed: Sequence[Figures]
    paced: Sequence[Figures] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    others_percent: float = 0.0


def report(
    provenance: Provenance,
    asked: Mapping[str, Any],
    systems: Sequence[System],
    absent: Sequence[str],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """All that is published.

    Each load of a system has the median of its rounds, and the rounds; `peers` has the figures of
    each system that `benchmarks.bench` puts into its own report.
    """
    return {
        "provenance": asdict(provenance),
        "asked": dict(asked),
        "systems": {one.name: _system(one) for one in systems},
        "peers": {one.name: _short(one) for one in systems},
        "absent": list(absent),
        "failed": dict(failed),
    }


def page(
    provenance: Provenance,
    asked: Mapping[str, Any],
    systems: Sequence[System],
    absent: Sequence[str],
    failed: Mapping[str, str],
) -> str:
    """The same for people, as Markdown."""
    clients, interval = asked["clients"], asked["paced_interval_seconds"]
    what = (
        f"{clients} clients in one process, a window of 3 s as PCM16 in each call, one copy of the"
        f" model on one thread, server and clients on the same cores; {asked['audio']}; medians"
        f" of {asked['rounds']} rounds of {asked['seconds']} s. The model alone is called one time"
        " after another. Ours answers with turns, the others with the model's outputs."
    )
    parts = [
        "# One windowed model behind several servers",
        what,
        str(provenance),
        "## As fast as they are answered",
        _table([(one, median(one.closed)) for one in systems], systems),
        f"## A call each {interval:g} s from each client",
        _table([(one, median(one.paced)) for one in systems if one.paced], systems),
        "## What ran",
        table(
            ["", "protocol", "settings", "versions", "other processes, at most %"],
            [
                [
                    one.name,
                    one.protocol,
                    one.settings,
                    ", ".join(f"{name} {version}" for name, version in one.versions.items()),
                    number(one.others_percent, 1),
                ]
                for one in systems
            ],
        ),
    ]
    parts += [
        f"{one.name} failed: {why} ({times} times)."
        for one in systems
        for why, times in one.failures.items()
    ]
    parts += [f"**{name} is absent**: `make peer-{name}` makes its environment." for name in absent]
    parts += [f"**{name} did not run**: {why.splitlines()[0]}" for name, why in failed.items()]
    return "\n\n".join(parts)


def _system(one: System) -> dict[str, Any]:
    told = {
        "protocol": one.protocol,
        "settings": one.settings,
        "versions": dict(one.versions),
        "failures": dict(one.failures),
        "others_percent": one.others_percent,
    }
    for load, runs in (("closed", one.closed), ("paced", one.paced)):
        if runs:
            told[load] = asdict(median(runs)) | {"runs": [asdict(run) for run in runs]}
    return told


def _short(one: System) -> dict[str, float | None]:
    closed = median(one.closed)
    paced = median(one.paced) if one.paced else None
    return {
        "calls_per_second": closed.calls_per_second,
        "success_percent": closed.success_percent,
        "server_cpu_ms": closed.server_cpu_milliseconds_per_call,
        "client_cpu_ms": closed.client_cpu_milliseconds_per_call,
        "resident_megabytes": closed.resident_megabytes,
        "paced_p50_ms": paced.latency_p50_milliseconds if paced else None,
        "paced_p99_ms": paced.latency_p99_milliseconds if paced else None,
    }


def _table(rows: Sequence[tuple[System, Figures]], systems: Sequence[System]) -> str:
    limit = next((median(one.closed).calls_per_second for one in systems if one.name == BARE), None)
    return table(
        [
            "",
            "calls/s",
            "of the model alone",
            "answered %",
            "P50 ms",
            "P95 ms",
            "P99 ms",
            "server CPU ms",
            "client CPU ms",
            "memory MB",
        ],
        [
            [
                system.name,
                number(one.calls_per_second, 1),
                "-" if not limit else f"{100 * one.calls_per_second / limit:.0f} %",
                number(one.success_percent, 1),
                *(
                    number(math.nan if value is None else value)
                    for value in (
                        one.latency_p50_milliseconds,
                        one.latency_p95_milliseconds,
                        one.latency_p99_milliseconds,
                        one.server_cpu_milliseconds_per_call,
                        one.client_cpu_milliseconds_per_call,
                    )
                ),
                number(one.resident_megabytes, 0),
            ]
            for system, one in rows
        ],
    )
