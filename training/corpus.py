"""Utterances of known speakers, decoded once into an int16 cache, in several copies.

A copy at another speed, or with its formants moved, counts as another speaker: pitch and vocal
tract are what a voice is known by.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from training.formants import moved_formants

SAMPLE_RATE_HERTZ = 16_000
SPLIT_SEED = 20
TUNING_SPEAKERS = {"librispeech": 28, "mexican": 16, "arabic": 8, "dspspeech": 8}

Audio = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Copy:
    """How a copy of a speaker differs: pitch and formants go with the speed, formants alone too."""

    speed: float = 1.0
    formants: float = 1.0


PLAIN = Copy()
_CHANGED_COPIES = 27
_SPEEDS = (0.8, 1.25)
_FORMANTS = (0.85, 1.18)


def _changed(number: int) -> Copy:
    """One of copies that cover speeds and formants evenly, however many there are.

    An additive recurrence with the powers of the plastic number (Roberts, 2018).
    """
    places = [number * share % 1 for share in (0.7548776662466927, 0.5698402909980532)]
    speed, formants = (
        round(low * (high / low) ** place, 3)
        for place, (low, high) in zip(places, (_SPEEDS, _FORMANTS), strict=True)
    )
    return Copy(speed, formants)


COPIES = (PLAIN, *(_changed(number) for number in range(1, 1 + _CHANGED_COPIES)))


@dataclass(frozen=True)
class Utterance:
    """One utterance: where it lies in its file and where speech lies in it, in samples."""

    file: str
    set_name: str
    speaker: str
    start_samples: int
    end_samples: int
    speech: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Clip:
    """An utterance in the cache: its place there and its speech regions from its start."""

    offset_samples: int
    length_samples: int
    speech: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Voice:
    """One copy of a speaker."""

    name: str
    set_name: str
    copy: Copy
    clips: tuple[Clip, ...]


class Corpus:
    """The voices of some speakers, their audio in a memory map."""

    def __init__(self, audio: npt.NDArray[np.int16], voices: list[Voice]) -> None:
        self.audio = audio
        self.voices = voices

    @property
    def digest(self) -> str:
        """Of what is in the corpus: what was made of another one is not of this one."""
        return hashlib.sha256(repr(self.voices).encode()).hexdigest()[:12]

    def material(self, rng: np.random.Generator, voice: int, samples: int) -> tuple[Audio, Mask]:
        """Speech of one voice, `samples` long, utterances joined with pauses of 0.1-0.4 s.

        Starts within speech, at a random place. A voice with little speech is heard again.

        Returns:
            The audio, scaled so that the speech of its first utterance has an RMS of one, and where
            speech is. (What was cut out of it may be a pause, which is no measure of level.)
        """
        clips = self.voices[voice].clips
        audio = np.zeros(samples, np.float32)
        speech = np.zeros(samples, np.bool_)
        order = rng.permutation(len(clips))
        position, turn = 0, 0
        while position < samples:
            clip = clips[order[turn % len(clips)]]
            first = clip.speech[0][0]
            spare = clip.speech[-1][1] - first - samples
            skip = first + (int(rng.integers(0, spare + 1)) if turn == 0 and spare > 0 else 0)
            taken = min(clip.length_samples - skip, samples - position)
            start = clip.offset_samples + skip
            audio[position : position + taken] = self.audio[start : start + taken]
            for begin, end in clip.speech:
                low, high = max(begin - skip, 0), min(end - skip, taken)
                if high > low:
                    speech[position + low : position + high] = True
            position += taken + int(rng.integers(1_600, 6_400))
            turn += 1
        return audio / self._level(clips[order[0]]), speech

    def _level(self, clip: Clip) -> np.float32:
        """The RMS of an utterance's speech, in steps of 16 bits; at least one step."""
        regions = [self.audio[clip.offset_samples :][begin:end] for begin, end in clip.speech]
        power = np.mean(np.square(np.concatenate(regions).astype(np.float32)))
        return np.maximum(np.sqrt(power), np.float32(1.0))


