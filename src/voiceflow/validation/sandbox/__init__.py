"""Runs what is not trusted: one process a model, without files, sockets or time to waste.

`Sandbox` starts processes, `Sandbox.open` gives a conversation with one (`Probe`), and whatever
goes wrong in there comes out as a `SandboxFailure`, whose rule is the part of a rule id after the
gate.
"""

from voiceflow.validation.sandbox.conversation import Probe
from voiceflow.validation.sandbox.limits import (
    DEFAULT_FLOOR,
    JsonValue,
    Layer,
    Limits,
    SandboxFailure,
    address_space_bytes,
)
from voiceflow.validation.sandbox.sandbox import Sandbox

__all__ = [
    "DEFAULT_FLOOR",
    "JsonValue",
    "Layer",
    "Limits",
    "Probe",
    "Sandbox",
    "SandboxFailure",
    "address_space_bytes",
]
