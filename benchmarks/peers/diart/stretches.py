"""Writes the stretches of speech that verification compares, for other encoders.

    python -m benchmarks.peers.diart.stretches OUT.npz [--speakers eval|tuning]

`verify.py` reads what it writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from training import paths
from training.corpus import Corpus, evaluation_corpus, tuning_corpus
from training.verification import stretches


def write_stretches(corpus: Corpus, out: Path) -> None:
    """Writes `set`, `voice` and `audio` (stretches, samples)."""
    sets, voices, audio = zip(*stretches(corpus), strict=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, set=np.asarray(sets), voice=np.asarray(voices), audio=np.stack(audio))


def main() -> None:
    """Writes those of the speakers that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--speakers", choices=("tuning", "eval"), default="eval")
    arguments = parser.parse_args()
    load = tuning_corpus if arguments.speakers == "tuning" else evaluation_corpus
    write_stretches(load(paths.SPEECH, paths.CACHE), arguments.out)


if __name__ == "__main__":
    main()
