"""Without a trust root a registry is believed; what was served last is remembered all the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import pytest

from tests.fakes.trust import CHANNEL, history
from voiceflow.catalog.names import ChannelName
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.belief import UncheckedChannel
from voiceflow_inference.serving.state_file import StateFile

ONE, TWO, THREE = history(3, signer=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is remembered."""
    return tmp_path / "diarizer" / "stable.unchecked.json"


def believing(path: Path, channel: ChannelName = CHANNEL) -> UncheckedChannel:
    """A process that begins."""
    return UncheckedChannel(channel, StateFile(path, shared=True), Alarms())


def test_whatever_is_told_last_is_believed(path: Path) -> None:
    """In any order, unsigned, with gaps; one promotion is enough."""
    belief = believing(path)
    assert belief.sequence == 0
    for promotion in (ONE, THREE, TWO):
        assert belief.suffice([promotion])
        assert belief.take([promotion]) == promotion
        assert belief.sequence == promotion.sequence
    assert not belief.suffice([])


def test_what_was_served_last_outlasts_the_process(path: Path) -> None:
    """Not what was only believed."""
    belief = believing(path)
    assert belief.held is belief.check_held() is None
    for served in (ONE, THREE, TWO):
        belief.take([served])
        belief.hold(served)
        belief.take([ONE])
        assert believing(path).check_held() == belief.held == served


def test_processes_share_one_memory(path: Path) -> None:
    """The last that wrote is remembered, and none waits for another."""
    one, two = believing(path), believing(path)
    one.hold(ONE)
    two.hold(TWO)
    assert believing(path).held == TWO
    one.hold(THREE)
    assert believing(path).held == THREE
    assert one.alarms.raised == two.alarms.raised == {}


def test_processes_that_write_at_once_take_turns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one would put in place what the other has half written."""
    writing, replace, met = Semaphore(1), StateFile._replace, []

    def alone(memory: StateFile, content: bytes) -> None:
        if not writing.acquire(blocking=False):
            met.append(content)
            return
        time.sleep(0.1)  # in which nobody else comes
        replace(memory, content)
        writing.release()

    monkeypatch.setattr(StateFile, "_replace", alone)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda promotion: believing(path).hold(promotion), [ONE, TWO, THREE]))
    assert met == []
    assert believing(path).held in (ONE, TWO, THREE)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b""),
        Path.unlink,
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_memory_is_none(path: Path, harm: Callable[[Path], object]) -> None:
    """Nothing rests on it but a start without the registry; it is written anew."""
    believing(path).hold(ONE)
    harm(path)
    assert believing(path).check_held() is None


def test_a_memory_of_another_channel_is_none(path: Path) -> None:
    """A folder that was copied from elsewhere."""
    believing(path).hold(ONE)
    assert believing(path, ChannelName("diarizer", "canary")).held is None


def test_what_cannot_be_remembered_sounds_an_alarm_and_is_served(tmp_path: Path) -> None:
    """A read-only disk: the pod starts and runs; only without its registry it will not start."""
    (tmp_path / "diarizer").write_text("in the way")
    belief = believing(tmp_path / "diarizer" / "stable.json")
    belief.take([ONE])
    belief.hold(ONE)
    assert belief.held == ONE
    assert belief.alarms.raised["state"].reason == "STATE_NOT_WRITABLE"
    (tmp_path / "diarizer").unlink()
    belief.hold(TWO)
    assert belief.alarms.raised == {}
