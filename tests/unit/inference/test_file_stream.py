"""A recording tells of its hops, though nothing is sent of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.fakes.places import FakePlaces, direct
from tests.unit.inference.fakes import Adder
from tests.unit.inference.test_session import SECOND, config
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow_inference.batcher import Urgency
from voiceflow_inference.file_stream import FileStream
from voiceflow_inference.requests import RequestReader
from voiceflow_inference.session import Session
from voiceflow_inference.stages import HopTimes, Stage


async def test_each_hop_of_a_recording_is_told_of_once() -> None:
    """Its way ends with its turns."""
    places = FakePlaces(direct(Adder()))
    place = places.place("s")
    session = Session(config(), place, places, urgency=Urgency.BACKGROUND, horizon_seconds=2)
    hops: list[HopTimes] = []

    async def requests() -> AsyncIterator[pb.DiarizeFileRequest]:
        for _ in range(2):
            yield pb.DiarizeFileRequest(audio=SECOND[: 2 * 1500])

    recording = FileStream(
        reader=RequestReader(requests(), 30.0),
        session=session,
        places=places,
        message_audio_bytes=len(SECOND),
        on_hop=hops.append,
    )
    with places.pinned(place, recording):
        await recording.run()
    assert [times.audio_end_samples for times in hops] == [1280, 2560, 3000]
    assert [times.request for times in hops] == [0, 1, 1]
    assert {times.urgency for times in hops} == {Urgency.BACKGROUND}
    assert {times.marks[-1][0] for times in hops} == {Stage.TURNS}
