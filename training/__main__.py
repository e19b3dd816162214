"""Makes the default model from nothing: `python -m training [--resume]`.

Trains, exports, measures and packages.
"""

from __future__ import annotations

import argparse

from training import export, figures, package, paths, train


def main() -> None:
    """Does all of it in order; `--resume` continues a training that was stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume", action="store_true", help="continue from var/training/last.pt")
    arguments = parser.parse_args()
    train.run(train.Plan(), paths.RUN, resume=arguments.resume)
    export.write(paths.RUN / "last.pt", paths.PACKAGE / "model.onnx")
    figures.FIGURES.unlink(missing_ok=True)  # they are of other weights
    package.rebuild()  # the figures need a manifest beside the graph, the card needs the figures
    figures.main()
    package.rebuild()


if __name__ == "__main__":
    main()
