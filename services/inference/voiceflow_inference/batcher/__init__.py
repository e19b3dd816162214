"""The engine of a generation: streams' hops, computed in batches by a thread of its own."""

from voiceflow_inference.batcher.batch import BatchRun, ModelFailed
from voiceflow_inference.batcher.batcher import Backend, Batcher
from voiceflow_inference.batcher.lane import Lane
from voiceflow_inference.batcher.load import EngineLoad
from voiceflow_inference.urgency import Urgency

__all__ = ["Backend", "BatchRun", "Batcher", "EngineLoad", "Lane", "ModelFailed", "Urgency"]
