"""A folder of what a system said of recordings, as files that anything can read.

`<name>.rttm` holds who spoke when, by the labels sent; `aliases/<name>.rttm` the same with
labels that were found to be one person read as one; `<name>.tellings.jsonl` what was said when;
`<name>.speech.jsonl` the speech probabilities. Only the first must be there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.cli.evaluate.speech import SpeechFrames, write_speech
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import Recording, Spoken, read_rttm, write_rttm
from voiceflow.evaluation.telling import Telling, write_tellings

ALIASES = "aliases"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a service told of a recording.

    Attributes:
        model_version: `models/{model}/versions/{semver}`.
        final: Who spoke when, by the labels that were sent.
        aliased: The same, labels that were found to be one person read as one.
        tellings: What was said, provisional turns included, one for each update.
        speech: Speech probabilities, likewise.
    """

    model_version: str
    final: tuple[Spoken, ...]
    aliased: tuple[Spoken, ...]
    tellings: tuple[Telling, ...]
    speech: tuple[SpeechFrames, ...]


def write_heard(folder: Path, name: str, heard: Heard) -> None:
    """Writes what a service told of a recording; files of that name are replaced."""
    write_hypothesis(folder, name, heard.final)
    write_hypothesis(folder / ALIASES, name, heard.aliased)
    write_tellings(tellings_path(folder, name), heard.tellings)
    write_speech(speech_path(folder, name), heard.speech)


def write_hypothesis(folder: Path, name: str, spoken: Iterable[Spoken]) -> None:
    """Writes who spoke when in a recording; white space in its name becomes `_` within the file."""
    folder.mkdir(parents=True, exist_ok=True)
    field = "_".join(name.split()) or "audio"
    (folder / f"{name}.rttm").write_text(write_rttm(field, spoken), "utf-8")


def read_hypothesis(folder: Path, name: str) -> list[Spoken]:
    """Who spoke when in a recording, as the folder says.

    Raises:
        InvalidInput: HYPOTHESIS_MISSING, if it says nothing of it; REFERENCE_INVALID, with the line
            that is no RTTM.
    """
    path = folder / f"{name}.rttm"
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        raise InvalidInput(
            f"{path}: there is no such file; each recording of the reference needs one, which is"
            " empty where nobody was heard",
            reason="HYPOTHESIS_MISSING",
            field="hypotheses",
        ) from None
    return read_rttm(text, str(path))


def tellings_path(folder: Path, name: str) -> Path:
    """Where a folder holds what was said when."""
    return folder / f"{name}.tellings.jsonl"


def speech_path(folder: Path, name: str) -> Path:
    """Where a folder holds the speech probabilities."""
    return folder / f"{name}.speech.jsonl"


def length_samples(recording: Recording) -> int:
    """How long a recording is at 16 kHz; all of it is evaluated."""
    return round(soundfile.info(str(recording.audio)).duration * SAMPLE_RATE_HERTZ)
