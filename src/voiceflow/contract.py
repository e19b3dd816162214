"""What a contract says, and whether a graph's tensors keep it.

A contract is a YAML file under `contracts/`, shipped inside the distribution. It names tensors and
symbolic dimensions; the manifest gives those dimensions that one model fixes. The check is pure:
it sees a graph as a list of tensor signatures, whoever read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

from voiceflow.artifact import Manifest
from voiceflow.errors import PackageInvalid

STREAM_CONTRACT = "diarization-stream/1.0"
WINDOW_CONTRACT = "diarization-window/1.0"


@dataclass(frozen=True, slots=True)
class TensorSignature:
    """A graph's input or output: a dimension is a number, or None where it is dynamic."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("dynamic" if dim is None else str(dim) for dim in self.dims)
        return f"{self.name}: {self.dtype} [{dims}]"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Tensor(_Section):
    """A tensor that the contract names."""

    name: str
    dtype: str
    dims: tuple[str, ...]


class StateTensors(_Section):
    """How a stateful model's memory tensors are recognised."""

    input_prefix: str
    output_prefix: str
    dtype: str


class Dimension(_Section):
    """A symbolic dimension; `minimum` and `maximum` bound what a manifest may say of it."""

    dynamic: bool
    minimum: int | None = None
    maximum: int | None = None
    from_manifest: str | None = None
    of: str | None = None
    divided_by: str | None = None


class Contract(_Section):
    """What the server feeds a model and what it reads back."""

    name: str
    version: str
    stateful: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dims: Mapping[str, Dimension]
    state: StateTensors | None = None

    @property
    def identifier(self) -> str:
        """`{name}/{version}`, as manifests name it."""
        return f"{self.name}/{self.version}"


@cache
def contracts() -> Mapping[str, Contract]:
    """Every contract that ships, by identifier."""
    found = {}
    for entry in resources.files("voiceflow").joinpath("contracts").iterdir():
        if entry.name.endswith(".yaml"):
            contract = Contract.model_validate(yaml.safe_load(entry.read_text("utf-8")))
            found[contract.identifier] = contract
    return found


def contract_of(manifest: Manifest) -> Contract:
    """The contract that a manifest names.

    Raises:
        PackageInvalid: If there is none of that name.
    """
    known = contracts()
    if manifest.contract not in known:
        raise PackageInvalid(
            f"contract {manifest.contract!r} is not known; known are {', '.join(sorted(known))}",
            reason="CONTRACT_UNKNOWN",
            field="contract",
        )
    return known[manifest.contract]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing about a graph's tensors that breaks the contract.

    Attributes:
        role: `input` or `output`.
        tensor: Name of the tensor.
        seen: The tensor as it is, or what there is instead.
        allowed: The tensor as it must be.
    """

    role: str
    tensor: str
    seen: str
    allowed: str


def mismatches(
    manifest: Manifest, inputs: Sequence[TensorSignature], outputs: Sequence[TensorSignature]
) -> tuple[dict[str, tuple[int, ...]], list[Mismatch]]:
    """Compares a graph's tensors with the contract that its manifest names.

    Returns:
        Shape of each state tensor without the batch axis, by name without prefix; and everything
        that breaks the contract, inputs first.

    Raises:
        PackageInvalid: If there is no such contract.
    """
    contract = contract_of(manifest)
    expected_inputs = [_expected(tensor, contract, manifest) for tensor in contract.inputs]
    expected_outputs = [_expected(tensor, contract, manifest) for tensor in contract.outputs]
    state: dict[str, tuple[int, ...]] = {}
    found = []
    if contract.state is not None:
        for tensor in inputs:
            if tensor.name.startswith(contract.state.input_prefix):
                name = tensor.name.removeprefix(contract.state.input_prefix)
                if (fault := _state_fault(tensor, contract.state)) is not None:
                    found.append(fault)
                shape = tuple(dim for dim in tensor.dims[1:] if dim is not None)
                state[name] = shape
                expected_inputs.append(tensor)
                expected_outputs.append(_state_signature(contract.state.output_prefix, name, shape))
    found += _compare("input", inputs, expected_inputs)
    found += _compare("output", outputs, expected_outputs)
    return state, found


def check_signature(
    manifest: Manifest, inputs: Sequence[TensorSignature], outputs: Sequence[TensorSignature]
) -> dict[str, tuple[int, ...]]:
    """Checks a graph's tensors against the contract that its manifest names.

    Args:
        manifest: Names the contract and fixes its dimensions.
        inputs: The graph's inputs.
        outputs: The graph's outputs.

    Returns:
        Shape of each state tensor without the batch axis, by name without prefix.

    Raises:
        PackageInvalid: With the first tensor that breaks it: what was seen and what is allowed.
    """
    state, found = mismatches(manifest, inputs, outputs)
    if found:
        first = found[0]
        raise PackageInvalid(
            f"graph {first.role}: seen {first.seen}; allowed is {first.allowed}",
            reason="SIGNATURE_MISMATCH",
            field=f"{first.role}s",
        )
    return state


def _expected(tensor: Tensor, contract: Contract, manifest: Manifest) -> TensorSignature:
    return TensorSignature(
        tensor.name,
        tensor.dtype,
        tuple(_size(contract.dims[dim], contract, manifest) for dim in tensor.dims),
    )


def _size(dim: Dimension, contract: Contract, manifest: Manifest) -> int | None:
    if dim.dynamic:
        return None
    if dim.from_manifest is not None:
        return int(getattr(manifest, dim.from_manifest))
    if dim.of is None or dim.divided_by is None:
        raise PackageInvalid(
            f"contract {contract.identifier}: a fixed dimension has no source",
            reason="CONTRACT_INVALID",
        )
    whole = _size(contract.dims[dim.of], contract, manifest)
    return None if whole is None else whole // int(getattr(manifest, dim.divided_by))


def _state_fault(tensor: TensorSignature, state: StateTensors) -> Mismatch | None:
    if tensor.dtype != state.dtype or not tensor.dims or tensor.dims[0] is not None:
        allowed = f"{state.dtype} with a dynamic batch dimension first"
    elif None in tensor.dims[1:]:
        allowed = "every dimension but the batch fixed"
    else:
        return None
    return Mismatch("input", tensor.name, str(tensor), allowed)


def _state_signature(prefix: str, name: str, shape: tuple[int, ...]) -> TensorSignature:
    return TensorSignature(prefix + name, "float32", (None, *shape))


def _compare(
    role: str, seen: Sequence[TensorSignature], expected: Sequence[TensorSignature]
) -> Iterator[Mismatch]:
    by_name = {tensor.name: tensor for tensor in seen}
    for tensor in expected:
        found = by_name.pop(tensor.name, None)
        if found is None:
            names = ", ".join(sorted(other.name for other in seen))
            there = f"no {tensor.name} (there are: {names})"
            yield Mismatch(role, tensor.name, there, str(tensor))
        elif found.dtype != tensor.dtype or not _dims_agree(found.dims, tensor.dims):
            yield Mismatch(role, tensor.name, str(found), str(tensor))
    wanted = ", ".join(str(tensor) for tensor in expected)
    for extra in by_name.values():
        yield Mismatch(role, extra.name, f"{extra} besides", wanted)


def _dims_agree(seen: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a graph's dimensions fit; what the contract fixes, a graph may leave dynamic."""
    return len(seen) == len(expected) and all(
        found is None or found == wanted for found, wanted in zip(seen, expected, strict=True)
    )
