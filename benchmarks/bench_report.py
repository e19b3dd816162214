"""The report on speed and scale as Markdown, and its summary for the README. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from benchmarks.bench_rows import Documents, Row, Spread, spread
from benchmarks.bench_targets import TARGETS

PLOTS: Final = {
    "growth": "What a stream costs, by how many there are",
    "latency": "Latency of 20 paced clients, by network added",
    "throughput": "A closed loop of 20 clients, of the bare model",
}

_ABOUT: Final = """\
Medians over the runs, with the lowest and the highest of them. What each figure is, and the command
that measures it, stands in [the benchmarks](../README.md)."""
_STAND_IN: Final = """\
A tiny model that hears tones stands in for the windowed one: what is said of that says nothing of
its targets. Name one with `--window-model`."""
_ALL: Final = "[All of it](benchmarks/results/bench.md)."
_OTHERS: Final = """\
Error rates and the end of speech: [accuracy.md](accuracy.md). Half precision and 8 bits:
[variants.md](variants.md)."""
_RECKONED: Final = """\
Calls are measured. What the hops of many streams at once take is reckoned from them: as many calls
as hold them, one after another."""
_NOT_MEASURED: Final = "not measured"
_WINDOWED: Final = {target.part for target in TARGETS if target.windowed} | {"providers"}
"""Parts that tell of the windowed model."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is measured by hand, by commands with a report of their own; empty: it was not.

    Attributes:
        peers: Of `benchmarks.serving_peers`.
        large_models: Of `benchmarks.large_models`.
        workers: Of `benchmarks.workers`.
    """

    peers: Mapping[str, Any] = field(default_factory=dict)
    large_models: Mapping[str, Any] = field(default_factory=dict)
    workers: Mapping[str, Any] = field(default_factory=dict)


def as_markdown(documents: Documents, rows: Sequence[Row], beside: Beside) -> str:
    """The report.

    Args:
        documents: What parts have written.
        rows: Targets and whether they are reached.
        beside: What others have.
    """
    parts = [
        "# Speed and scale",
        _ABOUT,
        *([_STAND_IN] if stand_ins(documents) else []),
        *(
            f"## {section}\n\n{_table(list(of_it))}"
            for section, of_it in groupby(rows, key=lambda row: row.section)
        ),
        _OTHERS,
        *_pictures(documents),
        *_stages(documents.get("overhead")),
        *_memory(documents.get("growth")),
        *_long_run(documents.get("long_run")),
        *_providers(documents.get("providers")),
        *_cost(documents.get("cost")),
        *_peers(beside.peers, "peers.md"),
        *_large(beside.large_models),
        *_workers(beside.workers),
        *_origins(documents),
    ]
    return "\n\n".join(parts)


def stand_ins(documents: Documents) -> list[str]:
    """Parts that tell of a windowed model, and had none."""
    return [name for name, one in documents.items() if one["stand_in"] and name in _WINDOWED]


def of_other_models(documents: Documents) -> str:
    """Which parts tell of which models, where these are not the same; empty: they are."""
    told: dict[str, dict[str, list[str]]] = {}
    for name, one in documents.items():
        for kind, model in one["models"].items():
            if kind == "default" or name in _WINDOWED:
                which = f"{model['model']} {model['digest'][:19]}"
                told.setdefault(kind, {}).setdefault(which, []).append(name)
    return "; ".join(
        f"{', '.join(parts)} of {which}"
        for models in told.values()
        if len(models) > 1
        for which, parts in models.items()
    )


def capacity(documents: Documents) -> str:
    """How many pods so many streams take, and what they cost; empty: not measured."""
    document = documents.get("cost")
    if document is None:
        return ""
    return "\n\n".join([*_cost(document, heading=False), _origin("cost", document)])


def summary(documents: Documents, rows: Sequence[Row], beside: Beside) -> str:
    """The rows that have a target, peers, what streams cost, and where that comes from."""
    parts = [_table([row for row in rows if row.wanted])]
    if beside.peers:
        parts += _peers(beside.peers, "benchmarks/results/peers.md", heading=False)
    parts += _cost(documents.get("cost"), heading=False)
    origins = sorted({_origin(name, one) for name, one in documents.items()})
    return "\n\n".join([*parts, *origins, _ALL])


def told(measured: Spread | None, unit: str) -> str:
    """A figure, with the range of its runs where there are several."""
    if measured is None:
        return _NOT_MEASURED
    text = f"{_number(measured.median)} {unit}".strip()
    if measured.runs > 1:
        text += f" ({_number(measured.lowest)} to {_number(measured.highest)})"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _table(rows: Sequence[Row]) -> str:
    return grid(
        ("", "target", "ours", ""),
        (
            (row.what, row.wanted or "-", told(row.measured, row.unit), _outcome(row))
            for row in rows
        ),
    )


def _outcome(row: Row) -> str:
    if row.reached is None:
        return ""
    return "reached" if row.reached else "not reached"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; all but the first column to the right."""
    lines = [
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
        *(f"| {' | '.join(cells)} |" for cells in rows),
    ]
    return "\n".join(lines)


