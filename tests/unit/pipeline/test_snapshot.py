"""What is kept of a stream, where it begins to hear again, and what is never shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.synthetic import DIM, FRAME_SAMPLES, conversation, manifest, stream, voice
from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.snapshot import (
    LEAST_CONTEXT_SAMPLES,
    RecentRegions,
    Snapshot,
    VoiceTable,
    context_samples,
    start_samples,
)
from voiceflow.pipeline.turns import Region


def snapshot_at(frames: int, context: int) -> Snapshot:
    """Of a stream whose final regions end after so many frames."""
    diarizer = StreamDiarizer(manifest(look_ahead_frames=0))
    if frames:
        heard = conversation([(frames * FRAME_SAMPLES / 16_000, (1,))])
        diarizer.push(heard)
    diarizer.flush()
    snapshot = diarizer.snapshot(context)
    assert snapshot.at_samples == frames * FRAME_SAMPLES
    return snapshot


@settings(max_examples=100, deadline=None)
@given(
    frames=st.integers(0, 400),
    kept_seconds=st.floats(0.0, 12.0),
    context_seconds=st.floats(0.1, 20.0),
    frame_samples=st.sampled_from([160, 480, 640, 1000, 4800]),
    hop_frames=st.integers(1, 40),
    same_space=st.booleans(),
)
def test_what_is_heard_again_is_kept_and_reaches_what_is_final(
    frames: int,
    kept_seconds: float,
    context_seconds: float,
    frame_samples: int,
    hop_frames: int,
    same_space: bool,
) -> None:
    """Whatever the next model's frames and hops: whole frames, none that the client lacks."""
    kept = context_samples(manifest(), kept_seconds)
    snapshot = snapshot_at(frames, kept)
    new = manifest(
        frame_samples=frame_samples,
        hop_samples={LatencyMode.AGENT: frame_samples * hop_frames},
        context_seconds=context_seconds,
        embedding_space="synthetic-1" if same_space else "synthetic-2",
    )
    start = start_samples(snapshot, new, LatencyMode.AGENT)
    assert start % frame_samples == 0
    assert max(0, snapshot.at_samples - kept) <= start <= snapshot.at_samples


@settings(max_examples=60, deadline=None)
@given(frames=st.integers(0, 400), mode=st.sampled_from(LatencyMode))
def test_in_one_space_the_context_of_the_model_is_heard_again_from_the_start_of_a_hop(
    frames: int, mode: LatencyMode
) -> None:
    """So hops lie where they lay, and no frame that is told lacks what came before it."""
    snapshot = snapshot_at(frames, context_samples(manifest(), 10.0))
    start = start_samples(snapshot, manifest(), mode)
    hop = manifest().hop_samples[mode]
    assert start % hop == 0
    context = snapshot.at_samples - 16_000  # of one second
    assert max(0, context - hop) <= start <= max(0, context)


def test_in_another_space_all_that_is_kept_is_heard_again() -> None:
    """Speakers are found in it."""
    snapshot = snapshot_at(400, context_samples(manifest(), 10.0))
    other = manifest(embedding_space="synthetic-2")
    start = start_samples(snapshot, other, LatencyMode.AGENT)
    assert snapshot.at_samples - start >= 10 * 16_000


def test_a_client_keeps_what_was_wished_for_or_what_the_model_needs_and_a_hop() -> None:
    """The longer of the two, and never less than a second."""
    hop = 7680
    assert context_samples(manifest(), 30.0) == 30 * 16_000 + hop
    assert context_samples(manifest(context_seconds=11.0), 5.0) == 11 * 16_000 + hop
    assert context_samples(manifest(context_seconds=0.1), 0.0) == LEAST_CONTEXT_SAMPLES


def test_vectors_of_another_length_are_of_another_space_whatever_its_name() -> None:
    """A name that claims too much must not mix vectors up."""
    snapshot = snapshot_at(100, LEAST_CONTEXT_SAMPLES)
    assert snapshot.is_in_space_of(manifest())
    assert not snapshot.is_in_space_of(manifest(embedding_dim=DIM * 2))
    assert not snapshot.is_in_space_of(manifest(embedding_space="synthetic-2"))


def test_recent_regions_are_those_of_the_context_joined() -> None:
    """Of the last ten seconds none is missing and no neighbour repeats its speakers."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(6.0, (1,)), (6.0, (2,)), (1.0, ()), (6.0, (1,))]), diarizer)
    recent = diarizer.snapshot(10 * 16_000).recent
    assert [region.speakers for region in recent] == [("S2",), (), ("S1",)]
    assert recent[0].start_samples == 9 * 16_000
    assert recent[-1].end_samples == 19 * 16_000


def test_regions_are_remembered_for_as_long_as_a_context_can_be() -> None:
    """Two minutes, and not for ever."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(1.0, (1,)), (1.0, ())] * 100), diarizer)
    recent = diarizer.snapshot(10**9).recent
    assert recent[-1].end_samples == 200 * 16_000
    assert 120 * 16_000 <= 200 * 16_000 - recent[0].start_samples <= 122 * 16_000


def test_regions_that_are_remembered_are_joined_and_cut() -> None:
    """Equal neighbours are one; one that ends where the span begins is not in it."""
    recent = RecentRegions()
    for region in (Region(0, 10, ("S1",)), Region(10, 20, ()), Region(20, 30, ())):
        recent.add(region)
    assert recent.since(0) == (Region(0, 10, ("S1",)), Region(10, 30, ()))
    assert recent.since(10) == (Region(10, 30, ()),)
    assert recent.since(15) == (Region(15, 30, ()),)
    assert recent.since(30) == ()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5))
def test_sums_of_voices_come_back_in_half_precision(seed: int, rows: int) -> None:
    """Direction, length and frames, those of no speech at all included."""
    generator = np.random.default_rng(seed)
    totals: FloatArray = (generator.normal(size=(rows, DIM)) * 100).astype(np.float32)
    totals[0] = 0.0
    frames = generator.integers(1, 1500, rows).astype(np.float32)
    table = VoiceTable.of(totals, frames)
    assert table.dim == DIM
    assert len(table.directions) == rows * DIM * 2
    assert table.frames == tuple(frames)
    np.testing.assert_allclose(table.totals(1.0), totals, atol=0.6)
    np.testing.assert_allclose(table.totals(0.5), totals / 2, atol=0.3)


def test_a_snapshot_shows_no_voice() -> None:
    """Neither vectors nor anything else that was computed from them."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(4.0, (1,)), (4.0, (2,)), (0.5, (3,)), (2.0, (1,))]), diarizer)
    snapshot = diarizer.snapshot(LEAST_CONTEXT_SAMPLES)
    shown = repr(snapshot) + repr(diarizer.summary()) + repr(diarizer)
    assert "S1" in shown
    assert "array" not in shown
    assert repr(snapshot.voices.table) == "VoiceTable()"
    table = snapshot.voices.table
    for number in (*table.lengths, *snapshot.voices.path_totals[1:]):
        assert str(number) not in shown
    assert str(table.directions) not in shown


def test_prototypes_keep_their_direction() -> None:
    """A voice that was learnt is the voice that goes along."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(6.0, (1,))]), diarizer)
    totals = diarizer.snapshot(LEAST_CONTEXT_SAMPLES).voices.table.totals(1.0)
    assert totals[0] @ voice(1) / np.linalg.norm(totals[0]) == pytest.approx(1.0, abs=0.01)
