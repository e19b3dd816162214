"""A whole recording through the pipeline, hop by hop as a stream goes: for evaluation and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State, empty_state
from voiceflow.pipeline.replay import from_int16, replay_start_samples, to_int16
from voiceflow.pipeline.snapshot import context_samples, start_samples
from voiceflow.pipeline.turns import HopResult

RESUME_CONTEXT_SECONDS = 30.0
"""Audio before the end of the final regions that is kept for a stream to resume, by default."""


class SwitchKind(StrEnum):
    """How a stream gets from one model to another."""

    CARRIED = "carried"
    REPLAYED = "replayed"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class Switch:
    """Where a stream goes on with another model.

    Attributes:
        at_samples: Start of the first hop that the model computes; of a resumed stream, the end of
            the last hop that was computed before.
        model: The model.
        how: With the memory of the one before (`CARRIED`), with the last audio heard again
            (`REPLAYED`), or as another stream that goes on from this one's snapshot (`RESUMED`).
        replayed_from_samples: Start of the audio heard again; None: the model's own context.
    """

    at_samples: int
    model: BoundModel
    how: SwitchKind
    replayed_from_samples: int | None = None


def model_frames(
    model: BoundModel, audio: FloatArray, mode: LatencyMode = LatencyMode.DENSITY
) -> Iterator[Frames]:
    """Runs a model over a recording.

    Args:
        model: The model.
        audio: 16 kHz samples in -1 to 1, (samples,).
        mode: Chooses the hop.

    Yields:
        The frames of each hop, those of the padding at the end included.
    """
    manifest = model.manifest
    cutter = HopCutter(manifest.hop_samples[mode], manifest.frame_samples)
    state = empty_state(model, 1)
    for hop in cutter.push(audio) + cutter.finish(manifest.look_ahead_frames):
        frames, state = model.run(hop[None], state)
        yield frames.of(0)


def diarize(
    model: BoundModel,
    audio: FloatArray,
    *,
    mode: LatencyMode = LatencyMode.DENSITY,
    diarizer: StreamDiarizer | None = None,
    change_frames: Callable[[Frames], Frames] = lambda frames: frames,
) -> list[HopResult]:
    """Diarizes a recording, (samples,) at 16 kHz, exactly as a stream of it would be.

    Args:
        model: The model.
        audio: 16 kHz samples in -1 to 1, (samples,).
        mode: Chooses the hop.
        diarizer: A fresh one; by default with the model's own settings.
        change_frames: Applied to the frames of each hop, for experiments on the pipeline.

    Returns:
        What each hop changed; the last one ends the partition at the end of the audio.
    """
    diarizer = diarizer or StreamDiarizer(model.manifest)
    whole_hops = len(audio) // model.manifest.hop_samples[mode]
    results = []
    for number, frames in enumerate(model_frames(model, audio, mode)):
        if number == whole_hops:
            diarizer.end_at(len(audio))
        results.append(diarizer.push(change_frames(frames)))
    diarizer.end_at(len(audio))
    return [*results, diarizer.finish()]


def diarize_switching(
    audio: FloatArray,
    first: BoundModel,
    switches: Sequence[Switch],
    mode: LatencyMode = LatencyMode.DENSITY,
    *,
    context_seconds: float = RESUME_CONTEXT_SECONDS,
) -> list[HopResult]:
    """Diarizes a recording as a stream of it would be that moves from model to model.

    Args:
        audio: 16 kHz samples in -1 to 1, (samples,).
        first: The model on which it begins.
        switches: Where it goes on with another one, in their order.
        mode: Chooses the hop.
        context_seconds: Audio that is kept for a stream to resume.

    Returns:
        What each hop changed, those of audio that a resumed stream heard again included; the last
        one ends the partition at the end of the audio.
    """
    model, diarizer = first, StreamDiarizer(first.manifest)
    state: State = empty_state(model, 1)
    waiting = list(switches)
    results = []
    hops, at = _hops(model, audio, 0, mode), 0
    while hops or waiting:
        if waiting and (not hops or at >= waiting[0].at_samples):
            switch = waiting.pop(0)
            old, model = model, switch.model
            match switch.how:
                case SwitchKind.CARRIED:
                    diarizer.adopt(model.manifest)
                case SwitchKind.REPLAYED:
                    state = _replayed(switch, audio, at, mode)
                    diarizer.adopt(model.manifest)
                case SwitchKind.RESUMED:
                    snapshot = diarizer.snapshot(context_samples(old.manifest, context_seconds))
                    at = start_samples(snapshot, model.manifest, mode)
                    diarizer = StreamDiarizer.resumed(model.manifest, snapshot, at)
                    state = empty_state(model, 1)
                    hops = _hops(model, audio, at, mode)
            continue
        hop = hops.pop(0)
        at += len(hop)
        if at > len(audio):
            diarizer.end_at(len(audio))
        frames, state = model.run(hop[None], state)
        results.append(diarizer.push(frames.of(0)))
    diarizer.end_at(len(audio))
    return [*results, diarizer.finish()]


def _hops(
    model: BoundModel, audio: FloatArray, start_samples: int, mode: LatencyMode
) -> list[FloatArray]:
    """All hops from a place on, those of the padding at the end included."""
    manifest = model.manifest
    cutter = HopCutter(manifest.hop_samples[mode], manifest.frame_samples)
    return cutter.push(audio[start_samples:]) + cutter.finish(manifest.look_ahead_frames)


def _replayed(switch: Switch, audio: FloatArray, at: int, mode: LatencyMode) -> State:
    """The memory of a model that has heard the last audio again, as it is kept."""
    model = switch.model
    hop = model.manifest.hop_samples[mode]
    start = switch.replayed_from_samples
    if start is None:
        start = replay_start_samples(at, model.manifest, mode)
    kept = np.zeros(at - start, np.float32)  # silence where the audio has ended
    heard = from_int16(to_int16(audio[start:at]))
    kept[: len(heard)] = heard
    state = empty_state(model, 1)
    for begin in range(0, len(kept), hop):
        _, state = model.run(kept[None, begin : begin + hop], state)
    return state
