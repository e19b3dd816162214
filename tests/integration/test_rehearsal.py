"""Short ones of the rehearsal and the soak of reload: nobody is dropped, nothing lost or broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks import rehearsal, soak_figures, soak_reload
from benchmarks.audio import pcm16
from benchmarks.balancer import HaproxyMissingError, Mode, haproxy
from benchmarks.paths import DEFAULT_MODEL
from voiceflow.sample import conversation


@pytest.fixture(scope="module")
def audio() -> bytes:
    """Synthetic voices, PCM16."""
    return pcm16(conversation())


@pytest.fixture
def balancer() -> None:
    """There is one."""
    try:
        haproxy()
    except HaproxyMissingError as missing:
        pytest.skip(str(missing))


PLAN = rehearsal.Plan(
    callers=4,
    callers_per_connection=2,
    conversation_seconds=8.0,
    settle_seconds=4.0,
    before_seconds=1.0,
    turn_seconds=8.0,
    deadline_seconds=2.0,
    after_seconds=1.0,
)


@pytest.mark.slow
@pytest.mark.usefixtures("balancer")
def test_a_blue_green_switch_behind_a_balancer_of_connections_loses_nothing(audio: bytes) -> None:
    """Nor does the way back; new streams come to the other side though connections last."""
    found = rehearsal.run(Mode.TCP, PLAN, DEFAULT_MODEL, audio)
    # Of a machine that tests share nothing is measured.
    assert replace(found, p99_ratio=1.0).faults() == []
    assert found.resumed > 0
    assert found.conversations > PLAN.callers


@pytest.mark.slow
def test_streams_go_through_version_after_version(audio: bytes) -> None:
    """Carried, replayed and resumed, each as its pair of versions needs it."""
    plan = soak_reload.Plan(swaps=5, streams=4, conversation_seconds=10.0, rest_seconds=0.5)
    found = soak_reload.run(plan, DEFAULT_MODEL, audio, processes=1)
    # So few swaps say nothing of memory: most of it is taken by the first ones.
    assert replace(found, growth_percent=0.0).faults() == []
    assert found.swaps == plan.swaps
    assert min(found.carried, found.replayed, found.resumed) > 0


FOUND = rehearsal.Figures(
    conversations=9,
    streams_dropped=0,
    audio_lost_milliseconds=0.0,
    labels_broken=0,
    late_streams_on_blue=0,
    late_streams_on_green=0,
    resumed=3,
    blue_drained_seconds=1.0,
    green_drained_seconds=1.0,
    p99_before_milliseconds=10.0,
    p99_during_milliseconds=12.0,
    p99_after_milliseconds=10.0,
    p99_ratio=1.2,
    other_processes_percent=0.0,
    reasons=(),
)


SOAKED = soak_figures.Figures(
    swaps=5,
    conversations=9,
    carried=3,
    replayed=3,
    resumed=3,
    streams_dropped=0,
    audio_lost_milliseconds=0.0,
    labels_broken=0,
    latency_p50_milliseconds=10.0,
    latency_p99_milliseconds=20.0,
    swap_p50_seconds=1.0,
    swap_max_seconds=2.0,
    resident_early_megabytes=100.0,
    resident_late_megabytes=105.0,
    growth_percent=5.0,
    other_processes_percent=0.0,
    reasons=(),
)


@pytest.mark.parametrize(
    ("found", "name", "value"),
    [
        *((FOUND, name, 1) for name in ("streams_dropped", "labels_broken")),
        *((FOUND, name, 1) for name in ("late_streams_on_blue", "late_streams_on_green")),
        (FOUND, "audio_lost_milliseconds", 0.1),
        (FOUND, "p99_ratio", 1.21),
        *((SOAKED, name, 1) for name in ("streams_dropped", "labels_broken")),
        (SOAKED, "audio_lost_milliseconds", 0.1),
        (SOAKED, "growth_percent", 5.1),
    ],
)
def test_a_run_that_went_wrong_says_so(
    found: rehearsal.Figures | soak_figures.Figures, name: str, value: float
) -> None:
    """Each figure that may not be is a fault; hops may be slower, and memory grow, by so much."""
    assert found.faults() == []
    changed: dict[str, Any] = {name: value}
    assert len(replace(found, **changed).faults()) == 1
