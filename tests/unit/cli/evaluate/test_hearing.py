"""What an update says, as a telling that any system could have made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile

from voiceflow.artifact import LatencyMode
from voiceflow.cli.evaluate.hearing import hear, hear_set, telling_of
from voiceflow.client import (
    DiarizationClient,
    Event,
    Region,
    StreamConfig,
    Summary,
    Turn,
    Update,
)
from voiceflow.errors import VoiceFlowError
from voiceflow.evaluation import EvaluationSet, Spoken
from voiceflow.evaluation.telling import Telling, final


def test_final_regions_and_what_is_provisional_after_them_are_told() -> None:
    """A turn that goes on past what is final is told once: its beginning is the regions'."""
    update = Update(
        final_regions=(Region(16_000, 32_000, ("S1",)), Region(32_000, 48_000, ("S1", "S2"))),
        turns=(
            Turn("S1", 8_000, 64_000, 0.9, final=False),
            Turn("S3", 56_000, 72_000, 0.2, final=False),
            Turn("S2", 32_000, 48_000, 0.9, final=True),
        ),
        covered_samples=80_000,
        final_until_samples=48_000,
    )
    assert telling_of(update, told_until_samples=16_000) == Telling(
        5.0,
        1.0,
        (
            Spoken("S1", 1.0, 3.0),
            Spoken("S2", 2.0, 3.0),
            Spoken("S1", 3.0, 4.0),
            Spoken("S3", 3.5, 4.5),
        ),
    )


def test_what_is_provisional_is_replaced_and_what_is_final_stays() -> None:
    """The tellings of a stream end in its final regions."""
    guess = Turn("S2", 0, 16_000, 0.1, final=False)
    longer = Turn("S2", 0, 32_000, 0.1, final=False)
    updates = [
        Update((), (guess,), 16_000, 0),
        Update((Region(0, 16_000, ("S1",)),), (longer,), 32_000, 16_000),
        Update((Region(16_000, 40_000, ()),), (), 40_000, 40_000),
    ]
    told = [
        telling_of(update, until) for update, until in zip(updates, (0, 0, 16_000), strict=True)
    ]
    assert final(told[:1]) == [Spoken("S2", 0.0, 1.0)]
    assert final(told[:2]) == [Spoken("S1", 0.0, 1.0), Spoken("S2", 1.0, 2.0)]
    assert final(told) == [Spoken("S1", 0.0, 1.0)]


class Told:
    """A client whose streams end well or too soon, each by another version of the model."""

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete
        self._streams = 0

    async def diarize(
        self, audio: AsyncIterable[bytes], config: StreamConfig, *, resume: bool
    ) -> AsyncGenerator[Event, None]:
        """One region, and the summary."""
        del audio
        assert not resume, "what another server says afterwards would be measured as this one's"
        assert config.send_provisional_turns
        assert config.send_activity
        self._streams += 1
        yield Update((Region(0, 16_000, ("S1",)),), (), 16_000, 16_000)
        yield Summary((), 16_000, self._complete, (), f"models/m/versions/{self._streams}.0.0")


def client(*, complete: bool) -> DiarizationClient:
    """As `Told`."""
    return cast("DiarizationClient", Told(complete=complete))


@pytest.fixture
def labelled(tmp_path: Path) -> EvaluationSet:
    """Two recordings of a second."""
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16_000, np.float32), 16_000)
        (tmp_path / f"{name}.rttm").write_text("SPEAKER a 1 0 1 <NA> <NA> A <NA> <NA>\n")
    return EvaluationSet.open(tmp_path)


async def test_a_stream_that_ends_too_soon_is_no_result(labelled: EvaluationSet) -> None:
    """What was not heard would count as missed."""
    with pytest.raises(VoiceFlowError, match="a: ") as caught:
        await hear(client(complete=False), labelled.recordings[0], LatencyMode.DENSITY)
    assert caught.value.reason == "STREAM_INCOMPLETE"


async def test_every_version_that_served_is_named(labelled: EvaluationSet, tmp_path: Path) -> None:
    """A set that two versions heard is not the first one's."""
    names: list[str] = []
    told = await hear_set(
        client(complete=True),
        labelled,
        tmp_path / "out",
        on_heard=names.append,
        mode=LatencyMode.AGENT,
    )
    assert told == "models/m/versions/1.0.0, models/m/versions/2.0.0"
    assert names == ["a", "b"]
    assert (tmp_path / "out" / "b.rttm").is_file()
