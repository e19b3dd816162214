"""What a service has said for good of one conversation, as the bytes that were on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc

from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc


@dataclass(frozen=True, slots=True)
class Finals:
    """Final regions and turns, each message serialised, in the order in which they came."""

    regions: tuple[bytes, ...]
    turns: tuple[bytes, ...]

    def as_file(self) -> Finals:
        """The same as DiarizeFile tells it: equal neighbours are one region, turns by start."""
        merged: list[pb.Region] = []
        for region in map(pb.Region.FromString, self.regions):
            if merged and merged[-1].speakers == region.speakers:
                merged[-1].end.CopyFrom(region.end)
            else:
                merged.append(region)
        turns = sorted(map(pb.Turn.FromString, self.turns), key=_place)
        return Finals(_serialised(merged), _serialised(turns))


def finals_of(replies: Iterable[pb.DiarizeResponse]) -> Finals:
    """Of a whole stream.

    Raises:
        ValueError: It does not end with a Summary that is complete.
    """
    regions: list[bytes] = []
    turns: list[bytes] = []
    last = None
    for last in replies:
        regions += _serialised(last.update.final_regions)
        turns += _serialised(turn for turn in last.update.turns if turn.final)
    if last is None or not last.summary.complete:
        raise ValueError("the stream has no complete Summary")
    return Finals(tuple(regions), tuple(turns))


async def stream_finals(
    channel: grpc.aio.Channel, config: pb.StreamConfig, pieces: Iterable[bytes]
) -> Finals:
    """Sends a conversation through Diarize, as fast as it is taken.

    Args:
        channel: To the service.
        config: The stream's.
        pieces: Its audio, a message each.
    """
    call = pb_grpc.DiarizationStub(channel).Diarize()

    async def send() -> None:
        await call.write(pb.DiarizeRequest(config=config))
        for piece in pieces:
            await call.write(pb.DiarizeRequest(audio=piece))
        await call.write(pb.DiarizeRequest(finish=pb.Finish()))
        await call.done_writing()

    sending = asyncio.create_task(send())
    replies = [reply async for reply in call]
    await sending
    return finals_of(replies)


async def file_finals(
    channel: grpc.aio.Channel, config: pb.StreamConfig, pieces: Iterable[bytes]
) -> Finals:
    """Sends a recording through DiarizeFile; see `stream_finals`."""
    call = pb_grpc.DiarizationStub(channel).DiarizeFile()
    await call.write(pb.DiarizeFileRequest(config=config))
    for piece in pieces:
        await call.write(pb.DiarizeFileRequest(audio=piece))
    await call.done_writing()
    response = await call
    return Finals(_serialised(response.regions), _serialised(response.turns))


def cut(data: bytes, size_bytes: int) -> Iterator[bytes]:
    """Pieces of one size, the last one shorter."""
    return (data[at : at + size_bytes] for at in range(0, len(data), size_bytes))


def _serialised(messages: Iterable[pb.Region] | Iterable[pb.Turn]) -> tuple[bytes, ...]:
    return tuple(message.SerializeToString(deterministic=True) for message in messages)


def _place(turn: pb.Turn) -> tuple[int, int]:
    return turn.start.ToNanoseconds(), turn.end.ToNanoseconds()
