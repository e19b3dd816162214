"""Rebuilds the default model's package around its graph: `python -m training.package`.

Writes golden vectors, card and manifest, with the digests that follow. The operating point and the
measured error rates are those of the manifest that is there, unless a file of other ones is given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from training import paths
from training.card import card
from training.corpus import SAMPLE_RATE_HERTZ
from training.figures import FIGURES
from training.golden import golden_vectors
from training.shape import FRAME_SAMPLES, LOOK_AHEAD_FRAMES, TRACKS, Shape
from voiceflow.artifact import LatencyMode, Manifest, digest_of

MANIFEST = paths.PACKAGE / "manifest.json"
TEACHERS = "CAM++ (3D-Speaker) and the encoder of Resemblyzer, for the voice vectors"
FIRST_OPERATING_POINT = {
    "speech_threshold": 0.5,
    "activity_threshold": 0.5,
    "overlap_threshold": 0.5,
    "new_speaker_threshold": 0.4,
    "same_speaker_threshold": 0.65,
    "minimum_turn_seconds": 0.2,
    "minimum_pause_seconds": 0.3,
    "smoothing_seconds": 0.16,
}


def main() -> None:
    """Rebuilds everything but the graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operating-point", type=Path, help="JSON object of thresholds")
    parser.add_argument("--measured", type=Path, help="JSON list of measured error rates")
    arguments = parser.parse_args()
    rebuild(_given(arguments.operating_point), _given(arguments.measured))


def rebuild(
    operating_point: dict[str, Any] | None = None, measured: list[Any] | None = None
) -> None:
    """Writes `golden.npz`, `README.md` and `manifest.json` anew."""
    before = json.loads(MANIFEST.read_text(encoding="utf-8")) if MANIFEST.exists() else {}
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    model = (paths.PACKAGE / "model.onnx").read_bytes()
    shape = Shape()
    hops = {LatencyMode.DENSITY: 12 * FRAME_SAMPLES, LatencyMode.AGENT: 2 * FRAME_SAMPLES}
    stated: dict[str, Any] = {
        "schema_version": 1,
        "model": "diarizer",
        "version": paths.PACKAGE.name,
        "contract": "diarization-stream/1.0",
        "sample_rate_hertz": SAMPLE_RATE_HERTZ,
        "frame_samples": FRAME_SAMPLES,
        "window_samples": None,
        "hop_samples": hops,
        "tracks": TRACKS,
        "embedding_dim": shape.embedding_dim,
        "look_ahead_frames": LOOK_AHEAD_FRAMES,
        "context_seconds": 11.0,
        "embedding_space": "diarizer-2",
        "state_space": "diarizer-2",
        "operating_point": operating_point or before.get("operating_point", FIRST_OPERATING_POINT),
        "measured": before.get("measured", []) if measured is None else measured,
        "training_data": ["librispeech", "mexican", "arabic", "dspspeech"],
        "teacher": TEACHERS,
        "licence": "CC-BY-4.0",
        "source_commit": figures.get("run", {}).get("source_commit") or paths.head_commit(),
        "files": {},
    }
    golden = golden_vectors(model)
    text = card(Manifest.model_validate(stated), figures).encode()
    files = {"model.onnx": model, "golden.npz": golden, "README.md": text}
    stated["files"] = {name: digest_of(content) for name, content in files.items()}
    stated["sizes"] = {name: len(content) for name, content in files.items()}
    (paths.PACKAGE / "golden.npz").write_bytes(golden)
    (paths.PACKAGE / "README.md").write_bytes(text)
    MANIFEST.write_text(Manifest.model_validate(stated).to_json(), encoding="utf-8")


def _given(path: Path | None) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path else None


if __name__ == "__main__":
    main()
