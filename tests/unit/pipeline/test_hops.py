"""Hops: every sample once, in order, wherever the pieces end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.pipeline.hops import HopCutter

HOP_SAMPLES, FRAME_SAMPLES = 60, 10


@given(cuts=st.lists(st.integers(0, 150), max_size=20), look_ahead_frames=st.integers(0, 9))
def test_every_sample_comes_out_once_and_the_padding_is_silence(
    cuts: list[int], look_ahead_frames: int
) -> None:
    """Hops are whole but the last; after the audio comes just what the look-ahead needs."""
    audio = np.arange(1, sum(cuts) + 1, dtype=np.float32)
    cutter = HopCutter(HOP_SAMPLES, FRAME_SAMPLES)
    hops, at = [], 0
    for cut in cuts:
        hops += cutter.push(audio[at : at + cut])
        at += cut
    assert all(len(hop) == HOP_SAMPLES for hop in hops)
    last = cutter.finish(look_ahead_frames)
    assert all(len(hop) == HOP_SAMPLES for hop in last[:-1])
    out = np.concatenate([np.zeros(0, np.float32), *hops, *last])
    assert cutter.received_samples == len(audio)
    assert np.array_equal(out[: len(audio)], audio)
    assert not out[len(audio) :].any()
    frames = -(-len(audio) // FRAME_SAMPLES)
    assert len(out) == (frames + look_ahead_frames) * FRAME_SAMPLES


@given(before=st.integers(0, 200), after=st.integers(0, 200))
def test_a_flush_gives_the_whole_frames_that_wait(before: int, after: int) -> None:
    """Less than a frame stays, and the audio goes on from there."""
    audio = np.arange(1, before + after + 1, dtype=np.float32)
    cutter = HopCutter(HOP_SAMPLES, FRAME_SAMPLES)
    hops = cutter.push(audio[:before])
    flushed = cutter.flush()
    given_out = sum(len(hop) for hop in hops + flushed)
    assert 0 <= before - given_out < FRAME_SAMPLES
    assert cutter.flush() == []
    rest = cutter.push(audio[before:]) + cutter.finish(0)
    out = np.concatenate([np.zeros(0, np.float32), *hops, *flushed, *rest])
    assert np.array_equal(out[: len(audio)], audio)


def test_hops_do_not_share_memory_with_what_comes_later() -> None:
    """A hop that waits in a queue is not overwritten by the next."""
    cutter = HopCutter(HOP_SAMPLES, FRAME_SAMPLES)
    [first] = cutter.push(np.ones(HOP_SAMPLES, np.float32))
    cutter.push(np.zeros(HOP_SAMPLES, np.float32))
    assert first.all()
