"""Labelled conversations: recordings beside their references, read and digested."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Digest, digest_of
from voiceflow.errors import ContentCorrupt, InvalidInput
from voiceflow.evaluation.rttm import read_rttm
from voiceflow.evaluation.spoken import Spoken
from voiceflow.pipeline.model import FloatArray

AUDIO_SUFFIXES: Final = (".flac", ".opus", ".wav")


@dataclass(frozen=True, slots=True)
class Recording:
    """One labelled recording of an evaluation set.

    Attributes:
        name: Without suffix.
        audio: The recording.
        audio_digest: When the set was opened.
        reference: Who speaks when.
    """

    name: str
    audio: Path
    audio_digest: Digest
    reference: tuple[Spoken, ...]

    def samples(self) -> FloatArray:
        """The audio at 16 kHz, (samples,).

        Raises:
            ContentCorrupt: CONTENT_CORRUPT, if it has changed since the set was opened.
            InvalidInput: EVALUATION_SET_INVALID, if it cannot be decoded.
        """
        content = self.audio.read_bytes()
        if (seen := digest_of(content)) != self.audio_digest:
            raise ContentCorrupt(
                f"{self.audio.name}: digest is {seen}, was {self.audio_digest} when the evaluation"
                " set was opened",
                reason="CONTENT_CORRUPT",
            )
        try:
            return read_audio(io.BytesIO(content))
        except soundfile.SoundFileError as error:
            raise _undecodable(self.audio, error) from error


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Labelled conversations that every version is scored on.

    Attributes:
        name: Of the folder.
        digest: Of the list of files: name and digest of each recording and reference.
        recordings: By name.
    """

    name: str
    digest: Digest
    recordings: tuple[Recording, ...]

    @classmethod
    def open(cls, folder: Path) -> EvaluationSet:
        """Reads a set's references and takes the digests of its files.

        Raises:
            InvalidInput: EVALUATION_SET_INVALID or REFERENCE_INVALID, with the file at fault.
        """
        if not folder.is_dir():
            raise _set_invalid(f"{folder} is no folder")
        _check_pairs(folder)
        recordings, lines = [], []
        for audio, rttm in conversations(folder):
            content = rttm.read_bytes()
            audio_digest = _digest_of_file(audio)
            reference = read_rttm(content.decode("utf-8", "replace"), rttm.name)
            seconds = _seconds_of(audio)
            if not any(min(s.end_seconds, seconds) > s.start_seconds for s in reference):
                raise _set_invalid(
                    f"{rttm.name} names no speech in the {seconds:g} s of {audio.name}"
                )
            recordings.append(Recording(audio.stem, audio, audio_digest, tuple(reference)))
            lines += [f"{audio.name} {audio_digest}\n", f"{rttm.name} {digest_of(content)}\n"]
        return cls(
            folder.resolve().name, digest_of("".join(lines).encode("utf-8")), tuple(recordings)
        )


def conversations(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of a recording and its reference, sorted by name."""
    pairs = []
    for rttm in sorted(folder.glob("*.rttm")):
        audio = [rttm.with_suffix(suffix) for suffix in AUDIO_SUFFIXES]
        pairs += [(path, rttm) for path in audio if path.exists()]
    return pairs


def read_audio(source: Path | io.BytesIO) -> FloatArray:
    """The first channel of a recording at 16 kHz, (samples,)."""
    audio, rate_hertz = soundfile.read(source, dtype="float32", always_2d=True)
    mono: FloatArray = np.ascontiguousarray(audio[:, 0])
    if rate_hertz != SAMPLE_RATE_HERTZ:
        mono = soxr.resample(mono, rate_hertz, SAMPLE_RATE_HERTZ).astype(np.float32)
    return mono


def _check_pairs(folder: Path) -> None:
    """Every reference has exactly one recording, and every recording a reference."""
    references = {path.stem for path in folder.glob("*.rttm")}
    recordings = Counter(path.stem for path in folder.iterdir() if path.suffix in AUDIO_SUFFIXES)
    if not references:
        raise _set_invalid(f"{folder} holds no <name>.rttm beside <name>{AUDIO_SUFFIXES[0]}")
    for name in sorted(references | recordings.keys()):
        if name not in references:
            raise _set_invalid(f"{name}: a recording without {name}.rttm")
        if recordings[name] != 1:
            raise _set_invalid(
                f"{name}.rttm has {recordings[name]} recordings; one of "
                + ", ".join(name + suffix for suffix in AUDIO_SUFFIXES)
                + " is allowed"
            )


def _seconds_of(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except soundfile.SoundFileError as error:
        raise _undecodable(path, error) from error


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _undecodable(path: Path, error: Exception) -> InvalidInput:
    return _set_invalid(f"{path.name} cannot be decoded: {error}")


def _set_invalid(what: str) -> InvalidInput:
    return InvalidInput(
        f"evaluation set: {what}", reason="EVALUATION_SET_INVALID", field="evaluation_set"
    )
