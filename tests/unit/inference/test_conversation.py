"""How a live stream is told to go, and how it ends then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from tests.fakes.places import FakePlaces, direct, engine_of
from tests.unit.inference.fakes import Adder
from tests.unit.inference.test_session import SECOND, config
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.pipeline.snapshot import Snapshot
from voiceflow_inference.batcher import ModelFailed, Urgency
from voiceflow_inference.conversation import Conversation, Tokens
from voiceflow_inference.outbox import Outbox
from voiceflow_inference.requests import RequestReader
from voiceflow_inference.serving.placing import How
from voiceflow_inference.session import Session
from voiceflow_inference.stages import HopTimes, Stage

ROOM_BYTES = 1024 * 1024
TOKEN = b"t" * 100


async def until(holds: Callable[[], bool]) -> None:
    """Lets everything else run meanwhile."""
    while not holds():  # noqa: ASYNC110 nobody tells
        await asyncio.sleep(0)


class Talk:
    """A conversation on the adder, whose client is the test."""

    def __init__(
        self, *, tokens: bool = True, room_bytes: int = ROOM_BYTES, timings: bool = False
    ) -> None:
        self.old, self.new = direct(Adder(), 1), direct(Adder(), 2)
        self.places = FakePlaces(self.old, self.new)
        place = self.places.place("s")
        asked = replace(config(), send_timings=timings)
        self.session = Session(asked, place, self.places, urgency=Urgency.LIVE, horizon_seconds=0.2)
        self.requests: asyncio.Queue[pb.DiarizeRequest | None] = asyncio.Queue()
        self.replies: list[pb.DiarizeResponse] = []
        self.snapshots: list[Snapshot] = []
        self.hops: list[HopTimes] = []
        self.conversation = Conversation(
            reader=RequestReader(self._asked(), 30.0),
            outbox=Outbox(self._write, maximum_bytes=room_bytes, maximum_seconds=30.0),
            session=self.session,
            places=self.places,
            tokens=Tokens(self.session, 16_000, self._make) if tokens else None,
            leave_seconds=30.0,
            message_audio_bytes=ROOM_BYTES,
            deadline_passed=lambda: False,
            on_hop=self.hops.append,
        )
        self.place = place

    async def run(self) -> None:
        """To its end."""
        with self.places.pinned(self.place, self.conversation):
            await self.conversation.run(pb.Begin())

    async def hear(self, data: bytes, replies: int) -> None:
        """Sends audio and waits for what is said of it."""
        wanted = len(self.replies) + replies
        self.requests.put_nowait(pb.DiarizeRequest(audio=data))
        await until(lambda: len(self.replies) >= wanted)

    def kinds(self) -> list[str | None]:
        """Of the replies."""
        return [reply.WhichOneof("response") for reply in self.replies]

    def told(self) -> list[tuple[str, bytes]]:
        """Reason and token of each GoAway."""
        return [
            (reply.go_away.reason, reply.go_away.resume_token)
            for reply in self.replies
            if reply.HasField("go_away")
        ]

    async def _asked(self) -> AsyncIterator[pb.DiarizeRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    async def _write(self, reply: bytes) -> None:
        self.replies.append(pb.DiarizeResponse.FromString(reply))

    def _make(self, _digest: str, snapshot: Snapshot) -> bytes:
        self.snapshots.append(snapshot)
        return TOKEN


async def test_a_stream_that_is_asked_to_leave_moves_and_is_counted_there() -> None:
    """Carried: nothing is told but Moved."""
    talk = Talk()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        await talk.hear(SECOND[: 2 * 1280], 2)
        assert talk.places.pins == {talk.conversation: talk.old}
        talk.conversation.leave(talk.new, How.CARRIED)
        await talk.hear(SECOND[: 2 * 1280], 2)
        assert talk.places.pins == {talk.conversation: talk.new}
        talk.requests.put_nowait(None)
    assert talk.told() == []
    assert [reply.WhichOneof("response") for reply in talk.replies][2:4] == ["moved", "update"]


@pytest.mark.parametrize(("to", "how"), [(None, How.CARRIED), ("new", How.TOLD)])
async def test_a_stream_that_cannot_move_is_told(to: str | None, how: How) -> None:
    """With a token of the end of what was told; it may stay a while."""
    talk = Talk()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        await talk.hear(SECOND[: 2 * 1280], 2)
        talk.conversation.leave(None if to is None else talk.new, how)
        await talk.hear(SECOND[: 2 * 1280], 2)
        talk.requests.put_nowait(None)
    assert talk.told() == [("MODEL_REPLACED", TOKEN)]
    final = next(reply.update for reply in talk.replies if reply.HasField("update"))
    assert talk.snapshots[0].at_samples == final.final_until.ToNanoseconds() * 16 // 1_000_000


async def test_the_earliest_end_counts() -> None:
    """Told twice, a stream ends when it was first to; as if the client had half-closed."""
    talk = Talk()
    async with asyncio.timeout(20.0), asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        await talk.hear(SECOND[: 2 * 1280], 2)
        talk.conversation.tell_to_leave(100.0)
        talk.conversation.tell_to_leave(0.0, "MODEL_REPLACED")
        talk.conversation.tell_to_leave(100.0)
    assert talk.replies[-1].HasField("summary")
    assert not talk.replies[-1].summary.complete
    assert [reason for reason, _ in talk.told()] == ["DRAINING", "MODEL_REPLACED", "DRAINING"]


async def test_a_stream_that_ended_is_told_nothing_more() -> None:
    """All is final: there is nothing to go on with, and no timer is left."""
    talk = Talk()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        talk.requests.put_nowait(pb.DiarizeRequest(finish=pb.Finish()))
        await until(lambda: any(reply.HasField("update") for reply in talk.replies))
        talk.conversation.tell_to_leave(100.0)
    assert talk.told() == []
    assert talk.conversation._end is not None
    assert talk.conversation._end.cancelled()


@pytest.mark.parametrize("tokens", [True, False])
async def test_a_model_that_fails_is_told_with_a_token(tokens: bool) -> None:
    """Where the server gives none, the error alone is told, as ever."""
    talk = Talk(tokens=tokens)
    engine_of(talk.old).failing = {2}
    running = asyncio.create_task(talk.run())
    await talk.hear(SECOND[: 2 * 1280], 2)
    talk.requests.put_nowait(pb.DiarizeRequest(audio=SECOND[: 2 * 1280]))
    with pytest.raises(ModelFailed):
        await running
    assert talk.told() == ([("MODEL_FAILED", TOKEN)] if tokens else [])


@pytest.mark.parametrize("timings", [False, True])
async def test_timings_follow_the_replies_of_their_hop(timings: bool) -> None:
    """Where they are asked for; the Summary is last also then."""
    talk = Talk(timings=timings)
    talk.requests.put_nowait(pb.DiarizeRequest(audio=SECOND[: 2 * 1280]))
    talk.requests.put_nowait(pb.DiarizeRequest(audio=SECOND[: 2 * 2000]))
    talk.requests.put_nowait(pb.DiarizeRequest(finish=pb.Finish()))
    await talk.run()
    hop = ["update", "timings"] if timings else ["update"]
    assert talk.kinds() == ["begin", *hop * 3, "update", "summary"]
    told = [reply.timings for reply in talk.replies if reply.HasField("timings")]
    assert [one.request for one in told] == ([0, 1, 2] if timings else [])
    ends = [one.audio_end.ToNanoseconds() // 62_500 for one in told]
    assert ends == ([1280, 2560, 3280] if timings else [])


async def test_a_hop_that_half_closing_completed_names_the_last_request() -> None:
    """There being no more is no request."""
    talk = Talk(timings=True)
    talk.requests.put_nowait(pb.DiarizeRequest(audio=SECOND[: 2 * 1000]))
    talk.requests.put_nowait(pb.DiarizeRequest(audio=b""))
    talk.requests.put_nowait(None)
    await talk.run()
    assert [reply.timings.request for reply in talk.replies if reply.HasField("timings")] == [1]


async def test_each_hop_is_told_of_once_it_was_sent() -> None:
    """With all its stages, whether or not its client asked for them."""
    talk = Talk()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        await talk.hear(SECOND[: 2 * 1280], 2)
        await until(lambda: len(talk.hops) == 1)
        talk.requests.put_nowait(pb.DiarizeRequest(flush=pb.Flush()))  # nothing is left to compute
        talk.requests.put_nowait(None)
    (times,) = talk.hops
    # This engine says nothing of itself.
    engine = {Stage.GATHER, Stage.INFER, Stage.SCATTER}
    assert [*times.elapsed_ns()] == [stage for stage in Stage if stage not in engine]
    assert min(times.elapsed_ns().values()) >= 0


async def test_nobody_is_cut_for_a_token() -> None:
    """A client that does not read gets none, and its stream is only slowed down."""
    for room_bytes, tokens in ((ROOM_BYTES, 1), (2 * len(TOKEN) - 2, 0)):
        talk = Talk(room_bytes=room_bytes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk.run())
            for _ in range(8):
                await talk.hear(SECOND[: 2 * 1280], 1)
            talk.requests.put_nowait(None)
        assert sum(bool(reply.update.resume_token) for reply in talk.replies) == tokens
        assert len(talk.snapshots) == 1
