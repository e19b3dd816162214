"""The report on speed and scale: its rows, its tables, its pictures, and where it is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.bench import all_rows
from benchmarks.bench_report import Beside, as_markdown, capacity, medians, summary, told
from benchmarks.bench_rows import Spread, rows, spread
from benchmarks.blocks import block_of

CALL = {f"p{one}_milliseconds": float(one) / 10 for one in (50, 95, 99)} | {"max_milliseconds": 11}
PROVENANCE = {"machine": "a machine", "commit": "c0ffee", "at": "2026-01-01"}
OF_A_MODEL = {**PROVENANCE, "model": "models/m/versions/1.0.0", "model_digest": "sha256:0"}


def document(part: str, *runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a part has written."""
    return {
        "part": part,
        "provenance": PROVENANCE,
        "models": {"default": {"model": "models/m/versions/1.0.0", "digest": "sha256:0"}},
        "stand_in": False,
        "scale": 1.0,
        "settings": {},
        "runs": list(runs),
        **more,
    }


def call_run(p99: float) -> dict[str, Any]:
    """Of `model_call`."""
    one = {"call": CALL | {"p99_milliseconds": p99}, "milliseconds_per_audio_second": 0.5}
    return {"windowed": {"1": one}, "default": {"16": one}, "default_model_megabytes": 9.0}


def growth_run() -> dict[str, Any]:
    """Of `growth`."""
    figures = [
        {
            "streams": streams,
            "latency": CALL,
            "server_cpu_milliseconds": 1.0,
            "server_resident_megabytes": 200.0 + streams,
            "server_resident_megabytes_per_stream": 0.4,
        }
        for streams in (1, 500)
    ]
    by_streams = [{"idle_megabytes": 190.0, "figures": one} for one in figures]
    return {"imported_megabytes": 150.0, "by_streams": by_streams}


def throughput_run() -> dict[str, Any]:
    """Of `throughput`."""
    kinds = {"raw": 0.5, "clients_accounted": 0.95, "by_processor_time": 0.9}
    method = {
        "served": {"calls_per_second": 50.0, "success_percent": 100.0},
        "ratios": {"cores": kinds, "engines": kinds},
    }
    loop = {"best": {"rows_per_second": 300.0}}
    model = {"bare": {"cores": loop, "engines": loop}, "file": method, "stream": method}
    return {"windowed": model, "default": model}


def latency_run() -> dict[str, Any]:
    """Of `latency`."""
    way = {"calls": {"latency": CALL}, "streams": {"latency": CALL}}
    return {model: {"0": way, "40": way} for model in ("windowed", "default")}


COST = document(
    "cost",
    {
        "density": {
            "streams_per_vcpu": 250.0,
            "costs": [
                {
                    "users": 1000,
                    "pods": 3,
                    "dollars_per_hour": 0.15,
                    "dollars_per_stream_hour": 0.00015,
                }
            ],
        },
        "agent": {"streams_per_vcpu": 0.0, "costs": []},
    },
    price={"vcpu_hour": 0.02, "gigabyte_hour": 0.003, "source": "a price list"},
    pod={"vcpus": 2, "gigabytes": 2.0},
    headroom=0.7,
)
DOCUMENTS = {
    "model_call": document("model_call", call_run(8.0), call_run(9.0), call_run(30.0)),
    "latency": document("latency", latency_run()),
    "throughput": document("throughput", throughput_run()),
    "growth": document("growth", growth_run()),
    "providers": document(
        "providers",
        {
            "cpu": {"default": {"by_batch": {"1": CALL}, "by_streams": {"64": 80.0}}},
            "cuda": {"default": {"absent": "there is no such device"}},
        },
    ),
    "long_run": document(
        "long_run",
        {
            "figures": {"streams": 100, "seconds": 3600.0, "refused": 0, "failed": 0},
            "latency_milliseconds": [7.0, 8.0],
            "resident_megabytes": [300.0, 301.0],
        },
    ),
    "cost": COST,
}
BESIDE = Beside(
    peers={
        "provenance": PROVENANCE,
        "peers": {"LitServe": {"calls_per_second": 12.5, "paced_p99_ms": None}},
    },
    large_models={
        "provenance": PROVENANCE,
        "shapes": {
            "wav2vec2-base": {
                "bare": {"median": 220.0, "p99": 500.0, "p99_to_median": 2.27},
                "served": {"median": 230.0, "p99": 1400.0, "p99_to_median": 6.09},
            }
        },
    },
    workers={
        "asked": "One process beside 2 workers on 2 cores.",
        "provenance": OF_A_MODEL,
        "ratios": {"throughput": {"median": 1.25, "lower_quartile": 1.2, "upper_quartile": 1.31}},
    },
)


