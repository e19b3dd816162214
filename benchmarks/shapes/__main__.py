"""Writes a model package of a known shape with random weights, and says how large it is.

python -m benchmarks.shapes fast-cnn|distilhubert|wav2vec2-base --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shapes.build import SHAPES, WINDOW_SECONDS, write_package
from voiceflow.errors import PackageInvalid


def main() -> None:
    """Writes the package; prints its counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--out", type=Path, required=True, help="folder of the package")
    parser.add_argument(
        "--hop-seconds",
        type=float,
        default=WINDOW_SECONDS,
        help="audio between two windows [a window]",
    )
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    try:
        built, packed = write_package(shape, arguments.out, hop_seconds=arguments.hop_seconds)
    except PackageInvalid as error:
        parser.error(error.message)
    print(f"{packed.manifest.resource_name} in {packed.folder}")
    print(f"{built.trunk_parameters:>11,} weights")
    print(f"{shape.published_parameters:>11,} published: {shape.source}")
    print(f"{built.parameters:>11,} with the heads of the contract")
    print(f"{packed.manifest.sizes['model.onnx']:>11,} bytes of model.onnx")


if __name__ == "__main__":
    main()
