"""The versions that rehearsals and soaks of reload use are what their manifests say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.artefacts import Artefact, as_version, make
from voiceflow.onnx import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.serving.moves import Verifier
from voiceflow_inference.serving.placing import How


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Artefact, Path]:
    """All of them."""
    where = tmp_path_factory.mktemp("artefacts")
    return {
        one: make(one, f"1.0.{number}", where / one) for number, one in enumerate(Artefact, start=1)
    }


@pytest.fixture(scope="module")
def models(folders: Mapping[Artefact, Path]) -> Mapping[Artefact, BoundModel]:
    """Loaded, each with its golden vectors reproduced."""
    for folder in folders.values():
        reproduce(load_package(folder), threads=1)
    return {one: bind(load_package(folder)) for one, folder in folders.items()}


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    """As servers have it."""
    return Verifier()


@pytest.mark.parametrize(
    ("old", "new", "how"),
    [
        (Artefact.ORIGINAL, Artefact.SAME_STATE, How.CARRIED),
        (Artefact.SAME_STATE, Artefact.ORIGINAL, How.CARRIED),
        (Artefact.SAME_STATE, Artefact.SAME_VOICES, How.REPLAYED),
        (Artefact.SAME_VOICES, Artefact.ORIGINAL, How.REPLAYED),
        (Artefact.SAME_VOICES, Artefact.NEW_VOICES, How.TOLD),
        (Artefact.NEW_VOICES, Artefact.ORIGINAL, How.TOLD),
    ],
)
def test_a_server_finds_what_the_manifests_say(
    models: Mapping[Artefact, BoundModel],
    verifier: Verifier,
    old: Artefact,
    new: Artefact,
    how: How,
) -> None:
    """Each way of moving a stream has a pair of versions that needs it."""
    assert verifier.verify(models[old], models[new]) is how


def test_files_differ_where_the_model_does(folders: Mapping[Artefact, Path]) -> None:
    """No two versions have the same file."""
    contents = {(folder / "model.onnx").read_bytes() for folder in folders.values()}
    assert len(contents) == len(Artefact)


def test_a_package_is_had_under_another_version(
    folders: Mapping[Artefact, Path], tmp_path: Path
) -> None:
    """With the same files, and whole."""
    package = load_package(as_version(folders[Artefact.SAME_VOICES], "7.0.0", tmp_path / "seven"))
    before = load_package(folders[Artefact.SAME_VOICES])
    assert str(package.manifest.version) == "7.0.0"
    assert package.manifest.files == before.manifest.files
