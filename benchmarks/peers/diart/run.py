"""Lets the peer hear a folder of recordings, in its own environment.

    python -m benchmarks.peers.diart.run AUDIO_FOLDER OUT_FOLDER [--delta-new 0.28 ...]
        [--also-delta-new 0.16 0.32 ...]

Of each recording it writes `<name>.rttm`, what stands in the end; `<name>.tellings.jsonl`, what it
said after each half second; and `<name>.speech.jsonl`, Silero's speech probabilities as they come.
Settings are those of `tuned.json`, where no option says otherwise. `--also-delta-new` writes what
would stand in the end with other values of that one: `delta-new-<value>/<name>.rttm`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch

from benchmarks.peers.diart.clustering import cluster
from benchmarks.peers.diart.settings import (
    SAMPLE_RATE_HERTZ,
    Settings,
    delta_name,
    read_tuned,
)
from benchmarks.peers.diart.speech import (
    FRAME_SAMPLES,
    FloatArray,
    levelled,
    read_audio,
    recordings,
    speech_probabilities,
    stretches,
)
from benchmarks.peers.diart.telling import Telling, final_turns, json_lines, rttm, tellings
from benchmarks.peers.diart.voices import embed_windows


def hear(path: Path, out: Path, settings: Settings, also_deltas_new: Sequence[float] = ()) -> int:
    """Writes what the peer says of one recording.

    Args:
        path: The recording.
        out: Folder to write to.
        settings: Of the peer.
        also_deltas_new: With which the end is written as well.

    Returns:
        How many speakers it found.
    """
    audio = levelled(read_audio(path), settings.level_dbfs)
    probabilities = speech_probabilities(audio)
    vectors = embed_windows(audio, probabilities, settings)
    spoken = stretches(probabilities, len(audio), settings)

    def said(settings: Settings) -> list[Telling]:
        labels = cluster(probabilities, vectors, len(audio), settings)
        return tellings(labels, spoken, len(audio), settings)

    for delta_new in also_deltas_new:
        turns = final_turns(said(replace(settings, delta_new=delta_new)))
        folder = out / delta_name(delta_new)
        folder.mkdir(exist_ok=True)
        (folder / f"{path.stem}.rttm").write_text(rttm(path.stem, turns), "utf-8")
    told = said(settings)
    turns = final_turns(told)
    (out / f"{path.stem}.rttm").write_text(rttm(path.stem, turns), "utf-8")
    (out / f"{path.stem}.tellings.jsonl").write_text(json_lines(told), "utf-8")
    (out / f"{path.stem}.speech.jsonl").write_text(_speech(probabilities), "utf-8")
    return len({turn.speaker for turn in turns})


def main() -> None:
    """Hears every recording of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("audio", type=Path, help="folder of recordings")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--also-delta-new", type=float, nargs="+", default=())
    for one in fields(Settings):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=_number, default="tuned")
    arguments = vars(parser.parse_args())
    torch.set_num_threads(1)
    audio, out, also = (arguments.pop(name) for name in ("audio", "out", "also_delta_new"))
    given = {name: value for name, value in arguments.items() if value != "tuned"}
    settings = replace(read_tuned(), **given)
    out.mkdir(parents=True, exist_ok=True)
    print(settings)
    for path in recordings(audio):
        print(f"{path.stem}: {hear(path, out, settings, also)} speakers", flush=True)


def _number(text: str) -> float | str | None:
    """A number, or `none`, or the word for what was tuned."""
    if text in {"none", "tuned"}:
        return None if text == "none" else text
    return float(text)


def _speech(probabilities: FloatArray) -> str:
    """A line for each frame: it is told when its last sample has been heard."""
    frame = FRAME_SAMPLES / SAMPLE_RATE_HERTZ
    return "".join(
        json.dumps(
            {
                "covered_seconds": (number + 1) * frame,
                "start_seconds": number * frame,
                "frame_seconds": frame,
                "speech": [round(float(value), 4)],
            }
        )
        + "\n"
        for number, value in enumerate(probabilities)
    )


if __name__ == "__main__":
    main()
