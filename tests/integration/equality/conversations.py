"""Ten minutes of talk for the tiny models, and how one session hears it without a server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.finals import Finals, finals_of
from tests.fakes.models import Spoken, tones
from tests.fakes.places import FakePlaces, direct
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import FloatArray
from voiceflow_inference import messages
from voiceflow_inference.audio import AudioFormat
from voiceflow_inference.batcher import Urgency
from voiceflow_inference.session import Reply, Session
from voiceflow_inference.stream_config import StreamConfig

VOICES = 5


def talk(seconds: float, seed: int = 0) -> FloatArray:
    """A lively conversation with pauses, overlaps and noise, (samples,) at 16 kHz."""
    random = np.random.default_rng(seed)
    bands = random.choice(16, VOICES, replace=False)
    script: list[Spoken] = []
    while sum(part.seconds for part in script) < seconds:
        first, second = (int(band) for band in random.choice(bands, 2, replace=False))
        script.append(Spoken((first,), float(random.uniform(0.2, 5.0))))
        if random.random() < 0.3:
            script.append(Spoken((first, second), float(random.uniform(0.1, 1.5))))
        if random.random() < 0.5:
            script.append(Spoken((), float(random.uniform(0.1, 1.0))))
    samples = tones(*script)[: round(seconds * 16_000)]
    noise = random.normal(scale=0.004, size=len(samples))
    return (samples + noise).astype(np.float32)


def alaw(samples: FloatArray) -> bytes:
    """G.711 A-law, a byte a sample."""
    magnitude = np.clip(np.abs(samples) * 4096, 0, 4095).astype(np.int64)
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 4, 0)
    step = magnitude >> np.maximum(segment, 1) & 15
    sign = np.where(samples < 0, 0, 128)
    code: NDArray[np.uint8] = ((sign | segment << 4 | step) ^ 0x55).astype(np.uint8)
    return code.tobytes()


async def session_finals(
    package: Path, mode: LatencyMode, audio_format: AudioFormat, pieces: Iterable[bytes]
) -> Finals:
    """What a session says of audio that comes in these pieces, as it would go on the wire."""
    model = bind(load_package(package))
    config = StreamConfig(
        audio_format=audio_format,
        latency_mode=mode,
        minimum_speakers=0,
        maximum_speakers=20,
        send_provisional_turns=False,
        send_activity=False,
        session="alone",
    )
    places = FakePlaces(direct(model))
    session = Session(
        config, places.place("alone"), places, urgency=Urgency.LIVE, horizon_seconds=2.0
    )
    replies: list[Reply] = []
    for piece in pieces:
        async for reply in session.hear(piece):
            replies.append(reply)  # noqa: PERF401 the body runs for few of many pieces
    replies += [reply async for reply in session.finish()]
    summary = messages.summary(session.summary(complete=True), model.manifest)
    wire = [message for reply in replies for message in messages.replies(reply)]
    return finals_of([*wire, pb.DiarizeResponse(summary=summary)])
