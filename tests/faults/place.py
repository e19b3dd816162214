"""A running service as a test of faults sees it: where to do wrong, and who must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.service import Service, running_service
from tests.faults.streams import (
    OWN_CONNECTION,
    WAIT_SECONDS,
    Bystander,
    Outcome,
    Refusal,
    Stream,
    bystander,
    connected,
    expected,
    refusal_of,
    serving_state,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb

METHODS = ("Diarize", "DiarizeFile")
"""The methods that take a config and audio; their requests are written alike."""


@dataclass(frozen=True, slots=True)
class Place:
    """A service and what its clients say.

    Attributes:
        service: The process.
        package: Its model.
        conversation: PCM16 at 16 kHz.
    """

    service: Service
    package: Path
    conversation: bytes

    def bystander(self) -> AbstractAsyncContextManager[Bystander]:
        """See `streams.bystander`."""
        return bystander(self.service.address, self.package, self.conversation)

    def connected(self, *options: tuple[str, int]) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A connection of its own."""
        return connected(self.service.address, options)

    @contextlib.asynccontextmanager
    async def stream(self, *requests: pb.DiarizeRequest) -> AsyncIterator[Stream]:
        """A stream on a connection of its own, with its first requests sent."""
        async with self.connected() as channel:
            stream = Stream(channel)
            await stream.send(*requests)
            yield stream

    async def refusal(self, method: str, *requests: pb.DiarizeRequest | bytes) -> Refusal:
        """How a method ends that is sent these requests, messages or raw bytes."""
        return await asyncio.to_thread(self._refusal, method, requests)

    def expected(self, data: bytes | None = None, *, complete: bool = True) -> Outcome:
        """What the pipeline alone says of audio, by default of the conversation."""
        return expected(
            self.package, self.conversation if data is None else data, complete=complete
        )

    async def streams(self) -> int:
        """How many streams are served now."""
        async with self.connected() as channel:
            return (await serving_state(channel)).streams

    def _refusal(self, method: str, requests: Iterable[pb.DiarizeRequest | bytes]) -> Refusal:
        # Not by asyncio: its client puts INTERNAL in the place of a status that arrives while it
        # still writes (grpc/grpc#36066).
        path = f"/{pb.DESCRIPTOR.services_by_name['Diarization'].full_name}/{method}"
        encoded = iter([_encoded(request) for request in requests])
        with grpc.insecure_channel(self.service.address, OWN_CONNECTION) as channel:
            kind = "stream_stream" if method == "Diarize" else "stream_unary"
            call: Any = getattr(channel, kind)(path)
            try:
                replies = call(encoded, timeout=WAIT_SECONDS)
                if method == "Diarize":
                    list(replies)
            except grpc.RpcError as error:
                return refusal_of(error)
        raise AssertionError(f"{method} has ended well")

    async def until_streams_are(self, count: int) -> None:
        """Waits until so many streams are served."""
        async with self.connected() as channel, asyncio.timeout(WAIT_SECONDS):
            # Another process has no event to wait for.
            while (await serving_state(channel)).streams != count:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def own_place(package: Path, conversation: bytes, **settings: float | str) -> Iterator[Place]:
    """A place with a service of its own, for faults that need other limits."""
    room = {"streams": 1000, "streams_per_principal": 1000}
    with running_service(package, **{**room, **settings}) as service, untroubled(service):
        yield Place(service, package, conversation)


@contextlib.contextmanager
def untroubled(service: Service) -> Iterator[None]:
    """What happens in the block leaves no traceback in the service's log."""
    start = service.log.stat().st_size
    try:
        yield
    finally:
        with service.log.open() as log:
            log.seek(start)
            said = log.read()
        sys.stderr.write(said)  # pytest shows it where a test fails
    assert "Traceback" not in said


_POLL_SECONDS = 0.05


def _encoded(request: pb.DiarizeRequest | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()
