"""Who has used the machine meanwhile: a run under strangers' load measures that load."""

from voiceflow.bench.usage import Processors

__all__ = ["Processors"]
