"""Voice files: an enrolled speaker on disk, where somebody asked for that.

A voice file holds a voiceprint, which is personal data: it is written for its owner alone, and
nothing here writes one by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voiceflow.client.config import EnrolledSpeaker, Prototype
from voiceflow.errors import InvalidInput
from voiceflow.identity.files import read_file, write_file


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody's voice as a model heard it.

    Attributes:
        speaker: Name and prototypes.
        model_version: Of that model, `models/{model}/versions/{semver}`.
    """

    speaker: EnrolledSpeaker
    model_version: str


def read_voice(path: Path) -> Voice:
    """Reads a voice file.

    Raises:
        InvalidInput: VOICE_FILE_INVALID: it cannot be read, or is none.
    """
    try:
        content = _File.model_validate_json(read_file(path, reason=_INVALID, field="voice"))
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "the file"
        raise InvalidInput(
            f"{path}: is no voice file as `voiceflow enrol` writes them; look at {where}",
            reason=_INVALID,
            field="voice",
        ) from None  # what is in it is not shown
    prototypes = tuple(
        Prototype(one.embedding_space, one.values, one.speech_seconds) for one in content.prototypes
    )
    return Voice(EnrolledSpeaker(content.name, prototypes), content.model_version)


def voice_json(voice: Voice) -> str:
    """What a voice file holds."""
    content = _File(
        format=_FORMAT,
        name=voice.speaker.name,
        model_version=voice.model_version,
        prototypes=tuple(
            _Prototype(
                embedding_space=one.embedding_space,
                speech_seconds=one.speech_seconds,
                values=one.values,
            )
            for one in voice.speaker.prototypes
        ),
    )
    return content.model_dump_json(indent=2) + "\n"


def write_voice(path: Path, voice: Voice) -> None:
    """Writes a voice file in one step, for its owner alone (mode 0600); one that is there goes.

    Raises:
        OSError: It cannot be written.
    """
    write_file(path, voice_json(voice).encode(), private=True)


_FORMAT: Final = "voiceflow-voice/1"
_INVALID: Final = "VOICE_FILE_INVALID"

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Prototype(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding_space: str
    speech_seconds: _Finite
    values: tuple[_Finite, ...] = Field(repr=False)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: Literal["voiceflow-voice/1"]
    name: str
    model_version: str
    prototypes: tuple[_Prototype, ...] = Field(min_length=1)