def read_utterances(speech_root: Path, split: str) -> list[Utterance]:
    """The lines of `utterances.csv` of one split, in the file's order."""
    found = []
    with (speech_root / "utterances.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] != split:
                continue
            regions = tuple(
                (_samples(part.split("-")[0]), _samples(part.split("-")[1]))
                for part in row["speech"].split(";")
            )
            start, end = _samples(row["start_seconds"]), _samples(row["end_seconds"])
            name = f"{row['set']}-{row['speaker']}"
            found.append(Utterance(row["file"], row["set"], name, start, end, regions))
    return found


def tuning_speakers(utterances: list[Utterance]) -> frozenset[str]:
    """The held-out train speakers: never trained on, used to tune and to choose.

    The rule: per set, in the order of `TUNING_SPEAKERS`, a draw without replacement from the
    set's sorted speakers, by one generator seeded with `SPLIT_SEED`.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    held: set[str] = set()
    for set_name, count in TUNING_SPEAKERS.items():
        names = sorted({u.speaker for u in utterances if u.set_name == set_name})
        held.update(str(name) for name in rng.choice(names, count, replace=False))
    return frozenset(held)


def training_corpus(speech_root: Path, cache: Path) -> Corpus:
    """Every train speaker that is not held out, in every copy."""
    utterances = read_utterances(speech_root, "train")
    held = tuning_speakers(utterances)
    kept = [u for u in utterances if u.speaker not in held]
    return _load(kept, COPIES, speech_root, cache / "train.i16")


def tuning_corpus(speech_root: Path, cache: Path) -> Corpus:
    """The held-out train speakers as they are."""
    utterances = read_utterances(speech_root, "train")
    held = tuning_speakers(utterances)
    kept = [u for u in utterances if u.speaker in held]
    return _load(kept, (PLAIN,), speech_root, cache / "tuning.i16")


def evaluation_corpus(speech_root: Path, cache: Path) -> Corpus:
    """The `eval` speakers: for the card's figures only."""
    return _load(read_utterances(speech_root, "eval"), (PLAIN,), speech_root, cache / "eval.i16")


def read_noises(speech_root: Path, folds: tuple[int, ...]) -> list[Audio]:
    """The noise clips of these folds, each scaled to an RMS of one."""
    noises = []
    for path in sorted((speech_root / "noise").glob("*/*.opus")):
        if int(path.name.split("-")[0]) not in folds:
            continue
        clip = read_audio(path)
        level = float(np.sqrt(np.mean(np.square(clip))))
        if level > 1e-4:
            noises.append(clip / np.float32(level))
    return noises


def read_audio(path: Path) -> Audio:
    """One mono recording at 16 kHz, -1 to 1."""
    audio, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE_HERTZ:
        audio = soxr.resample(audio, rate, SAMPLE_RATE_HERTZ)
    return np.asarray(audio, np.float32)


def _samples(seconds: str) -> int:
    return round(float(seconds) * SAMPLE_RATE_HERTZ)


def _load(
    utterances: list[Utterance], copies: tuple[Copy, ...], speech_root: Path, path: Path
) -> Corpus:
    lengths = [
        [round((u.end_samples - u.start_samples) / copy.speed) for u in utterances]
        for copy in copies
    ]
    total = sum(map(sum, lengths))
    if not path.exists() or path.stat().st_size != 2 * total:
        _decode(utterances, copies, lengths, speech_root, path)
    voices, offset = [], 0
    for copy, of_copy in zip(copies, lengths, strict=True):
        clips: dict[tuple[str, str], list[Clip]] = defaultdict(list)
        for utterance, length in zip(utterances, of_copy, strict=True):
            regions = tuple(
                (round(begin / copy.speed), min(round(end / copy.speed), length))
                for begin, end in _relative(utterance)
            )
            clips[utterance.speaker, utterance.set_name].append(Clip(offset, length, regions))
            offset += length
        voices += [Voice(name, group, copy, tuple(c)) for (name, group), c in clips.items()]
    return Corpus(np.memmap(path, np.int16, "r"), voices)


def _relative(utterance: Utterance) -> list[tuple[int, int]]:
    start = utterance.start_samples
    return [(begin - start, end - start) for begin, end in utterance.speech]


def _decode(
    utterances: list[Utterance],
    copies: tuple[Copy, ...],
    lengths: list[list[int]],
    speech_root: Path,
    path: Path,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files: dict[str, Audio] = {}
    for utterance in utterances:
        if utterance.file not in files:
            files[utterance.file] = read_audio(speech_root / utterance.file)
    plain = [files[u.file][u.start_samples : u.end_samples] for u in utterances]
    part = path.with_suffix(".partial")
    with part.open("wb") as out, ProcessPoolExecutor() as pool:
        for copy, of_copy in zip(copies, lengths, strict=True):
            for made in pool.map(partial(_copied, copy), plain, of_copy, chunksize=64):
                out.write(made)
    part.replace(path)


def _copied(copy: Copy, audio: Audio, length: int) -> bytes:
    if copy.speed != 1.0:
        audio = soxr.resample(audio, SAMPLE_RATE_HERTZ * copy.speed, SAMPLE_RATE_HERTZ)
    if copy.formants != 1.0:
        audio = moved_formants(audio, copy.formants)
    padded = np.pad(audio[:length], (0, max(0, length - len(audio))))
    return (np.clip(padded, -1, 1) * 32_767).astype(np.int16).tobytes()
