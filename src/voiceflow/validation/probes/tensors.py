"""Loads a graph and tells its tensors as ONNX Runtime has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from voiceflow.contract import TensorSignature
from voiceflow.errors import PackageInvalid
from voiceflow.onnx.runtime import open_session, signatures
from voiceflow.package import MODEL_FILE
from voiceflow.validation.measured import TEXT_CHARACTERS, Loaded, Tensor
from voiceflow.validation.probes.model import told
from voiceflow.validation.sandbox.limits import JsonValue
from voiceflow.validation.sandbox.verdict import MEMORY_WORDS


def probe(
    files: Mapping[str, BinaryIO], _arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Answers any question with a `Loaded`."""
    model = files[MODEL_FILE].read()
    return lambda _: told(lambda: _load(model))


def _load(model: bytes) -> Loaded:
    try:
        session = open_session(model, threads=1)
    except PackageInvalid as error:
        if any(word in error.message for word in MEMORY_WORDS):
            raise
        return Loaded(refused=error.message[:TEXT_CHARACTERS])
    return Loaded(
        inputs=_tensors(signatures(session.get_inputs())),
        outputs=_tensors(signatures(session.get_outputs())),
    )


def _tensors(found: Sequence[TensorSignature]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name=tensor.name, dtype=tensor.dtype, dims=tensor.dims) for tensor in found)
