"""Speech probabilities of a recording as they were told, one line of JSON for each time.

    {"covered_seconds": 0.16, "start_seconds": 0.08, "frame_seconds": 0.04, "speech": [0.1, 0.9]}

When `covered_seconds` of audio had been computed, the frames from `start_seconds` on were told,
each once. Any system can write it; how soon it would notice the end of speech is measured by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voiceflow.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SpeechFrames:
    """What was told at one time.

    Attributes:
        covered_seconds: Audio computed by then.
        start_seconds: Of the first frame.
        frame_seconds: Length of a frame.
        speech: Probability that anyone speaks, one a frame.
    """

    covered_seconds: float
    start_seconds: float
    frame_seconds: float
    speech: tuple[float, ...]


def write_speech(path: Path, frames: Iterable[SpeechFrames]) -> None:
    """Writes them, probabilities to four decimals."""
    lines = []
    for told in frames:
        rounded = [round(value, 4) for value in told.speech]
        lines.append(json.dumps(asdict(told) | {"speech": rounded}) + "\n")
    path.write_text("".join(lines), "utf-8")


def read_speech(path: Path) -> list[SpeechFrames]:
    """Reads them.

    Raises:
        InvalidInput: SPEECH_INVALID, with the line at fault.
    """
    frames = []
    for number, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise InvalidInput(
                f"{path.name}: line {number} is {text[:200]!r}; allowed is an object with"
                " covered_seconds, start_seconds, frame_seconds and a list speech",
                reason="SPEECH_INVALID",
                field="speech",
            ) from error
        frames.append(
            SpeechFrames(line.covered_seconds, line.start_seconds, line.frame_seconds, line.speech)
        )
    return frames


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    covered_seconds: Annotated[float, Field(ge=0.0)]
    start_seconds: Annotated[float, Field(ge=0.0)]
    frame_seconds: Annotated[float, Field(gt=0.0)]
    speech: tuple[float, ...]
