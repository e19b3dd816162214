"""How well speakers are told apart: labelled conversations, and error rates over them.

A folder holds `<name>.flac`, `<name>.opus` or `<name>.wav` beside `<name>.rttm`. Collar 0, overlap
scored, no oracle speech detection, the whole recording is evaluated, rates are pooled over
reference speech. pyannote.metrics maps speakers to the reference and scores; it comes with
`voiceflow[registry]` and is imported when the first score is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
import soxr

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Digest, digest_of
from voiceflow.errors import ContentCorrupt, InvalidInput, NotAllowedNow
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import HopResult, Region

PROTOCOL: Final = "collar_total_seconds 0, overlap scored, no oracle speech detection, pooled"
AUDIO_SUFFIXES: Final = (".flac", ".opus", ".wav")
POOLED: Final = "pooled"
"""Name of the score over all recordings."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One stretch of speech in a reference."""

    speaker: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """Error rates in percent of reference speech.

    Attributes:
        name: Of the recording, or `pooled`.
        speakers: How many were found of how many there are: `3/4`; empty where pooled.
    """

    name: str
    reference_seconds: float
    der_percent: float
    missed_percent: float
    false_alarm_percent: float
    confusion_percent: float
    speakers: str

    def rounded(self) -> Score:
        """With two decimals, as it is printed."""
        return replace(
            self,
            reference_seconds=round(self.reference_seconds, 2),
            der_percent=round(self.der_percent, 2),
            missed_percent=round(self.missed_percent, 2),
            false_alarm_percent=round(self.false_alarm_percent, 2),
            confusion_percent=round(self.confusion_percent, 2),
        )


class Scorer:
    """Scores recordings one after another and pools them.

    Raises:
        NotAllowedNow: SCORER_MISSING, if pyannote.metrics is not installed.
    """

    def __init__(self) -> None:
        self._core = _scoring_module("pyannote.core")
        diarization = _scoring_module("pyannote.metrics.diarization")
        self._metric = diarization.DiarizationErrorRate(collar=0.0, skip_overlap=False)
        self._seconds: Counter[str] = Counter()

    def add(
        self, name: str, reference: Iterable[Spoken], found: Iterable[Region], samples: int
    ) -> Score:
        """Scores one recording of so many samples, and counts it for the pool."""
        truth, guess = self._core.Annotation(), self._core.Annotation()
        for number, spoken in enumerate(reference):
            truth[self._core.Segment(spoken.start_seconds, spoken.end_seconds), number] = (
                spoken.speaker
            )
        for region in found:
            span = self._core.Segment(
                region.start_samples / SAMPLE_RATE_HERTZ, region.end_samples / SAMPLE_RATE_HERTZ
            )
            for track, speaker in enumerate(region.speakers):
                guess[span, track] = speaker
        whole = self._core.Segment(0.0, samples / SAMPLE_RATE_HERTZ)
        seconds = self._metric.compute_components(truth, guess, uem=self._core.Timeline([whole]))
        self._seconds.update(seconds)
        return _score(name, seconds, f"{len(guess.labels())}/{len(truth.labels())}")

    def pooled(self) -> Score:
        """Over all recordings added."""
        return _score(POOLED, self._seconds, "")


def scorer_version() -> str:
    """Name and version of what scores."""
    return f"pyannote.metrics {version('pyannote.metrics')}"


def final_regions(results: Iterable[HopResult]) -> list[Region]:
    """What is final, in order; merged speakers keep the label they were sent with."""
    return [region for result in results for region in result.final_regions]


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


def read_rttm(text: str, name: str = "the reference") -> list[Spoken]:
    """The reference speakers of one recording.

    Raises:
        InvalidInput: REFERENCE_INVALID, with the line at fault.
    """
    spoken = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, duration, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise _reference_invalid(name, number, line) from error
        if not (0 <= start < float("inf") and 0 <= duration < float("inf")):
            raise _reference_invalid(name, number, line)
        spoken.append(Spoken(speaker, start, start + duration))
    return spoken


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


def _score(name: str, seconds: Mapping[str, float], speakers: str) -> Score:
    total = seconds["total"]
    missed, false_alarm, confusion = (
        100.0 * seconds[part] / total for part in ("missed detection", "false alarm", "confusion")
    )
    return Score(
        name,
        total,
        missed + false_alarm + confusion,
        missed,
        false_alarm,
        confusion,
        speakers,
    )


def _scoring_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotAllowedNow(
            "error rates are scored with pyannote.metrics, which is not installed here;"
            " install voiceflow[registry]",
            reason="SCORER_MISSING",
        ) from error


def _seconds_of(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except soundfile.SoundFileError as error:
        raise _undecodable(path, error) from error


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _reference_invalid(name: str, number: int, line: str) -> InvalidInput:
    return InvalidInput(
        f"{name}: line {number} is {line[:200]!r}; allowed is"
        " SPEAKER <file> <channel> <start> <duration> <NA> <NA> <speaker>, in seconds",
        reason="REFERENCE_INVALID",
        field="evaluation_set",
    )


def _undecodable(path: Path, error: Exception) -> InvalidInput:
    return _set_invalid(f"{path.name} cannot be decoded: {error}")


def _set_invalid(what: str) -> InvalidInput:
    return InvalidInput(
        f"evaluation set: {what}", reason="EVALUATION_SET_INVALID", field="evaluation_set"
    )
