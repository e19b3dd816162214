"""Typed asyncio client of the Diarization service; nobody who uses it touches a wire message.

async with DiarizationClient("localhost:50051") as client:
timeline = Timeline()
async for event in client.diarize(audio, StreamConfig(AudioFormat(Encoding.PCM16, 16_000))):
timeline.add(event)
"""

from voiceflow.artifact import LatencyMode
from voiceflow.client.config import (
    AudioFormat,
    Encoding,
    EnrolledSpeaker,
    Flush,
    ModelChoice,
    Prototype,
    StreamConfig,
)
from voiceflow.client.diarization import DiarizationClient
from voiceflow.client.events import (
    Begin,
    Event,
    FileResult,
    FrameActivity,
    GenerationState,
    GoAway,
    Region,
    ServingState,
    SpeakerMerged,
    SpeakerSummary,
    SpeechEvent,
    StreamLimits,
    Summary,
    Timings,
    Turn,
    Update,
    seconds,
)
from voiceflow.client.retry import NO_RETRY, RetryPolicy
from voiceflow.client.timeline import Timeline
from voiceflow.pipeline.turns import UNKNOWN, SpeechEventKind

__all__ = [
    "NO_RETRY",
    "UNKNOWN",
    "AudioFormat",
    "Begin",
    "DiarizationClient",
    "Encoding",
    "EnrolledSpeaker",
    "Event",
    "FileResult",
    "Flush",
    "FrameActivity",
    "GenerationState",
    "GoAway",
    "LatencyMode",
    "ModelChoice",
    "Prototype",
    "Region",
    "RetryPolicy",
    "ServingState",
    "SpeakerMerged",
    "SpeakerSummary",
    "SpeechEvent",
    "SpeechEventKind",
    "StreamConfig",
    "StreamLimits",
    "Summary",
    "Timeline",
    "Timings",
    "Turn",
    "Update",
    "seconds",
]
