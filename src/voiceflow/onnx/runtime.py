"""Opens ONNX Runtime sessions with the options that serving and validation share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime as ort

from voiceflow.contract import TensorSignature
from voiceflow.errors import PackageInvalid
from voiceflow.pipeline.model import FloatArray

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


class Calls:
    """Calls of a session, which another thread can end.

    Args:
        session: Runs them.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._options = ort.RunOptions()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Computes these outputs; raises what ONNX Runtime raises."""
        results: list[FloatArray] = self._session.run(outputs, feeds, self._options)
        return results

    def terminate(self) -> None:
        """Ends the calls that run now: each before its next node."""
        running, self._options = self._options, ort.RunOptions()
        running.terminate = True


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
