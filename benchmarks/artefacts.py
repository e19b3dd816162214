"""Versions of a model that stand to it as later versions may: for rehearsals and soaks of reload.

    python -m benchmarks.artefacts --out FOLDER [--model PACKAGE]

Of one package it makes four, each what its manifest says:

- `original`: the model as it is;
- `same-state`: another file that computes the same, so that a stream's memory can be carried over;
- `same-voices`: other weights, whose vectors mean the same: a stream's last audio is replayed;
- `new-voices`: vectors that are turned, so that they mean other things: a stream has to resume.

None of them hears better or worse than the model itself by more than chance.
"""

from __future__ import annotations

import argparse
import os
import shutil
from enum import StrEnum
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.paths import DEFAULT_MODEL
from voiceflow.artifact import Manifest
from voiceflow.package import CARD_FILE, MANIFEST_FILE, MODEL_FILE, read_manifest
from voiceflow.packing import pack, read_draft

_NOISE: Final = 0.05
"""Of a weight's own spread."""

_SEED: Final = 5


class Artefact(StrEnum):
    """What a version is to the model that it was made of."""

    ORIGINAL = "original"
    SAME_STATE = "same-state"
    SAME_VOICES = "same-voices"
    NEW_VOICES = "new-voices"


def make(artefact: Artefact, version: str, folder: Path, base: Path = DEFAULT_MODEL) -> Path:
    """Makes a package.

    Args:
        artefact: What it is to the base.
        version: Its version.
        folder: To be made; its parent is there.
        base: Package of a stateful model.

    Returns:
        The folder.
    """
    if artefact is Artefact.ORIGINAL:
        return as_version(base, version, folder)
    stated: dict[str, Any] = read_draft(base / MANIFEST_FILE) | {"version": version}
    space = f"{stated['embedding_space']}-{artefact}"
    graph = onnx.load(base / MODEL_FILE)
    match artefact:
        case Artefact.SAME_STATE:
            graph.doc_string = f"{graph.doc_string} packed anew".strip()
        case Artefact.SAME_VOICES:
            _add_noise(graph)
            stated["state_space"] = space
        case Artefact.NEW_VOICES:
            _turn_vectors(graph)
            stated["state_space"] = stated["embedding_space"] = space
    model = folder.with_suffix(".onnx")
    onnx.save(graph, model)
    try:
        return pack(model, stated, folder=folder, card=base / CARD_FILE).folder
    finally:
        model.unlink()


def as_version(package: Path, version: str, folder: Path) -> Path:
    """The same package under another version; its files are links to those that there are.

    Args:
        package: Folder of a package on the same file system, or on another one: then it is copied.
        version: The new one.
        folder: To be made; its parent is there.

    Returns:
        The folder.
    """
    manifest = Manifest.from_json(read_manifest(package))
    renamed = Manifest.model_validate(manifest.model_dump() | {"version": version})
    folder.mkdir()
    for name in manifest.files:
        _link(package / name, folder / name)
    (folder / MANIFEST_FILE).write_text(renamed.to_json(), "utf-8")
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def _add_noise(graph: onnx.ModelProto) -> None:
    """Changes every learned matrix by a little of its own spread.

    A matrix with zeros was made, not learned: a filter bank may not become negative.
    """
    rng = np.random.default_rng(_SEED)
    for constant in graph.graph.initializer:
        value = numpy_helper.to_array(constant)
        if value.dtype == np.float32 and value.ndim > 1 and value.all():
            noise = rng.normal(0.0, _NOISE * float(value.std()), value.shape)
            changed = (value + noise).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(changed, constant.name))


def _turn_vectors(graph: onnx.ModelProto) -> None:
    """Multiplies every speaker vector by one orthogonal matrix: distances stay, meanings do not."""
    (output,) = (one for one in graph.graph.output if one.name == "embedding")
    dim = output.type.tensor_type.shape.dim[-1].dim_value
    turn, _ = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(dim, dim)))
    graph.graph.initializer.append(numpy_helper.from_array(turn.astype(np.float32), "turn"))
    for node in graph.graph.node:
        for position, name in enumerate(node.output):
            if name == "embedding":
                node.output[position] = "unturned"
    graph.graph.node.append(helper.make_node("MatMul", ["unturned", "turn"], ["embedding"]))


class Shelf:
    """A folder of versions that a server looks at.

    Args:
        folder: Of it, and of the artefacts beside it.
        base: Package of the model.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder / "served"
        self.folder.mkdir()
        self._making = folder / "making"
        self._making.mkdir()
        self._artefacts = {one: make(one, "1.0.0", folder / one, base) for one in Artefact}
        self._order = cycle(Artefact)
        self._shown: list[Path] = []
        self.of_version: dict[str, Artefact] = {}

    def add(self) -> str:
        """Drops the next version in, and takes away what is long replaced; gives its name."""
        number = len(self.of_version) + 1
        artefact = next(self._order)
        version = f"1.0.{number}"
        made = as_version(self._artefacts[artefact], version, self._making / version)
        self._shown.append(made.rename(self.folder / version))
        for old in self._shown[:-3]:
            shutil.rmtree(old)
        self._shown = self._shown[-3:]
        name = f"models/diarizer/versions/{version}"
        self.of_version[name] = artefact
        return name

    def package(self, artefact: Artefact) -> Path:
        """Of an artefact."""
        return self._artefacts[artefact]


def main() -> None:
    """Makes all of them; versions count from 1.0.1 on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to put the packages into")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="package to start from")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, artefact in enumerate(Artefact, start=1):
        folder = arguments.out / f"{artefact}"
        print(make(artefact, f"1.0.{number}", folder, arguments.model))


if __name__ == "__main__":
    main()
