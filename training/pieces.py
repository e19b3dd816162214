"""Two-second pieces of every voice, cut once: what crops are, and what teachers have heard.

A crop is a piece as it was recorded somewhere else; its teachers' answer is of the piece itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.corpus import Audio, Clip, Corpus, Mask
from training.shape import FRAME_SAMPLES

FRAMES = 50
SAMPLES = FRAMES * FRAME_SAMPLES
SEED = 3
_FEWEST, _MOST = 6, 24  # of a voice; between them, as many as its speech fills one and a half times
_FULL_SCALE = 8_000  # of an RMS of one: leaves room for peaks


@dataclass(frozen=True)
class Pieces:
    """The pieces of a corpus, in the order of its voices.

    Attributes:
        audio: (pieces, SAMPLES) int16; speech has an RMS of about `_FULL_SCALE`.
        speech: (pieces, SAMPLES / 160), where speech is, in steps of 10 ms.
        voices: (pieces,) index of the voice in the corpus.
        folder: Where they lie, and what is made of them.
    """

    audio: npt.NDArray[np.int16]
    speech: Mask
    voices: npt.NDArray[np.int64]
    folder: Path

    def heard(self, pieces: npt.NDArray[np.int64]) -> Audio:
        """These pieces as audio whose speech has an RMS of one."""
        return self.audio[pieces].astype(np.float32) / np.float32(_FULL_SCALE)

    def of_voice(self, rng: np.random.Generator, voice: int) -> int:
        """One piece of a voice, drawn at random."""
        first, last = np.searchsorted(self.voices, (voice, voice + 1))
        return int(rng.integers(first, last))


def cut(corpus: Corpus, cache: Path) -> Pieces:
    """The pieces of a corpus; cut at the first call, from then on read from the cache."""
    voices = np.repeat(np.arange(len(corpus.voices)), [_count(v.clips) for v in corpus.voices])
    folder = cache / corpus.digest
    audio_path, speech_path = folder / "pieces.npy", folder / "pieces-speech.npy"
    if not speech_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        audio = np.lib.format.open_memmap(
            audio_path, "w+", dtype=np.int16, shape=(len(voices), SAMPLES)
        )
        speech = np.zeros((len(voices), SAMPLES // 160), np.bool_)
        for piece, voice in enumerate(voices):
            rng = np.random.default_rng((SEED, piece))
            said, spoken = corpus.material(rng, int(voice), SAMPLES)
            audio[piece] = np.clip(said * _FULL_SCALE, -32_768, 32_767)
            speech[piece] = spoken.reshape(-1, 160).mean(axis=1) > 0.5
        audio.flush()
        np.save(speech_path, speech)
    return Pieces(np.load(audio_path, mmap_mode="r"), np.load(speech_path), voices, folder)


def _count(clips: tuple[Clip, ...]) -> int:
    spoken = sum(end - start for clip in clips for start, end in clip.speech)
    return int(np.clip(1.5 * spoken / SAMPLES, _FEWEST, _MOST))