def test_a_target_is_reached_by_the_median_of_the_runs() -> None:
    """With the range of them beside it."""
    by_name = {row.what: row for row in rows(DOCUMENTS)}
    found = by_name["windowed, 3 s, idle: P99"]
    assert found.measured == Spread(9.0, 8.0, 30.0, 3)
    assert found.wanted == "at most 10 ms"
    assert found.reached is True
    slow = rows({"model_call": document("model_call", *map(call_run, (8.0, 12.0, 13.0)))})
    assert next(row for row in slow if row.what == found.what).reached is False
    assert by_name["windowed, on all cores"].reached is True  # at least 297
    assert by_name["default model, its file"].reached is False
    assert by_name["windowed, 3 s, idle: median"].reached is None  # published, no target
    assert by_name["memory at 500 streams"].reached is False


def test_what_was_not_measured_is_said() -> None:
    """Neither left out nor reached; also where a part has measured something else."""
    others = {
        "density": document("density", {"streams": {"streams": 5, "refused": 0, "failed": 0}})
    }
    assert all(row.measured is None and row.reached is None for row in rows(others))
    assert "not measured" in as_markdown(others, rows(others), Beside())
    assert spread([None, None]) is None


def test_a_model_that_stands_in_reaches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it published; what is said of the default model holds."""
    part = document("model_call", call_run(8.0), stand_in=True)
    by_name = {row.what: row.reached for row in rows({"model_call": part})}
    assert by_name["windowed, 3 s, idle: P99"] is None
    assert by_name["default model, its file"] is False
    assert "stands in for the windowed one" in as_markdown({"model_call": part}, [], Beside())
    (tmp_path / "model_call.json").write_text(json.dumps(part))
    publish = ("--report-only", "--write", "--out", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", *publish])
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit, match="not to be published"):
        bench.main()
    assert not (tmp_path / "results").exists()


def test_parts_of_different_models_are_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them were measured before the model changed, which is said of each."""
    other = {"default": {"model": "models/m/versions/2.0.0", "digest": "sha256:1"}}
    for name, more in (("growth", {}), ("latency", {"models": other})):
        (tmp_path / f"{name}.json").write_text(json.dumps(document(name, **more)))
    publish = ("--report-only", "--write", "--out", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", *publish])
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit, match=r"latency of models/m/versions/2\.0\.0 sha256:1"):
        bench.main()
    assert not (tmp_path / "results").exists()


def test_figures_are_told_with_their_range() -> None:
    """Where there are several runs."""
    assert told(Spread(1.25, 1.0, 2.0, 3), "ms") == "1.25 ms (1 to 2)"
    assert told(Spread(1234.5, 1.0, 1.0, 1), "calls/s") == "1,234 calls/s"
    assert told(None, "ms") == "not measured"


def test_a_transformer_may_be_slow_but_not_unsteady() -> None:
    """P99 over the median, of a large model through the service."""
    reached = {row.what: row.reached for row in all_rows(DOCUMENTS, BESIDE)}
    assert reached["wav2vec2-base, 3 s, through the service: P99 over median"] is False
    assert reached["wav2vec2-base, 3 s, alone: P99 over median"] is None


