"""What the parts of the benchmark reckon: costs, ratios, rows, interruptions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import cost
from benchmarks.bare import Bare, rows_of
from benchmarks.cost import Price, costs, document
from benchmarks.interruptions import noticed_seconds, onsets
from benchmarks.lifecycle import per_second
from benchmarks.providers import hop_milliseconds
from benchmarks.throughput import ratios
from voiceflow.evaluation import Spoken
from voiceflow.package import load_package

DENSITY = {
    "provenance": {},
    "models": {},
    "stand_in": False,
    "scale": 1.0,
    "settings": {},
    "cores": 2,
    "runs": [
        {"density": {"largest": one}, "agent": {"largest": one // 10}} for one in (480, 500, 700)
    ],
}


def test_pods_are_filled_to_their_headroom_and_counted_up() -> None:
    """A part of a pod is a pod; its price is that of two vCPUs and their memory."""
    price = Price(vcpu_hour=0.02, gigabyte_hour=0.005)
    (small, large) = costs(250.0, (350, 1_000_000), price, 0.7)
    assert (small.pods, small.dollars_per_hour) == (1, 0.05)
    assert large.pods == 2858
    assert large.dollars_per_hour == pytest.approx(142.9)
    assert large.dollars_per_stream_hour == pytest.approx(0.000143)
    assert costs(0.5, (10,), price, 0.7) == []  # not one stream fits


def test_the_table_of_costs_is_of_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median of the runs, over the cores of their machine; the price is an argument."""
    told = document(DENSITY, (1000,), Price(), 0.7)
    assert told["runs"][0]["density"]["streams_per_vcpu"] == 250.0
    assert told["runs"][0]["agent"]["streams_per_vcpu"] == 25.0
    density, out = tmp_path / "density.json", tmp_path / "cost.json"
    density.write_text(json.dumps(DENSITY))
    arguments = ("--density", density, "--json", out, "--users", "7", "--price", "1.5")
    monkeypatch.setattr(sys, "argv", ["cost", *map(str, arguments)])
    cost.main()
    written = json.loads(out.read_text())
    assert written["price"]["vcpu_hour"] == 1.5
    assert written["price"]["source"] == "as given"
    assert "https://" in told["price"]["source"]
    assert [one["users"] for one in written["runs"][0]["density"]["costs"]] == [7]


def test_the_table_of_costs_wants_a_density(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says how to come by one."""
    monkeypatch.setattr(sys, "argv", ["cost", "--density", str(tmp_path / "density.json")])
    with pytest.raises(SystemExit, match=r"benchmarks\.density writes it"):
        cost.main()


def test_a_hop_of_many_streams_is_full_calls() -> None:
    """And of few, one call of the batch that holds them."""
    medians = {1: 0.4, 4: 1.0, 16: 3.0}
    told = [hop_milliseconds(streams, medians) for streams in (1, 2, 4, 16, 17, 64)]
    assert told == [0.4, 1.0, 1.0, 3.0, 6.0, 12.0]


def test_a_service_is_set_beside_the_bare_loop() -> None:
    """By wall time, by what was left of the machine, and by processor time."""
    loop = {
        "best": {"rows_per_second": 200.0, "rows_per_cpu_second": 100.0},
        "others_percent": 20.0,
    }
    served = {
        "calls_per_second": 10.0,
        "calls_per_second_accounted": 20.0,
        "calls_per_server_cpu_second": 12.0,
    }
    assert ratios(served, 7.0, loop) == {
        "raw": 0.35,
        "clients_accounted": 0.56,  # the loop would have had 250 of a whole machine
        "by_processor_time": 0.84,
    }
    elsewhere = served | {"calls_per_second_accounted": None, "calls_per_server_cpu_second": None}
    assert ratios(elsewhere, 7.0, loop)["clients_accounted"] is None


def test_rows_are_what_the_service_computes(stream_package: Path, window_package: Path) -> None:
    """Of 3 s and the model's look-ahead of 160 ms: 7 windows, and as much audio in hops."""
    assert rows_of(load_package(window_package).manifest, 3.0) == 7.0
    assert rows_of(load_package(stream_package).manifest, 3.0) == pytest.approx(3.2 / 0.48, abs=0.1)


def test_a_bare_call_goes_on_from_the_memory_of_the_last(stream_package: Path) -> None:
    """As a stream does; and every batch has a row for each stream."""
    bare = Bare(load_package(stream_package))
    feeds = bare.feeds(4)
    assert feeds["audio"].shape == (4, 7680)
    (state,) = (name for name in feeds if name.startswith("state."))
    before = feeds[state]
    bare.call(feeds)
    assert feeds[state].shape == before.shape
    assert (feeds[state] != before).any()
    assert len(bare.call_seconds(1, 3)) == 3


def test_interruptions_are_second_voices_that_the_first_outlasts() -> None:
    """Neither a turn that follows, nor a word of assent, nor a third voice."""
    spoken = [
        Spoken("A", 0.0, 5.0),
        Spoken("B", 4.0, 6.0),  # interrupts
        Spoken("A", 6.5, 9.0),  # follows
        Spoken("B", 7.0, 7.2),  # a word
        Spoken("A", 10.0, 14.0),
        Spoken("B", 11.0, 14.0),  # interrupts
        Spoken("C", 12.0, 13.0),  # a third
    ]
    assert onsets(spoken) == [4.0, 11.0]


def test_an_interruption_is_noticed_by_what_is_told_near_it() -> None:
    """At most once; what is told belongs to one interruption alone."""
    told = [(4.1, 4.4), (4.2, 4.9), (20.0, 20.5)]
    assert noticed_seconds([4.0, 5.0, 11.0], told) == pytest.approx([0.4])
    assert noticed_seconds([4.0, 4.2], told) == pytest.approx([0.4, 0.7])


def test_processor_time_is_told_between_marks() -> None:
    """In milliseconds for a second of audio."""
    assert per_second([(0.0, 1.0), (10.0, 1.05), (20.0, 1.2)]) == [5.0, 15.0]
