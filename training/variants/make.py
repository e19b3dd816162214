"""One variant of a model as a package."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import onnx

from training.variants.card import card
from training.variants.eight_bits import to_eight_bits
from training.variants.half import to_half
from voiceflow.artifact import Manifest, Measurement
from voiceflow.contract import STREAM_CONTRACT
from voiceflow.errors import PackageInvalid
from voiceflow.package import MANIFEST_FILE, MODEL_FILE, read_manifest
from voiceflow.packing import pack, read_draft
from voiceflow.pipeline.model import FloatArray

GOLDEN_TOLERANCE: Final = 0.01
"""What gates allow at most. A machine that sums in another order rounds some numbers to their
neighbours, which are farther apart than in float32."""


class Variant(StrEnum):
    """In what numbers a model computes; the end of its name."""

    FP16 = "fp16"
    INT8 = "int8"


class Claim(StrEnum):
    """What of the original means the same in a variant."""

    STATE = "state"
    """A stream's memory and speaker vectors: streams move with their memory."""
    VECTORS = "vectors"
    """Speaker vectors: streams move by hearing their last audio again."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Told:
    """What was found out about a variant, for its manifest and card.

    Attributes:
        claim: What was seen to mean the same.
        measured: Its error rates.
        figures: Markdown: the variant beside its original.
    """

    claim: Claim
    measured: tuple[Measurement, ...] = ()
    figures: str = "Not yet measured."


def convert(
    variant: Variant, model: onnx.ModelProto, heard: Sequence[FloatArray]
) -> onnx.ModelProto:
    """The graph of a variant.

    Args:
        variant: Which.
        model: The original's graph.
        heard: Speech, see `to_eight_bits`; not needed for half precision.

    Raises:
        ValueError: It cannot be made of this graph.
    """
    return to_half(model) if variant is Variant.FP16 else to_eight_bits(model, heard)


def make(variant: Variant, base: Path, graph: onnx.ModelProto, folder: Path, told: Told) -> Path:
    """Makes a package.

    Args:
        variant: Which.
        base: Package of the original, a stateful model.
        graph: Of the variant.
        folder: Where to; what is there of the same version is replaced.
        told: What was found out about it.

    Returns:
        The folder.

    Raises:
        PackageInvalid: CONTRACT_MISMATCH: the original is not stateful; or the graph cannot be run.
    """
    original = Manifest.from_json(read_manifest(base))
    if original.contract != STREAM_CONTRACT:
        raise PackageInvalid(
            f"{original.resource_name} has the contract {original.contract}; variants are made of"
            f" {STREAM_CONTRACT}",
            reason="CONTRACT_MISMATCH",
            field="contract",
        )
    stated: dict[str, Any] = read_draft(base / MANIFEST_FILE)
    del stated["files"]  # of the original
    stated["model"] = f"{original.model}-{variant}"
    stated["measured"] = [one.model_dump() for one in told.measured]
    if told.claim is not Claim.STATE:
        stated["state_space"] = f"{original.state_space}-{variant}"
    if told.claim is Claim.NOTHING:
        stated["embedding_space"] = f"{original.embedding_space}-{variant}"
    with tempfile.TemporaryDirectory() as made:
        model, text = Path(made) / MODEL_FILE, Path(made) / "card.md"
        model.write_bytes(graph.SerializeToString(deterministic=True))
        text.write_text(card(variant, original, told.claim, told.figures), "utf-8")
        return pack(model, stated, folder=folder, card=text, tolerance=GOLDEN_TOLERANCE).folder
