"""What the peer can be set to, and what it was tuned to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAMPLE_RATE_HERTZ: Final = 16_000
STEP_SECONDS: Final = 0.5
"""What is heard before the peer says something again."""
MAX_SPEAKERS: Final = 20
TUNED: Final = Path(__file__).parent / "tuned.json"
"""What `tune.py` found, and all that it tried."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One setting of the peer.

    Attributes:
        level_dbfs: What the louder parts of a recording are scaled to before anything hears them;
            none to leave recordings as they are.
        threshold: Of Silero's speech probability; also diart's `tau_active`.
        silence_seconds: A pause shorter than this does not end a stretch of speech
            (`min_silence_duration_ms` of Silero's `VADIterator`).
        pad_seconds: What a stretch is widened by at both ends (`speech_pad_ms`).
        window_seconds: How far back speech is taken for an embedding.
        window_dbfs: What that speech is scaled to; none to leave it as it is.
        rho_update: Mean speech probability of a window that may move or make a speaker (diart).
        delta_new: Cosine distance from all speakers that makes a new one (diart).
        latency_seconds: How long later windows may still change the label of a step (diart).
    """

    level_dbfs: float | None
    threshold: float
    silence_seconds: float
    pad_seconds: float
    window_seconds: float
    window_dbfs: float | None
    rho_update: float
    delta_new: float
    latency_seconds: float


def read_tuned(path: Path = TUNED) -> Settings:
    """The settings that were chosen on the tuning split."""
    return Settings(**json.loads(path.read_text("utf-8"))["settings"])


def delta_name(delta_new: float) -> str:
    """The folder of what is said with another `delta_new`, all else as it was."""
    return f"delta-new-{delta_new:g}"
