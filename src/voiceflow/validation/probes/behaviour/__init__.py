"""Measures how a model behaves: one question a side of it, by the name in `QUESTIONS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, cast

from voiceflow.onnx import bind
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel
from voiceflow.validation.measured import Answer
from voiceflow.validation.probes.behaviour import batches, golden, hops, signals
from voiceflow.validation.probes.model import load, told
from voiceflow.validation.sandbox.limits import JsonValue

QUESTIONS: Final[Mapping[str, Callable[[ModelPackage, BoundModel], Answer]]] = {
    "golden": golden.measure,
    "signals": signals.measure,
    "cuts": hops.cuts,
    "look-ahead": hops.look_ahead,
    "context": hops.context,
    "batches": batches.measure,
}


def probe(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Answers the name of a question with what was measured."""
    package = load(files, arguments)
    model = bind(package)
    return lambda question: told(lambda: QUESTIONS[cast("str", question)](package, model))
