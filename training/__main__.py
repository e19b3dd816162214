"""Makes a model from nothing: `python -m training [--product fast-cnn] [--resume]`.

Trains, exports, measures and packages.
"""

from __future__ import annotations

import argparse

from training import export, figures, package, train
from training.products import add_argument, chosen


def main() -> None:
    """Does all of it in order; `--resume` continues a training that was stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_argument(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    arguments = parser.parse_args()
    product = chosen(arguments)
    train.run(
        product.plan, product.shape, product.run, resume=arguments.resume, begin=product.begin
    )
    export.write(product.run / "last.pt", product.package / "model.onnx")
    product.figures.unlink(missing_ok=True)  # they are of other weights
    package.rebuild(product)  # the figures need a manifest beside the graph, the card needs them
    figures.write(product)
    package.rebuild(product)


if __name__ == "__main__":
    main()
