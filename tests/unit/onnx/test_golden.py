"""A package whose graph does not do here what it says it does is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes.models import write_stream_package, write_window_package
from voiceflow.errors import PackageInvalid
from voiceflow.onnx.golden import reproduce
from voiceflow.package import GOLDEN_FILE, ModelPackage, load_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A sound one."""
    return load_package(write_stream_package(tmp_path_factory.mktemp("stream")))


def with_golden(package: ModelPackage, **changes: Any) -> ModelPackage:
    """The same with other golden arrays; None takes one away."""
    with np.load(io.BytesIO(package.files[GOLDEN_FILE])) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    arrays |= changes
    content = io.BytesIO()
    np.savez(content, **{name: array for name, array in arrays.items() if array is not None})
    return replace(package, files=package.files | {GOLDEN_FILE: content.getvalue()})


def test_sound_packages_are_accepted(package: ModelPackage, tmp_path: Path) -> None:
    """Both contracts, and the model that is committed."""
    reproduce(package)
    reproduce(load_package(write_window_package(tmp_path)))
    reproduce(load_package(DEFAULT_MODEL))


def test_what_is_just_within_the_tolerance_is_accepted(package: ModelPackage) -> None:
    """Other machines round otherwise."""
    with np.load(io.BytesIO(package.files[GOLDEN_FILE])) as stored:
        speech = stored["noise/speech"]
    near = {"noise/speech": speech + np.float32(0.9e-4)}
    reproduce(with_golden(package, **near))
    far = {"noise/speech": speech + np.float32(1.5e-4)}
    with pytest.raises(PackageInvalid, match="speech") as caught:
        reproduce(with_golden(package, **far))
    assert caught.value.reason == "GOLDEN_MISMATCH"


def test_numbers_that_are_not_finite_match_nothing(package: ModelPackage) -> None:
    """NaN in, NaN out is no agreement."""
    with np.load(io.BytesIO(package.files[GOLDEN_FILE])) as stored:
        audio = np.full_like(stored["noise/audio"], np.nan)
    with pytest.raises(PackageInvalid) as caught:
        reproduce(with_golden(package, **{"noise/audio": audio}))
    assert caught.value.reason == "GOLDEN_MISMATCH"


@pytest.mark.parametrize(
    "changes",
    [
        {"tolerance": None},
        {"tolerance": np.float32("nan")},
        {"noise/speech": None},
        {"noise/state.power": None},
        {"noise/speech": np.zeros((2, 3), np.float32)},
    ],
)
def test_incomplete_golden_files_are_refused(
    package: ModelPackage, changes: dict[str, Any]
) -> None:
    """Without all inputs, all outputs and a tolerance there is nothing to compare."""
    with pytest.raises(PackageInvalid) as caught:
        reproduce(with_golden(package, **changes))
    assert caught.value.reason == "GOLDEN_INVALID"


def one_array() -> bytes:
    """A file of one array, without names."""
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x05\x06" + bytes(18), b"PK\x03\x04 torn", b"no archive", one_array()]
)
def test_files_that_are_no_arrays_are_refused(package: ModelPackage, content: bytes) -> None:
    """Empty, an archive of nothing, garbage."""
    broken = replace(package, files=package.files | {GOLDEN_FILE: content})
    with pytest.raises(PackageInvalid) as caught:
        reproduce(broken)
    assert caught.value.reason == "GOLDEN_INVALID"
