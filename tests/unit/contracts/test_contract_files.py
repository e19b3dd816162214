"""The contracts that ship keep their schema, and the schema refuses what no server could run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from voiceflow.artifact import Manifest

FOLDER = Path(__file__).parents[3] / "contracts"
FILES = sorted(FOLDER.glob("*.yaml"))
SCHEMA = json.loads((FOLDER / "contract.schema.json").read_text("utf-8"))


def load(path: Path) -> dict[str, Any]:
    """Reads one contract."""
    contract: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return contract


def test_the_schema_is_a_schema() -> None:
    """It is valid JSON Schema."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_contract_keeps_the_schema(path: Path) -> None:
    """No file breaks it, and its name is that of the contract."""
    contract = load(path)
    assert list(Draft202012Validator(SCHEMA).iter_errors(contract)) == []
    assert path.stem == f"{contract['name']}-{contract['version']}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_name_in_a_contract_stands_for_something(path: Path) -> None:
    """Dimensions that tensors name are declared, fields of the manifest exist."""
    contract = load(path)
    dims = contract["dims"]
    used = {dim for tensor in contract["inputs"] + contract["outputs"] for dim in tensor["dims"]}
    assert used == set(dims)
    assert {dim["of"] for dim in dims.values() if "of" in dim} <= set(dims)
    keys = ("from_manifest", "multiple_of", "divided_by")
    fields = {dim[key] for dim in dims.values() for key in keys if key in dim}
    assert fields <= set(Manifest.model_fields)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "stateful without state": lambda contract: contract.pop("state"),
    "state although stateless": lambda contract: contract.update(stateful=False),
    "version read as a float": lambda contract: contract.update(version=1.0),
    "no outputs": lambda contract: contract.update(outputs=[]),
    "unknown type": lambda contract: contract["inputs"][0].update(dtype="float"),
    "unknown key": lambda contract: contract["outputs"][0].update(lookahead=True),
    "a dimension twice": lambda contract: contract["inputs"][0].update(dims=["batch", "batch"]),
    "dynamic and fixed": lambda contract: contract["dims"]["tracks"].update(dynamic=True),
    "a part of nothing": lambda contract: contract["dims"]["frames"].pop("of"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_schema_refuses(name: str) -> None:
    """A contract that contradicts itself or is misspelt is refused."""
    contract = copy.deepcopy(load(FOLDER / "diarization-stream-1.0.yaml"))
    BROKEN[name](contract)
    assert not Draft202012Validator(SCHEMA).is_valid(contract)
