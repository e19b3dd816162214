"""Probes that give a file to the libraries without any look at it first: for tests alone.

They show what the limits of the sandbox hold when gate 2 would not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import checker

from tests.fakes import hostile
from tests.fakes.hostile import Answer, Arguments, Files
from voiceflow.onnx.runtime import open_session
from voiceflow.validation.probes import graph
from voiceflow.validation.sandbox.limits import JsonValue

MODEL = "model.onnx"


def run(files: Files, arguments: Arguments) -> Answer:
    """Loads the file into ONNX Runtime without any look at it, and runs it once."""
    del arguments

    def answer(request: JsonValue) -> JsonValue:
        del request
        session = open_session(files[MODEL].read(), threads=1)
        (result,) = session.run(["y"], {"x": np.ones(1, np.float32)})
        return float(result[0])

    return answer


def parse(files: Files, arguments: Arguments) -> Answer:
    """Parses the file without any look at it."""
    del arguments
    return lambda _: len(onnx.ModelProto.FromString(files[MODEL].read()).graph.node)


def check(files: Files, arguments: Arguments) -> Answer:
    """Gives the file to onnx's checker without any look at it."""
    del arguments

    def answer(request: JsonValue) -> JsonValue:
        del request
        checker.check_model(files[MODEL].read(), full_check=True)
        return "accepted"

    return answer


PROBES: Mapping[str, Callable[[Files, Arguments], Answer]] = {
    **hostile.PROBES,
    "check": check,
    "graph": graph.probe,
    "parse": parse,
    "run": run,
}
