"""What a system is worth is seen beside those that know nothing, and beside one that knows more.

- `one_speaker`: one voice from the first sample to the last.
- `one_label`: a system's own speech, all of it by one voice: its rate without any identity.
- `oracle_speech`: the pipeline with a model that is told how many speak in each frame; what is left
  is what identity costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.cli.evaluate.hypotheses import length_samples
from voiceflow.evaluation import EvaluationSet, Spoken, final_regions, spoken_in, united
from voiceflow.pipeline.model import BoundModel, Frames
from voiceflow.pipeline.offline import diarize

Hypotheses = dict[str, list[Spoken]]
"""What is said of each recording, by its name."""


def one_speaker(labelled: EvaluationSet) -> Hypotheses:
    """Everything is said by one voice, silence too."""
    return {
        one.name: [Spoken("S1", 0.0, length_samples(one) / SAMPLE_RATE_HERTZ)]
        for one in labelled.recordings
    }


def one_label(hypotheses: Mapping[str, Iterable[Spoken]]) -> Hypotheses:
    """Whatever is said is said by one voice."""
    return {
        name: united(Spoken("S1", one.start_seconds, one.end_seconds) for one in spoken)
        for name, spoken in hypotheses.items()
    }


def oracle_speech(model: BoundModel, labelled: EvaluationSet) -> Hypotheses:
    """The pipeline in density mode where the reference says how many speak at a time."""
    found = {}
    for recording in labelled.recordings:
        audio = recording.samples()
        told = told_speech(recording.reference, model.manifest, len(audio))
        found[recording.name] = spoken_in(final_regions(diarize(model, audio, change_frames=told)))
    return found


def told_speech(
    reference: Iterable[Spoken], manifest: Manifest, samples: int
) -> Callable[[Frames], Frames]:
    """Puts the reference's speech in place of the model's, for one recording, hop by hop.

    A frame is speech where somebody speaks at its middle, and its second track is active where
    two do. The voices of the tracks stay the model's.

    Args:
        reference: Who speaks when.
        manifest: Of the model.
        samples: Of the recording; after it nobody speaks.
    """
    voices = _voices(reference, manifest.frame_samples, samples)
    late = manifest.look_ahead_frames
    at = 0

    def change(frames: Frames) -> Frames:
        nonlocal at
        count, tracks = frames.activity.shape
        speech = _from(voices, at, count) > 0
        activity = _from(voices, at - late, count)[:, None] > np.arange(tracks)
        at += count
        return Frames(speech.astype(np.float32), activity.astype(np.float32), frames.embedding)

    return change


def _voices(reference: Iterable[Spoken], frame_samples: int, samples: int) -> NDArray[np.int64]:
    """How many speak at the middle of each frame, (frames,)."""
    middles = (np.arange(samples // frame_samples + 1) + 0.5) * frame_samples / SAMPLE_RATE_HERTZ
    voices = np.zeros(len(middles), np.int64)
    for one in united(reference):
        voices += (middles >= one.start_seconds) & (middles < one.end_seconds)
    return voices


def _from(voices: NDArray[np.int64], first: int, count: int) -> NDArray[np.int64]:
    """So many frames from one on; nobody speaks before the first and after the last."""
    frames = np.arange(first, first + count)
    inside = (frames >= 0) & (frames < len(voices))
    return np.where(inside, voices[np.clip(frames, 0, len(voices) - 1)], 0)
