"""Writes labelled conversations of the held-out speakers: `python -m training.tuning_set`.

The clustering and the operating point are tuned on these, never on `../shared/speech/simulated`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from training import augment, conversation, paths
from training.corpus import SAMPLE_RATE_HERTZ, Corpus, read_noises, tuning_corpus
from training.turn_taking import lay_out, read_turn_taking

CONVERSATIONS = 24
SEED = 6
_MIXES = (
    ("librispeech",),
    ("dspspeech",),
    ("arabic",),
    ("librispeech", "mexican"),
    ("mexican", "librispeech", "arabic", "dspspeech"),
    ("librispeech",),
)


def main() -> None:
    """Writes `var/tuning/tuneNN.flac` and `.rttm`, and a table of what each one is."""
    corpus = tuning_corpus(paths.SPEECH, paths.CACHE)
    clips = read_noises(paths.SPEECH, folds=(4,))
    manners = read_turn_taking(paths.SPEECH / "turn_taking.json")
    paths.TUNING.mkdir(parents=True, exist_ok=True)
    table = ["name,speakers,sets,overlapping,snr_db,telephone,level_dbfs,seconds"]
    for number in range(CONVERSATIONS):
        rng = np.random.default_rng((SEED, number))
        sets = _MIXES[number % len(_MIXES)]
        speakers = int(rng.integers(2, 6))
        seconds = float(rng.uniform(120, 180))
        turns = lay_out(rng, manners[number % 2], speakers, seconds, 15.0, number % 4 < 2)
        samples = int(seconds * SAMPLE_RATE_HERTZ)
        room = augment.make_rooms(rng, 1)[0]
        voices = _choose(rng, corpus, sets, speakers)
        made = conversation.render(rng, corpus, voices, turns, samples, room, 6.0)
        audio, ratio = made.audio, ""
        if number % 2:
            decibels = rng.uniform(10, 25)
            ratio = f"{decibels:.1f}"
            noise = augment.background(rng, samples, clips)
            audio = audio + noise * np.float32(made.speech_rms * 10 ** (-decibels / 20))
        line = number % 6 == 5
        if line:
            audio = augment.telephone(audio)
        level = -40.0 if number % 4 == 3 else -25.0
        audio = augment.record(rng, audio, made.speech_rms, level)
        name = f"tune{number:02d}"
        soundfile.write(paths.TUNING / f"{name}.flac", audio, SAMPLE_RATE_HERTZ, subtype="PCM_16")
        names = [corpus.voices[v].name for v in voices]
        _write_rttm(paths.TUNING / f"{name}.rttm", name, names, made)
        table.append(
            f"{name},{speakers},{' '.join(sets)},{int(number % 4 < 2)},{ratio},{int(line)},"
            f"{level:.0f},{seconds:.1f}"
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
