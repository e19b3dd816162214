"""How well speakers are told apart: labelled conversations, and error rates over them.

A folder holds `<name>.flac`, `<name>.opus` or `<name>.wav` beside `<name>.rttm`. Collar 0, overlap
scored, no oracle speech detection, the whole recording is evaluated, rates are pooled over
reference speech.

What a system said while it listened is measured by `telling` (what it said when), `streaming` and
`endpoint`; `bootstrap` says how sure a pooled rate is.
"""

from voiceflow.evaluation.rttm import read_rttm, write_rttm
from voiceflow.evaluation.scoring import POOLED, PROTOCOL, Score, Scorer, scorer_version
from voiceflow.evaluation.sets import (
    AUDIO_SUFFIXES,
    EvaluationSet,
    Recording,
    conversations,
    read_audio,
)
from voiceflow.evaluation.spoken import Spoken, final_regions, spoken_in, united

__all__ = [
    "AUDIO_SUFFIXES",
    "POOLED",
    "PROTOCOL",
    "EvaluationSet",
    "Recording",
    "Score",
    "Scorer",
    "Spoken",
    "conversations",
    "final_regions",
    "read_audio",
    "read_rttm",
    "scorer_version",
    "spoken_in",
    "united",
    "write_rttm",
]
