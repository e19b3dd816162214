"""What is trusted is remembered before anything rests on it, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.simulated_registry import NOW
from tests.fakes.trust import CHANNEL, history, trust_root, trust_roots
from voiceflow.errors import Untrusted, VoiceFlowError
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.state_file import Remembered, StateFile
from voiceflow_inference.serving.trusting import TrustedChannel

ONE, TWO, THREE = history(3)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[StateFile]:
    """Remembers nothing yet."""
    with StateFile(tmp_path / "stable.json") as memory:
        yield memory


def trusting(memory: StateFile) -> TrustedChannel:
    """A process that begins."""
    return TrustedChannel(CHANNEL, trust_roots, memory, Alarms(), lambda: NOW)


def remembered(memory: StateFile) -> Remembered:
    """What outlasts the process."""
    content = memory.read()
    assert content is not None
    return content


def test_promotions_are_taken_in_order_as_a_watch_tells_them(memory: StateFile) -> None:
    """Each is remembered at once; a restart goes on behind it, and one told again does no harm."""
    trusted = trusting(memory)
    for step in (ONE, ONE, TWO, THREE):
        assert trusted.take([step]) == step
        assert remembered(memory).trusted.sequence == trusted.sequence == step.sequence
    again = trusting(memory)
    assert again.take([THREE]) == THREE
    with pytest.raises(Untrusted):
        again.take([TWO])


def test_the_trust_root_is_remembered_before_any_promotion(memory: StateFile) -> None:
    """So an older one is refused, also where no promotion was ever seen."""
    roots = trust_roots(trust_root(), trust_root(version=2))
    TrustedChannel(CHANNEL, lambda: roots, memory, Alarms(), lambda: NOW)
    with pytest.raises(Untrusted) as caught:
        trusting(memory)
    assert caught.value.reason == "ROOT_BEHIND"


def test_only_a_promotion_that_was_taken_can_be_held(memory: StateFile) -> None:
    """Also one that others have followed since: a pod may go back to it, and restart from it."""
    trusted = trusting(memory)
    trusted.take([ONE])
    trusted.hold(ONE)
    trusted.take([TWO])
    with pytest.raises(ValueError, match="never trusted"):
        trusted.hold(THREE)
    assert trusted.check_held() == remembered(memory).held == ONE
    for other in (TWO, ONE):
        trusted.hold(other)
        again = trusting(memory)
        with pytest.raises(ValueError, match="never trusted"):
            again.hold(other)  # not before it was looked at anew
        assert again.check_held() == other
        again.hold(other)
        assert again.sequence == 2


def test_nothing_is_trusted_that_cannot_be_remembered(
    memory: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the promotion is not moved to, now or after a restart."""
    trusted = trusting(memory)
    trusted.take([ONE])

    def fail(_: object) -> None:
        raise VoiceFlowError("no space left", reason="STATE_NOT_WRITABLE")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "write", fail)
        with pytest.raises(VoiceFlowError):
            trusted.take([TWO])
    assert trusted.sequence == remembered(memory).trusted.sequence == 1
    assert trusted.take([TWO]) == TWO
