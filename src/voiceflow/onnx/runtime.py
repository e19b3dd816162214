"""Opens ONNX Runtime sessions with the options that serving and validation share."""

from __future__ import annotations

import onnxruntime as ort

from voiceflow.contract import TensorSignature
from voiceflow.errors import PackageInvalid

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}


def open_session(model: bytes, *, threads: int) -> ort.InferenceSession:
    """Loads a graph on the CPU.

    Args:
        model: The ONNX file; no external data is followed.
        threads: Threads of one call. 1 keeps results independent of the machine's cores.

    Raises:
        PackageInvalid: If ONNX Runtime refuses the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise PackageInvalid(
            f"model.onnx: ONNX Runtime refuses the graph: {error}",
            reason="GRAPH_REFUSED",
            field="files.model.onnx",
        ) from error


def signatures(arguments: list[ort.NodeArg]) -> list[TensorSignature]:
    """The inputs or outputs of a session; a symbolic dimension is dynamic."""
    return [
        TensorSignature(
            argument.name,
            _DTYPES.get(argument.type, argument.type),
            tuple(dim if isinstance(dim, int) else None for dim in argument.shape),
        )
        for argument in arguments
    ]
