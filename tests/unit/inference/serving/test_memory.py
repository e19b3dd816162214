"""A process that loads one model after the other does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
MIB = 2**20


def measured(what: str) -> list[int]:
    """What a process of its own says of its memory, in bytes."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.unit.inference.serving.memory_process", what],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    return [int(word) for word in process.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_what_a_thread_has_used_is_not_kept() -> None:
    """Though what was freed before was large, which makes the C library keep as much."""
    before, after = measured("keep")
    assert after < before + 20 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_models_that_are_gone_leave_nothing() -> None:
    """After ten loads there is as much as after two, and little more than before the first."""
    before, _, second, *_, last = measured("load")
    assert last < second + 16 * MIB
    assert last < before + 40 * MIB
