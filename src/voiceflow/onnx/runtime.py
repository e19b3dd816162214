"""Opens ONNX Runtime sessions with the options that serving and validation share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import onnxruntime as ort

from voiceflow.contract import TensorSignature
from voiceflow.errors import NotAllowedNow, PackageInvalid, Unavailable
from voiceflow.pipeline.model import FloatArray
from voiceflow.provider import PROVIDERS, Provider

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}


def open_session(model: bytes, *, threads: int, provider: Provider = "cpu") -> ort.InferenceSession:
    """Loads a graph.

    Args:
        model: The ONNX file; no external data is followed.
        threads: Threads of one call. 1 keeps results independent of the machine's cores.
        provider: What computes it; the CPU computes what that cannot.

    Raises:
        PackageInvalid: GRAPH_REFUSED, by ONNX Runtime.
        NotAllowedNow: PROVIDER_MISSING, this build of ONNX Runtime does not have it.
        Unavailable: PROVIDER_UNUSABLE, it has it, and cannot use it for this graph, or at all.
    """
    name = _WANTED[provider][0][0]
    available = ort.get_available_providers()
    if name not in available:
        raise NotAllowedNow(
            f"this build of ONNX Runtime {ort.__version__} has no {name}, which --provider"
            f" {provider} asks for; it has {_shown(available)}",
            reason="PROVIDER_MISSING",
        )
    try:
        session = _session(model, threads, provider)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        if provider == "cpu":
            raise PackageInvalid(
                f"model.onnx: ONNX Runtime refuses the graph: {error}",
                reason="GRAPH_REFUSED",
                field="files.model.onnx",
            ) from error
        # The fault may be the graph's: then it is refused here, too.
        open_session(model, threads=threads)
        words = " ".join(str(error).split())
        raise _unusable(name, provider, f"it opens the graph on cpu alone: {words}") from error
    taken = session.get_providers()
    if name not in taken:
        why = f"it took {_shown(taken)} in its place; its standard error says why"
        raise _unusable(name, provider, why)
    return session


def check_provider(provider: Provider) -> None:
    """Opens the smallest graph, so that what cannot be used is known before there is a model.

    What ONNX Runtime has to say of it goes to standard error.

    Raises:
        NotAllowedNow: PROVIDER_MISSING, see `open_session`.
        Unavailable: PROVIDER_UNUSABLE, likewise.
    """
    open_session(_IDENTITY, threads=1, provider=provider)


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


_Wanted: TypeAlias = tuple[tuple[str, dict[str, str]], ...]

_CPU: Final[_Wanted] = (("CPUExecutionProvider", {}),)
_CUDA_OPTIONS: Final = {
    # Factors of ten bits, which newer GPUs would take, are not what golden outputs are made with.
    "use_tf32": "0",
    # The default times the algorithms and takes the fastest: not the same in every process, and
    # anew for each shape, also amid live streams.
    "cudnn_conv_algo_search": "HEURISTIC",
}
_CUDA: Final[_Wanted] = (("CUDAExecutionProvider", _CUDA_OPTIONS), *_CPU)
_WANTED: Final[Mapping[Provider, _Wanted]] = {
    "cpu": _CPU,
    "cuda": _CUDA,
    "tensorrt": (("TensorrtExecutionProvider", {}), *_CUDA),
}
"""What ONNX Runtime is asked for, each where those before it cannot."""

_IDENTITY: Final = bytes.fromhex(
    "0808"  # IR version 8
    "3a37 0a10 0a0178 120179 22084964656e74697479 120167"  # a graph with y = Identity(x)
    "5a0f 0a0178 120a0a08080112040a020801"  # x: float32 [1]
    "620f 0a0179 120a0a08080112040a020801"  # y: likewise
    "4204 0a00100d"  # operator set 13
)


def _session(model: bytes, threads: int, provider: Provider) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # With its fallback it would try others by itself, and say so on standard output.
    return ort.InferenceSession(
        model, options, providers=list(_WANTED[provider]), enable_fallback=False
    )


def _unusable(name: str, provider: Provider, why: str) -> Unavailable:
    return Unavailable(
        f"ONNX Runtime {ort.__version__} cannot use {name}, which --provider {provider} asks for:"
        f" {why}",
        reason="PROVIDER_UNUSABLE",
    )


def _shown(names: Sequence[str]) -> str:
    """Those of ONNX Runtime's names that can be asked for, by our names."""
    return ", ".join(one for one in PROVIDERS if _WANTED[one][0][0] in names)