def test_the_report_has_every_table(tmp_path: Path) -> None:
    """As Markdown, as JSON and as pictures; absent providers and peers are named."""
    text = bench.write(DOCUMENTS, tmp_path, BESIDE)
    assert "cuda, default: there is no such device." in text
    assert "| cpu, default, a hop of 64 streams | 80.00 | - | - |" in text
    assert "100 streams of 3600 s." in text
    assert "| 2 | 8.00 | 301 |" in text
    assert "| LitServe | 12.5 | - |" in text
    assert "| wav2vec2-base, 3 s, alone: median | - | 220 ms |" in text
    assert text.count("a machine, commit c0ffee, 2026-01-01. [More]") == 2
    assert "| density mode | 250 | 1,000 | 3 | 0.15 | 0.000150 |" in text
    assert "| throughput | 1.25 | 1.2 | 1.31 |" in text
    assert "on 2 cores. models/m/versions/1.0.0 (sha256:0…), a machine, commit c0ffee" in text
    assert "a price list" in text
    assert "| 500 | 1.00 | 9.9 | 700 | 150 | 40 | 510 |" in text
    assert (tmp_path / "bench.md").read_text() == text + "\n"
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["parts"]["model_call"]["provenance"]["commit"] == "c0ffee"
    assert report["peers"]["peers"]["LitServe"]["calls_per_second"] == 12.5
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["bench-growth.png", "bench-latency.png", "bench-throughput.png"]
    assert "peers.json is not there" in as_markdown(DOCUMENTS, rows(DOCUMENTS), Beside())


def test_the_summary_goes_between_the_marks_of_the_readme(tmp_path: Path) -> None:
    """And nowhere else; a page without marks is not touched."""
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nb\n")
    bench.write_block(page, "speed", summary(DOCUMENTS, rows(DOCUMENTS), BESIDE))
    written = page.read_text()
    assert written.startswith("a\n<!-- speed: begin -->")
    assert written.endswith("<!-- speed: end -->\nb\n")
    assert "old" not in written
    assert "| windowed, 3 s, idle: P99 | at most 10 ms | 9 ms (8 to 30) | reached |" in written
    assert "windowed, 3 s, idle: median" not in written  # it has no target
    assert "| LitServe | 12.5 | - |" in written
    assert "Shortened" not in written
    shortened = {**DOCUMENTS, "long_run": {**DOCUMENTS["long_run"], "scale": 0.25}}
    assert "Shortened to 0.25: long_run." in summary(shortened, rows(shortened), BESIDE)
    page.write_text("a\n")
    with pytest.raises(ValueError, match="no marks"):
        bench.write_block(page, "speed", "text")
    assert page.read_text() == "a\n"


@pytest.mark.parametrize(("page", "name"), [(bench.README, "speed"), (bench.CAPACITY, "capacity")])
def test_pages_have_a_place_for_what_is_published(page: Path, name: str) -> None:
    """Found before hours of measuring, not after."""
    assert block_of(page.read_text("utf-8"), name) is not None


def test_pods_and_cost_stand_with_where_they_come_from() -> None:
    """And nothing stands where nothing was measured."""
    told = capacity(DOCUMENTS)
    assert "| streams a vCPU |" in told
    assert "Assumed: " in told
    assert capacity({}) == ""


def test_parts_are_read_from_where_they_were_left(tmp_path: Path) -> None:
    """In the order of the report; what is no part is left alone."""
    for name in ("growth", "model_call", "bench", "notes"):
        (tmp_path / f"{name}.json").write_text(json.dumps(document(name)))
    found = list(bench.read_documents(tmp_path))
    assert found == ["model_call", "growth"]
    assert bench.read_published(tmp_path / "peers.json") == {}


def test_medians_skip_what_is_not_there() -> None:
    """Runs without the figure."""
    runs: list[dict[str, Any]] = [{"a": {"b": 1.0}}, {"a": None}, {"a": {"b": 3.0}}]
    documents = {"part": document("part", *runs)}
    assert medians(documents, "part", "a", "b") == 2.0
    assert medians(documents, "part", "a", "c") is None