def _pictures(documents: Documents) -> list[str]:
    return [f"![{what}](bench-{name}.png)" for name, what in PLOTS.items() if name in documents]


def _stages(document: Mapping[str, Any] | None) -> list[str]:
    if document is None:
        return []
    run = document["runs"][0]["default"]["20"]
    rows = [
        (
            row["name"],
            *(f"{1000 * row[f'{one}_seconds']:.3f}" for one in ("median", "p95", "p99")),
            f"{100 * row['share']:.0f} %",
        )
        for row in [*run["stages"], run["end_to_end"]]
    ]
    table = grid(("stage", "median ms", "P95 ms", "P99 ms", "share"), rows)
    return [f"## Where the time of a hop goes\n\n20 live streams, first run.\n\n{table}"]


def _memory(document: Mapping[str, Any] | None) -> list[str]:
    if document is None:
        return []
    run = document["runs"][0]
    imported = run["imported_megabytes"]
    rows = []
    for one in run["by_streams"]:
        figures, idle = one["figures"], one["idle_megabytes"]
        latency = figures["latency"] or {"p99_milliseconds": float("nan")}
        largest, cpu = figures["server_resident_megabytes"], figures["server_cpu_milliseconds"]
        rows.append(
            (
                str(figures["streams"]),
                _or_dash(cpu, "{:.2f}"),
                f"{latency['p99_milliseconds']:.1f}",
                _or_dash(largest, "{:.0f}"),
                f"{imported:.0f}",
                f"{idle - imported:.0f}",
                "-" if largest is None else f"{largest - idle:.0f}",
            )
        )
    head = ("streams", "ms a stream-second", "P99 ms", "MB", "libraries", "model", "streams' own")
    return [f"## What a stream costs\n\nDensity mode, first run.\n\n{grid(head, rows)}"]


def _providers(document: Mapping[str, Any] | None) -> list[str]:
    if document is None:
        return []
    rows, absent = [], []
    for name, models in document["runs"][0].items():
        for model, found in models.items():
            if "absent" in found:
                absent.append(f"{name}, {model}: {found['absent']}.")
                continue
            for batch, call in found["by_batch"].items():
                figures = [f"{call[f'p{one}_milliseconds']:.2f}" for one in (50, 95, 99)]
                rows.append((f"{name}, {model}, batch {batch}", *figures))
            rows += [
                (f"{name}, {model}, a hop of {streams} streams", f"{reckoned:.2f}", "-", "-")
                for streams, reckoned in found["by_streams"].items()
            ]
    text = grid(("", "median ms", "P95 ms", "P99 ms"), rows)
    return ["\n\n".join(["## Providers", _RECKONED, text, *absent])]


def _long_run(document: Mapping[str, Any] | None) -> list[str]:
    if document is None:
        return []
    run = document["runs"][0]
    tenths = zip(run["latency_milliseconds"], run["resident_megabytes"], strict=False)
    rows = [
        (str(number), _or_dash(latency, "{:.2f}"), f"{megabytes:.0f}")
        for number, (latency, megabytes) in enumerate(tenths, 1)
    ]
    head = ("tenth", "median latency ms", "MB")
    load = run["figures"]
    told = f"{load['streams']} streams of {load['seconds']:g} s."
    return [f"## A long run\n\n{told}\n\n{grid(head, rows)}"]


