"""Checks that a graph, on this machine, gives the outputs that its package says it must give."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from voiceflow.errors import PackageInvalid
from voiceflow.onnx.runtime import open_session
from voiceflow.package import GOLDEN_FILE, ModelPackage
from voiceflow.provider import Provider

_TOLERANCE = "tolerance"

Case = dict[str, NDArray[np.float32]]


def reproduce(package: ModelPackage, *, threads: int = 1, provider: Provider = "cpu") -> None:
    """Runs every golden case of a package.

    Args:
        package: A verified package.
        threads: Threads of one call, as in serving.
        provider: What computes it, as in serving.

    Raises:
        PackageInvalid: If an output is further from what is stated than the stated tolerance, or
            the file is not what it should be.
        NotAllowedNow: PROVIDER_MISSING, see `open_session`.
        Unavailable: PROVIDER_UNUSABLE, likewise.
    """
    tolerance, cases = _read(package.files[GOLDEN_FILE])
    session = open_session(package.model_bytes, threads=threads, provider=provider)
    for name, case in cases.items():
        _reproduce(session, name, case, tolerance)


def stated_tolerance(content: bytes) -> float:
    """How far an output may be from what a `golden.npz` states.

    Raises:
        PackageInvalid: If the file is not what it should be.
    """
    tolerance, _ = _read(content)
    return tolerance


def _read(content: bytes) -> tuple[float, dict[str, Case]]:
    try:
        stored = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise _invalid("is no archive of arrays")
        arrays = {name: stored[name] for name in stored.files}
    except (EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise _invalid(f"cannot be read: {error}") from error
    if _TOLERANCE not in arrays:
        raise _invalid("states no tolerance")
    tolerance = float(arrays.pop(_TOLERANCE))
    cases: defaultdict[str, Case] = defaultdict(dict)
    for path, array in arrays.items():
        case, _, tensor = path.partition("/")
        cases[case][tensor] = array
    if not cases or not tolerance >= 0:
        raise _invalid(f"has {len(cases)} cases and a tolerance of {tolerance}")
    return tolerance, dict(cases)


def _reproduce(session: ort.InferenceSession, name: str, case: Case, tolerance: float) -> None:
    inputs = [argument.name for argument in session.get_inputs()]
    outputs = [argument.name for argument in session.get_outputs()]
    missing = [tensor for tensor in (*inputs, *outputs) if tensor not in case]
    if missing:
        raise _invalid(f"case {name} lacks {', '.join(missing)}")
    results = session.run(outputs, {tensor: case[tensor] for tensor in inputs})
    for tensor, seen in zip(outputs, results, strict=True):
        stated = case[tensor]
        if seen.shape != stated.shape:
            raise _invalid(f"case {name}: {tensor} is {seen.shape}, stated is {stated.shape}")
        furthest = float(np.abs(seen - stated).max(initial=0.0))
        if not furthest <= tolerance:  # NaN is not
            raise PackageInvalid(
                f"{GOLDEN_FILE}: case {name}: {tensor} is {furthest:g} away from what is stated;"
                f" allowed is {tolerance:g}",
                reason="GOLDEN_MISMATCH",
                field=f"files.{GOLDEN_FILE}",
            )


def _invalid(what: str) -> PackageInvalid:
    return PackageInvalid(
        f"{GOLDEN_FILE} {what}", reason="GOLDEN_INVALID", field=f"files.{GOLDEN_FILE}"
    )
