"""Memory is bounded by what is served now, never by how long it has lasted."""

from __future__ import annotations

import pytest

from benchmarks.service import Service
from tests.fakes.service import FINISH, audio, pcm16
from tests.faults.streams import Stream, config, connected
from tests.integration.equality.conversations import talk

MINUTES = 60


@pytest.mark.slow
async def test_one_hour_of_audio_keeps_memory_flat(service: Service) -> None:
    """What the server holds after an hour of one conversation is what it held after ten minutes.

    But for what the allocator keeps for itself, 8 MiB.
    """
    minute = pcm16(talk(60.0))
    async with connected(service.address) as channel:
        stream = Stream(channel)
        await stream.send(config())
        resident_bytes = 0
        for number in range(1, MINUTES + 1):
            await stream.send(*(audio(half) for half in (minute[: 2**20], minute[2**20 :])))
            await stream.covered(number * 60.0 - 0.48)
            stream.replies.clear()
            if number == 10:
                resident_bytes = service.resident_bytes()
        assert service.resident_bytes() < resident_bytes + 12_000_000
        await stream.send(FINISH)
        assert (await stream.outcome()).complete
