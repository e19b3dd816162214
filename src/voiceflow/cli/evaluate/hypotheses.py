"""A folder of what a system said of recordings, as files that anything can read.

`<name>.rttm` holds who spoke when, by the labels sent; `aliases/<name>.rttm` the same with
labels that were found to be one person read as one; `<name>.tellings.jsonl` what was said when;
`<name>.speech.jsonl` the speech probabilities; `<name>.ends.json` when it was told that speech had
ended, a list of seconds of audio computed by then. Only the first must be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import soundfile
from pydantic import Field, TypeAdapter, ValidationError

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.cli.evaluate.speech import SpeechFrames, write_speech
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import EvaluationSet, Recording, Spoken, read_rttm, write_rttm
from voiceflow.evaluation.telling import Telling, write_tellings

ALIASES: Final = "aliases"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a service told of a recording.

    Attributes:
        model_version: `models/{model}/versions/{semver}`.
        final: Who spoke when, by the labels that were sent.
        aliased: The same, labels that were found to be one person read as one.
        tellings: What was said, provisional turns included, one for each update.
        speech: Speech probabilities, likewise.
        ends_seconds: How much audio had been computed at each event that speech had ended.
    """

    model_version: str
    final: tuple[Spoken, ...]
    aliased: tuple[Spoken, ...]
    tellings: tuple[Telling, ...]
    speech: tuple[SpeechFrames, ...]
    ends_seconds: tuple[float, ...]


def write_heard(folder: Path, name: str, heard: Heard) -> None:
    """Writes what a service told of a recording; files of that name are replaced."""
    write_hypothesis(folder, name, heard.final)
    write_hypothesis(folder / ALIASES, name, heard.aliased)
    write_tellings(tellings_path(folder, name), heard.tellings)
    write_speech(speech_path(folder, name), heard.speech)
    ends_path(folder, name).write_text(json.dumps(heard.ends_seconds) + "\n", "utf-8")


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
        raise _missing(path, ", which is empty where nobody was heard") from None
    return read_rttm(text, str(path))


def tellings_path(folder: Path, name: str) -> Path:
    """Where a folder holds what was said when."""
    return folder / f"{name}.tellings.jsonl"


def speech_path(folder: Path, name: str) -> Path:
    """Where a folder holds the speech probabilities."""
    return folder / f"{name}.speech.jsonl"


def ends_path(folder: Path, name: str) -> Path:
    """Where a folder holds when the end of speech was told."""
    return folder / f"{name}.ends.json"


def read_ends(folder: Path, name: str) -> list[float]:
    """When the end of speech was told, in seconds of audio computed by then.

    Raises:
        InvalidInput: ENDS_INVALID, if it is no list of times.
    """
    path = ends_path(folder, name)
    try:
        return _ENDS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidInput(
            f"{path.name}: allowed is a list of times in seconds from 0",
            reason="ENDS_INVALID",
            field="ends",
        ) from error


def holds_all(labelled: EvaluationSet, path_of: Callable[[str], Path]) -> bool:
    """Whether a folder has a file for every recording of a set, or for none.

    Raises:
        InvalidInput: HYPOTHESIS_MISSING, if it has some.
    """
    paths = [path_of(one.name) for one in labelled.recordings]
    missing = [path for path in paths if not path.is_file()]
    if missing and len(missing) < len(paths):
        raise _missing(missing[0], "")
    return not missing


def length_samples(recording: Recording) -> int:
    """How long a recording is at 16 kHz; all of it is evaluated."""
    seconds: float = soundfile.info(str(recording.audio)).duration
    return round(seconds * SAMPLE_RATE_HERTZ)


def _missing(path: Path, more: str) -> InvalidInput:
    return InvalidInput(
        f"{path}: there is no such file; each recording of the reference needs one{more}",
        reason="HYPOTHESIS_MISSING",
        field="hypotheses",
    )


_ENDS: Final = TypeAdapter(list[Annotated[float, Field(ge=0.0, allow_inf_nan=False)]])
