"""What the benchmarks' command lines take."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A whole number of something, at least one; for `type=` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: at least 1")
    return number
