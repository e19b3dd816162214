"""Rebuilds a package around its graph: `python -m training.package [--product fast-cnn]`.

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
from training.golden import golden_vectors
from training.products import Product, add_argument, chosen
from training.shape import FRAME_SAMPLES, LOCAL_SPEAKERS, LOOK_AHEAD_FRAMES, TRACKS
from voiceflow.artifact import LatencyMode, Manifest, digest_of
from voiceflow.contract import STREAM_CONTRACT, WINDOW_CONTRACT
from voiceflow.package import MANIFEST_FILE

TEACHERS = "CAM++ (3D-Speaker) and the encoder of Resemblyzer, for the voice vectors"
FIRST_OPERATING_POINT = {
    "speech_threshold": 0.5,
    "activity_threshold": 0.5,
    "overlap_threshold": 0.5,
    "new_speaker_threshold": 0.45,
    "same_speaker_threshold": 0.6,
    "minimum_turn_seconds": 0.12,
    "minimum_pause_seconds": 0.3,
    "smoothing_seconds": 0.16,
}


def main() -> None:
    """Rebuilds everything but the graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_argument(parser)
    parser.add_argument("--operating-point", type=Path, help="JSON object of thresholds")
    parser.add_argument("--measured", type=Path, help="JSON list of measured error rates")
    arguments = parser.parse_args()
    rebuild(chosen(arguments), _given(arguments.operating_point), _given(arguments.measured))


def rebuild(
    product: Product,
    operating_point: dict[str, Any] | None = None,
    measured: list[Any] | None = None,
) -> None:
    """Writes `golden.npz`, `README.md` and `manifest.json` anew."""
    manifest, shape = product.package / MANIFEST_FILE, product.shape
    before = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    figures = (
        json.loads(product.figures.read_text(encoding="utf-8")) if product.figures.exists() else {}
    )
    model = (product.package / "model.onnx").read_bytes()
    stated: dict[str, Any] = {
        "schema_version": 1,
        "model": product.name,
        "version": product.version,
        "sample_rate_hertz": SAMPLE_RATE_HERTZ,
        "frame_samples": FRAME_SAMPLES,
        "embedding_dim": shape.embedding_dim,
        "embedding_space": product.space,
        "operating_point": operating_point or before.get("operating_point", FIRST_OPERATING_POINT),
        "measured": before.get("measured", []) if measured is None else measured,
        "training_data": ["librispeech", "mexican", "arabic", "dspspeech"],
        "teacher": TEACHERS,
        "licence": "CC-BY-4.0",
        "source_commit": figures.get("run", {}).get("source_commit") or paths.head_commit(),
        "files": {},
        **(_of_a_window(shape.window_frames) if shape.window_frames else _of_a_stream(product)),
    }
    golden = golden_vectors(model, shape)
    text = card(product, Manifest.model_validate(stated), figures).encode()
    files = {"model.onnx": model, "golden.npz": golden, "README.md": text}
    stated["files"] = {name: digest_of(content) for name, content in files.items()}
    stated["sizes"] = {name: len(content) for name, content in files.items()}
    (product.package / "golden.npz").write_bytes(golden)
    (product.package / "README.md").write_bytes(text)
    manifest.write_text(Manifest.model_validate(stated).to_json(), encoding="utf-8")


def _of_a_stream(product: Product) -> dict[str, Any]:
    return {
        "contract": STREAM_CONTRACT,
        "window_samples": None,
        "hop_samples": {
            LatencyMode.DENSITY: 12 * FRAME_SAMPLES,
            LatencyMode.AGENT: 2 * FRAME_SAMPLES,
        },
        "tracks": TRACKS,
        "look_ahead_frames": LOOK_AHEAD_FRAMES,
        "context_seconds": 11.0,
        "state_space": product.space,
    }


def _of_a_window(frames: int) -> dict[str, Any]:
    return {
        "contract": WINDOW_CONTRACT,
        "window_samples": frames * FRAME_SAMPLES,
        "hop_samples": {LatencyMode.DENSITY: 12 * FRAME_SAMPLES},
        "tracks": LOCAL_SPEAKERS,
        "look_ahead_frames": LOOK_AHEAD_FRAMES,
        "context_seconds": frames * FRAME_SAMPLES / SAMPLE_RATE_HERTZ,
        "state_space": None,
    }


def _given(path: Path | None) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path else None


if __name__ == "__main__":
    main()
