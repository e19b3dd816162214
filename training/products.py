"""The models that are made here, and where."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from training.paths import MODELS, VAR
from training.plan import Plan
from training.shape import FAST_CNN_SHAPE, Shape


@dataclass(frozen=True)
class Product:
    """A model version to be made.

    Attributes:
        name: As the registry has it.
        version: That this code makes.
        shape: Of its network.
        plan: Of its training.
        begun_with: Version whose weights its training begins with; empty: none.
    """

    name: str
    version: str
    shape: Shape
    plan: Plan
    begun_with: str = ""

    @property
    def space(self) -> str:
        """What its vectors and its memory are comparable within."""
        return f"{self.name}-{self.version.partition('.')[0]}"

    @property
    def package(self) -> Path:
        """The folder that is published."""
        return MODELS / self.name / self.version

    @property
    def run(self) -> Path:
        """Where its training writes."""
        return VAR / "training" / self.name

    @property
    def begin(self) -> Path | None:
        """The checkpoint that its training begins with: of that version's training, kept there."""
        folder = VAR / "training" / f"{self.name}-{self.begun_with}"
        return folder / "last.pt" if self.begun_with else None

    @property
    def figures(self) -> Path:
        """What was measured of it, for its card."""
        return Path(__file__).parent / "measured" / f"{self.name}.json"

    @property
    def card(self) -> Path:
        """The text of its card."""
        return Path(__file__).parent / "cards" / f"{self.name}.md"


DIARIZER = Product(
    "diarizer",
    "5.0.0",
    Shape(),
    Plan(steps=12_000, crop_stage_steps=0, peak_rate=1.5e-3),
    begun_with="4.0.0",
)
FAST_CNN = Product("fast-cnn", "1.0.0", FAST_CNN_SHAPE, Plan(steps=3_600, crop_stage_steps=1_800))
_PRODUCTS = {product.name: product for product in (DIARIZER, FAST_CNN)}


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--product`, by default the one that is served by default."""
    parser.add_argument("--product", choices=_PRODUCTS, default=DIARIZER.name)


def chosen(arguments: argparse.Namespace) -> Product:
    """What `--product` names."""
    return _PRODUCTS[arguments.product]
