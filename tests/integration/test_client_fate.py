"""A refused client learns why, also where it is still sending when the server has answered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from benchmarks.service import Service
from voiceflow.client import AudioFormat, DiarizationClient, Encoding, StreamConfig
from voiceflow.errors import InvalidInput

CONFIG = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
TRIES = 100
"""Without its guard the reason is lost once in ten tries."""


async def odd_pieces() -> AsyncIterator[bytes]:
    """Audio that is refused at its first message, with more of it on the way."""
    for _ in range(50):
        yield b"\0" * 3201


async def test_the_reason_of_a_refused_stream_survives_its_failed_writes(service: Service) -> None:
    """The status that the server sent is never replaced by one that gRPC makes up."""
    async with DiarizationClient(service.address) as client:
        for _ in range(TRIES):
            with pytest.raises(InvalidInput) as caught:
                [event async for event in client.diarize(odd_pieces(), CONFIG)]
            assert caught.value.reason == "AUDIO_PARTIAL_FRAME"


async def test_the_reason_of_a_refused_recording_survives_its_failed_writes(
    service: Service,
) -> None:
    """Likewise for recordings."""
    async with DiarizationClient(service.address) as client:
        for _ in range(TRIES):
            with pytest.raises(InvalidInput) as caught:
                await client.diarize_file(odd_pieces, CONFIG)
            assert caught.value.reason == "AUDIO_PARTIAL_FRAME"
