"""What runs inside the sandbox: each probe looks at one side of an untrusted model.

A factory gets the files (open for reading, by name) and the arguments, after the lockdown, when the
first question comes; what it returns answers each question. A broken rule is part of an answer, not
an exception. Nothing can be imported after the lockdown: probes import all they use at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, TypeAlias

from voiceflow.validation.probes import accuracy, behaviour, cost, graph, stretches, tensors
from voiceflow.validation.sandbox.limits import JsonValue

Answer: TypeAlias = Callable[[JsonValue], JsonValue]
ProbeFactory: TypeAlias = Callable[[Mapping[str, BinaryIO], Mapping[str, JsonValue]], Answer]

PROBES: Mapping[str, ProbeFactory] = {
    "graph": graph.probe,
    "tensors": tensors.probe,
    "stretches": stretches.probe,
    "behaviour": behaviour.probe,
    "cost": cost.probe,
    "accuracy": accuracy.probe,
}
