"""A whole recording through the pipeline, hop by hop as a stream goes: for evaluation and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, empty_state
from voiceflow.pipeline.turns import HopResult


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
