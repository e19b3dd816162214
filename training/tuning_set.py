"""Writes labelled conversations of the held-out speakers: `python -m training.tuning_set`.

The clustering and the operating point are tuned on these, never on `../shared/speech/simulated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from training import augment, conversation, paths
from training.corpus import SAMPLE_RATE_HERTZ, Corpus, read_noises, tuning_corpus
from training.turn_taking import lay_out, read_turn_taking

SEED = 6
_MIXES = (
    ("librispeech",),
    ("dspspeech",),
    ("arabic",),
    ("librispeech", "mexican"),
    ("mexican", "librispeech", "arabic", "dspspeech"),
    ("librispeech",),
)
TALKS = 24
_MEETINGS = 12


@dataclass(frozen=True)
class Setting:
    """How one conversation is held and recorded.

    Attributes:
        sets: Where its speakers are drawn from, by turns.
        seconds: Shortest and longest.
        fewest: Speakers.
        overlapping: Whether people speak at once.
        eagerness_seconds: How much sooner others begin, on average.
        spread_decibels: Between the loudest speaker and the faintest.
        noise_decibels: Lowest and highest ratio of speech to noise; None: no noise.
        telephone: Whether it goes over a line.
        level_dbfs: Of its speech.
    """

    sets: tuple[str, ...]
    seconds: tuple[float, float]
    fewest: int
    overlapping: bool
    eagerness_seconds: float
    spread_decibels: float
    noise_decibels: tuple[float, float] | None
    telephone: bool
    level_dbfs: float


def settings() -> list[Setting]:
    """Talks of a few minutes, half of them noisy, then short meetings, all far and faint."""
    talks = [
        Setting(
            sets=_MIXES[number % len(_MIXES)],
            seconds=(120, 180),
            fewest=2,
            overlapping=number % 4 < 2,
            eagerness_seconds=0.0,
            spread_decibels=6.0,
            noise_decibels=(10, 25) if number % 2 else None,
            telephone=number % 6 == 5,
            level_dbfs=-40.0 if number % 4 == 3 else -25.0,
        )
        for number in range(TALKS)
    ]
    meeting = Setting(
        sets=("librispeech", "mexican"),
        seconds=(40, 70),
        fewest=3,
        overlapping=True,
        eagerness_seconds=1.0,
        spread_decibels=14.0,
        noise_decibels=(5, 20),
        telephone=False,
        level_dbfs=-40.0,
    )
    return talks + [meeting] * _MEETINGS


def main() -> None:
    """Writes `var/tuning/tuneNN.flac` and `.rttm`, and a table of what each one is."""
    corpus = tuning_corpus(paths.SPEECH, paths.CACHE)
    clips = read_noises(paths.SPEECH, folds=(4,))
    manners = read_turn_taking(paths.SPEECH / "turn_taking.json")
    paths.TUNING.mkdir(parents=True, exist_ok=True)
    table = ["name,speakers,sets,overlapping,snr_db,telephone,level_dbfs,seconds"]
    for number, setting in enumerate(settings()):
        rng = np.random.default_rng((SEED, number))
        speakers = int(rng.integers(setting.fewest, 6))
        seconds = float(rng.uniform(*setting.seconds))
        manner = manners[number % len(manners)]
        turns = lay_out(
            rng,
            manner,
            speakers,
            seconds,
            15.0,
            setting.overlapping,
            setting.eagerness_seconds,
        )
        samples = int(seconds * SAMPLE_RATE_HERTZ)
        room = augment.make_rooms(rng, 1)[0]
        voices = _choose(rng, corpus, setting.sets, speakers)
        spread = setting.spread_decibels
        made = conversation.render(rng, corpus, voices, turns, samples, room, spread)
        audio, ratio = made.audio, ""
        if setting.noise_decibels:
            decibels = rng.uniform(*setting.noise_decibels)
            ratio = f"{decibels:.1f}"
            noise = augment.background(rng, samples, clips)
            audio = audio + noise * np.float32(made.speech_rms * 10 ** (-decibels / 20))
        if setting.telephone:
            audio = augment.telephone(audio)
        audio = augment.record(rng, audio, made.speech_rms, setting.level_dbfs)
        name = f"tune{number:02d}"
        soundfile.write(paths.TUNING / f"{name}.flac", audio, SAMPLE_RATE_HERTZ, subtype="PCM_16")
        names = [corpus.voices[v].name for v in voices]
        _write_rttm(paths.TUNING / f"{name}.rttm", name, names, made)
        table.append(
            f"{name},{speakers},{' '.join(setting.sets)},{int(setting.overlapping)},{ratio},"
            f"{int(setting.telephone)},{setting.level_dbfs:.0f},{seconds:.1f}"
        )
    (paths.TUNING / "conversations.csv").write_text("\n".join(table) + "\n", encoding="utf-8")


def _choose(
    rng: np.random.Generator, corpus: Corpus, sets: tuple[str, ...], speakers: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    chosen: list[int] = []
    for turn in range(speakers):
        group = sets[turn % len(sets)]
        of_set = [i for i, v in enumerate(corpus.voices) if v.set_name == group]
        chosen.append(int(rng.choice([i for i in of_set if i not in chosen])))
    return np.asarray(chosen, np.int64)


def _write_rttm(
    path: Path, name: str, speakers: list[str], made: conversation.Conversation
) -> None:
    lines = []
    for speaker, row in zip(speakers, made.speech, strict=True):
        for start, end in conversation.regions(row):
            lines.append(
                (
                    start,
                    f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>",
                )
            )
    path.write_text("".join(line + "\n" for _, line in sorted(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
