"""Typed asyncio clients of both services; nobody who uses them touches a wire message.

async with DiarizationClient("localhost:50051") as client:
    timeline = Timeline()
    async for event in client.diarize(audio, StreamConfig(AudioFormat(Encoding.PCM16, 16_000))):
        timeline.add(event)

async with RegistryClient("localhost:50061") as registry:
    await registry.publish(Path("diarizer-1.2.0"))
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
    DrainingState,
    Event,
    FileResult,
    FrameActivity,
    GenerationState,
    GoAway,
    HopLatency,
    Moved,
    Region,
    Resumed,
    RoleSince,
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
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.registry import Published, RegistryClient
from voiceflow.client.retry import NO_RETRY, RetryPolicy
from voiceflow.client.timeline import Timeline
from voiceflow.pipeline.turns import UNKNOWN, SpeechEventKind

__all__ = [
    "NO_RETRY",
    "UNKNOWN",
    "AudioFormat",
    "Begin",
    "ClientIdentity",
    "DiarizationClient",
    "DrainingState",
    "Encoding",
    "EnrolledSpeaker",
    "Event",
    "FileResult",
    "Flush",
    "FrameActivity",
    "GenerationState",
    "GoAway",
    "HopLatency",
    "LatencyMode",
    "ModelChoice",
    "Moved",
    "Prototype",
    "Published",
    "Region",
    "RegistryClient",
    "Resumed",
    "RetryPolicy",
    "RoleSince",
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
