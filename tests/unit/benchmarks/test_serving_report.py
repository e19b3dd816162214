"""The report on servers under the same clients."""

from __future__ import annotations

from benchmarks.provenance import Provenance
from benchmarks.serving_figures import Figures, figures, median, reasons
from benchmarks.serving_report import BARE, System, page, report

PROVENANCE = Provenance("a machine", "0123", "models/fast-cnn/versions/1.0.0", "sha256:00", 2, "-")
ASKED = {
    "clients": 20,
    "seconds": 10,
    "paced_interval_seconds": 0.5,
    "rounds": 2,
    "audio": "the sample",
    "model_threads": 1,
}


def of(calls: int, cpu_seconds: float, *, failed: int = 0) -> Figures:
    """Ten seconds of calls of 10 ms."""
    return figures(
        [0.01] * calls,
        {"DRAINING": failed} if failed else {},
        wall_seconds=10.0,
        server_cpu_seconds=cpu_seconds,
        client_cpu_seconds=1.0,
        resident_bytes=100_000_000,
    )


def test_figures_are_of_single_calls() -> None:
    """Time is told for each call that was made, throughput for those that were answered."""
    told = of(900, 5.0, failed=100)
    assert (told.calls, told.failed, told.success_percent) == (900, 100, 90.0)
    assert told.calls_per_second == 90.0
    assert told.latency_p99_milliseconds == 10.0
    assert told.server_cpu_milliseconds_per_call == 5.0
    assert told.client_cpu_milliseconds_per_call == 1.0


def test_a_server_that_answers_nothing_has_no_latency() -> None:
    """And is in the report all the same."""
    told = of(0, 5.0, failed=10)
    assert told.latency_p50_milliseconds is None
    assert told.success_percent == 0.0
    assert median([told, told]).latency_p99_milliseconds is None


def test_rounds_become_their_median() -> None:
    """Calls are added up; a failure in one round counts in the rate of success."""
    told = median([of(1000, 3.0), of(3000, 6.0), of(2000, 8.0, failed=60)])
    assert told.calls_per_second == 200.0
    assert (told.calls, told.failed) == (6000, 60)
    assert told.success_percent == 99.01
    assert reasons([{"A": 1}, {"A": 2, "B": 1}]) == {"A": 3, "B": 1}


def test_the_page_sets_each_server_beside_the_model_alone() -> None:
    """Who is absent, who did not run and what failed is said."""
    alone = System(BARE, "no server", "one thread", {"onnxruntime": "1"}, [of(4000, 9.9)])
    ours = System(
        "voiceflow", "gRPC", "batches", {"voiceflow": "0"}, [of(3000, 9.0)], [of(400, 2.0)]
    )
    slow = System("fastapi", "JSON", "none", {}, [of(400, 9.0)], [of(300, 9.0)], {"status 500": 3})
    text = page(PROVENANCE, ASKED, [alone, ours, slow], ["ray"], {"mlserver": "no port\nmore"})
    closed, paced = text.split("## A call each 0.5 s from each client")
    rows = [line.split("|")[1:4] for line in closed.splitlines() if line.startswith("| v")]
    assert [[cell.strip() for cell in row] for row in rows] == [["voiceflow", "300.0", "75 %"]]
    assert BARE not in paced.split("## What ran")[0]
    assert "fastapi failed: status 500 (3 times)." in text
    assert "**ray is absent**: `make peer-ray`" in text
    assert text.endswith("**mlserver did not run**: no port")


def test_the_json_has_each_round_and_its_median() -> None:
    """For what reads it: systems by name, `closed` and `paced`."""
    ours = System(
        "voiceflow", "gRPC", "batches", {}, [of(3000, 9.0), of(1000, 9.0)], [of(400, 2.0)]
    )
    told = report(PROVENANCE, ASKED, [ours], ["ray"], {})
    assert told["systems"]["voiceflow"]["closed"]["calls_per_second"] == 200.0
    assert len(told["systems"]["voiceflow"]["closed"]["runs"]) == 2
    assert told["systems"]["voiceflow"]["paced"]["calls"] == 400
    assert told["peers"]["voiceflow"]["calls_per_second"] == 200.0
    assert told["peers"]["voiceflow"]["paced_p99_ms"] == 10.0
    assert told["absent"] == ["ray"]
