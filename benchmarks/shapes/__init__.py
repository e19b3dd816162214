"""Models of known shapes with random weights, as packages: for speed, never for accuracy."""

from benchmarks.shapes.build import SHAPES, Built, Shape, build, write_package

__all__ = ["SHAPES", "Built", "Shape", "build", "write_package"]
