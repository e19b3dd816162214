"""What workers remember when a group starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.service import in_process
from voiceflow.errors import VoiceFlowError
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers.memory import hand_on


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of three workers of the model `meeting`; the first remembers something."""
    (tmp_path / "meeting").mkdir()
    (tmp_path / "meeting" / "stable.json").write_text("up to 7")
    return in_process(model="meeting", workers=3, state_dir=tmp_path)


def remembered(settings: Settings, number: int) -> Path:
    """The memory of a worker but the first."""
    return settings.state_dir / "workers" / str(number) / "meeting" / "stable.json"


def test_all_begin_with_the_memory_of_the_first(settings: Settings) -> None:
    """Also one that remembers what is long over: it was not there meanwhile."""
    old = remembered(settings, 2)
    old.parent.mkdir(parents=True)
    old.write_text("up to 3")
    hand_on(settings)
    assert [remembered(settings, number).read_text() for number in (1, 2)] == ["up to 7"] * 2


def test_where_the_first_remembers_nothing_the_others_keep_theirs(settings: Settings) -> None:
    """Less is never more."""
    (settings.state_dir / "meeting" / "stable.json").unlink()
    old = remembered(settings, 1)
    old.parent.mkdir(parents=True)
    old.write_text("up to 3")
    hand_on(settings)
    assert old.read_text() == "up to 3"


def test_a_memory_that_cannot_be_kept_is_an_error(settings: Settings) -> None:
    """A worker without one could be told anything."""
    (settings.state_dir / "workers").write_text("no folder")
    with pytest.raises(VoiceFlowError) as caught:
        hand_on(settings)
    assert caught.value.reason == "STATE_NOT_WRITABLE"