def _cost(document: Mapping[str, Any] | None, *, heading: bool = True) -> list[str]:
    if document is None:
        return []
    price, pod = document["price"], document["pod"]
    rows = []
    for mode, found in document["runs"][0].items():
        held = found["streams_per_vcpu"]
        if not found["costs"]:
            rows.append((f"{mode} mode", f"{held:g}", "-", "-", "-", "-"))
        rows += [
            (
                f"{mode} mode",
                f"{held:g}",
                f"{one['users']:,}",
                f"{one['pods']:,}",
                f"{one['dollars_per_hour']:,.2f}",
                f"{one['dollars_per_stream_hour']:.6f}",
            )
            for one in found["costs"]
        ]
    head = ("", "streams a vCPU", "at once", "pods", "$ an hour", "$ a stream-hour")
    assumed = (
        f"Assumed: {price['vcpu_hour']:g} $ for a vCPU-hour and {price['gigabyte_hour']:g} $ for a"
        f" gigabyte-hour, {price['source']}; pods of {pod['vcpus']} vCPUs and"
        f" {pod['gigabytes']:g} GB, filled to {100 * document['headroom']:.0f} % of what held"
        " beside the load generator. No network, disks, fees or discounts."
    )
    table = f"{grid(head, rows)}\n\n{assumed}"
    return [f"## Cost\n\n{table}" if heading else table]


def _peers(peers: Mapping[str, Any], page: str, *, heading: bool = True) -> list[str]:
    """Beside other servers of models: a table of what is there, whatever it names."""
    if not peers:
        return ["## Peers\n\nNot measured: benchmarks/results/peers.json is not there."]
    named: Mapping[str, Mapping[str, Any]] = peers["peers"]
    figures = list(dict.fromkeys(key for one in named.values() for key in one))
    rows = [
        (name, *(_or_dash(one.get(key), "{:.4g}") for key in figures))
        for name, one in named.items()
    ]
    head = ("", *(key.replace("_", " ") for key in figures))
    about = (
        "One windowed model behind several servers, the same clients, one thread for the model."
        f" {_where(peers['provenance'])} [More]({page})."
    )
    text = f"{grid(head, rows)}\n\n{about}"
    return [f"## Peers\n\n{text}" if heading else text]


def _large(large_models: Mapping[str, Any]) -> list[str]:
    if not large_models:
        return []
    return [f"Large models: {_where(large_models['provenance'])} [More](large-models.md)."]


def _workers(workers: Mapping[str, Any]) -> list[str]:
    """What several whole services behind one port bring over one."""
    if not workers:
        return []
    rows = [
        (
            what,
            *(f"{one[part]:.3g}" for part in ("median", "lower_quartile", "upper_quartile")),
        )
        for what, one in workers["ratios"].items()
    ]
    table = grid(("several over one", "median", "lower quartile", "upper quartile"), rows)
    origin = workers["provenance"]
    model = f"{origin['model']} ({origin['model_digest'][:19]}…)"
    told = f"{workers['asked']} {model}, {_where(origin)}"
    return [f"## More workers\n\n{table}\n\n{told}"]


def _origins(documents: Documents) -> list[str]:
    rows = []
    for name, one in documents.items():
        origin = one["provenance"]
        settings = ", ".join(f"{key} {value}" for key, value in one["settings"].items()) or "-"
        models = ", ".join(f"{m['model']} ({m['digest'][:19]}…)" for m in one["models"].values())
        rows.append(
            (
                name,
                origin["machine"],
                origin["commit"],
                models,
                f"{len(one['runs'])}",
                f"{one['scale']:g}",
                settings,
                origin["at"],
            )
        )
    head = ("part", "machine", "commit", "models", "runs", "scale", "settings", "")
    return [f"## Where the figures come from\n\n{grid(head, rows)}"]


def _origin(name: str, document: Mapping[str, Any]) -> str:
    shortened = "" if document["scale"] == 1 else f" Shortened to {document['scale']:g}: {name}."
    return f"{_where(document['provenance'])}{shortened}"


def _where(origin: Mapping[str, Any]) -> str:
    return f"{origin['machine']}, commit {origin['commit']}, {origin['at']}."


def _or_dash(value: Any, form: str) -> str:
    return form.format(value) if _is_number(value) else "-"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def medians(documents: Documents, part: str, *keys: str) -> float | None:
    """The median over a part's runs of what lies under these keys; None: it is not there."""
    found: list[float | None] = []
    for run in documents[part]["runs"]:
        value: Any = run
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        found.append(value if _is_number(value) else None)
    measured = spread(found)
    return None if measured is None else measured.median
