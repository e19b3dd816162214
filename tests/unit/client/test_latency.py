"""The way of a hop adds up to what its client has measured, and no two clocks are compared."""

from __future__ import annotations

import pytest

from voiceflow.client import HopLatency, Timings
from voiceflow.client.latency import HopClocks, HopMeter, hop_latency

MS = 1_000_000


def timings(request: int = 1, **stages_ms: float) -> Timings:
    """Of a hop that took so long in the server."""
    stages = tuple((name, value / 1e3) for name, value in stages_ms.items())
    return Timings(7680, stages, request)


def in_ms(latency: HopLatency) -> dict[str, float]:
    """Its stages, in milliseconds."""
    return {name: round(value * 1e3, 6) for name, value in latency.stages}


def test_the_network_has_what_neither_side_had() -> None:
    """The client's interval without the server's."""
    clocks = HopClocks(0, 2 * MS, 32 * MS, 33 * MS)
    latency = hop_latency(timings(queue=5, infer=15, send=1), clocks)
    assert in_ms(latency) == {
        "client encode": 2,
        "network": 9,
        "queue": 5,
        "infer": 15,
        "send": 1,
        "client parse": 1,
    }
    assert latency.audio_end_samples == 7680
    assert latency.end_to_end_seconds == pytest.approx(0.033)


def test_a_reply_that_was_read_was_sent() -> None:
    """However late the server noticed: the stages add up all the same."""
    clocks = HopClocks(0, 1 * MS, 21 * MS, 22 * MS)
    latency = hop_latency(timings(infer=18, send=30), clocks)
    assert in_ms(latency) == {
        "client encode": 1,
        "network": 0,
        "infer": 18,
        "send": 2,
        "client parse": 1,
    }
    assert sum(value for _, value in latency.stages) == pytest.approx(latency.end_to_end_seconds)


def test_a_server_that_says_too_much_does_not_add_up() -> None:
    """More than its reply can have taken: nothing hides that."""
    latency = hop_latency(timings(infer=90, send=1), HopClocks(0, 0, 10 * MS, 10 * MS))
    assert sum(value for _, value in latency.stages) == pytest.approx(0.09)
    assert latency.end_to_end_seconds == pytest.approx(0.01)


def test_hops_are_found_by_their_request() -> None:
    """Each has the newest Update and its own request, which several may share."""
    meter = HopMeter()
    for number in range(1, 5):
        meter.sent(100 * number, 100 * number + 1)
    ends = []
    for request in (2, 4, 4):
        meter.updated(1000, 1001)
        ends.append(meter.clocks_of(timings(request)))
    assert ends == [HopClocks(start, start + 1, 1000, 1001) for start in (200, 400, 400)]


@pytest.mark.parametrize("request_number", [0, 2, 9])
def test_what_is_not_known_is_not_measured(request_number: int) -> None:
    """A server that names no request, one that was forgotten, or one that was never sent."""
    meter = HopMeter()
    meter.sent(1, 2)
    meter.updated(5, 6)
    assert meter.clocks_of(timings(request_number)) is None


def test_a_hop_whose_replies_did_not_come_is_not_measured() -> None:
    """Timings alone say nothing of the network."""
    meter = HopMeter()
    meter.sent(1, 2)
    assert meter.clocks_of(timings(1)) is None
