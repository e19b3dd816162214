"""The report on large models."""

from __future__ import annotations

import pytest

from benchmarks.large_models import Large, Times, page, report, times
from benchmarks.shapes import SHAPES, write_package
from voiceflow.package import ModelPackage, load_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Any."""
    folder = tmp_path_factory.mktemp("large") / "fast-cnn"
    write_package(SHAPES["fast-cnn"], folder)
    return load_package(folder)


def test_times_say_how_steady_calls_are() -> None:
    """P99 is told over the median, and processor time for one call."""
    told = times([0.1] * 98 + [0.2] * 2, cpu_seconds=20.0)
    assert (told.median, told.p99, told.p99_to_median) == (100.0, 200.0, 2.0)
    assert told.cpu_per_call == 200.0


def test_the_page_tells_of_each_shape_alone_and_served(package: ModelPackage) -> None:
    """Two rows of times for each, and its weights beside those published."""
    alone, served = Times(300.0, 310.0, 330.0, 1.1, 299.0), Times(305.0, 320.0, 549.0, 1.8, 303.0)
    large = Large("wav2vec2-base", "d", 94, 95, "somebody", 376, alone, served, 900.0, 1.0)
    text = page(package, 200, "the sample", [large])
    rows = [line for line in text.splitlines() if line.startswith("| wav2vec2-base")]
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["wav2vec2-base, alone", "300.0", "310.0", "330.0", "1.10", "299.0"],
        ["wav2vec2-base, through the service", "305.0", "320.0", "549.0", "1.80", "303.0"],
        ["wav2vec2-base", "94", "95", "somebody", "376", "900", "1.0"],
    ]
    told = report(package, 200, "the sample", [large])
    assert told["shapes"]["wav2vec2-base"]["served"]["p99_to_median"] == 1.8
