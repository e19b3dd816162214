"""Puts a model version through its gates before anything may serve it.

Every process of the sandbox imports this package on its way to its probe: what is slow or large to
import (pyannote.metrics, grpc) is imported by the functions that need it, never here.
"""

from voiceflow.difference import Described
from voiceflow.validation.rules import RULES
from voiceflow.validation.validator import Validator
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateOutcome,
    GateStarted,
    Validation,
)

__all__ = [
    "RULES",
    "Baseline",
    "Budgets",
    "Candidate",
    "Described",
    "Earlier",
    "GateOutcome",
    "GateStarted",
    "Validation",
    "Validator",
]
