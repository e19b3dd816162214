"""No process outlives its conversation, its sandbox, or the helper that started it.

Nor the registry: `tests/faults/test_models.py`, row R41.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.unit.validation.sandbox.acting import LIMITS, act, fails, gone
from voiceflow.errors import Unavailable
from voiceflow.validation.sandbox import Probe, Sandbox

HOSTILE = "tests.fakes.hostile"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's ties between processes")


@contextmanager
def unheld() -> Iterator[Sandbox]:
    """A sandbox without layers, so that only the ties between processes hold."""
    with Sandbox(floor=frozenset(), wanted=frozenset(), probes=HOSTILE) as sandbox:
        yield sandbox


@contextmanager
def probing(sandbox: Sandbox) -> Iterator[Probe]:
    """A process that does what it is asked for."""
    with sandbox.open("act", files={}, arguments={}, limits=LIMITS) as probe:
        yield probe


def test_a_process_is_gone_when_its_conversation_ends(sandbox: Sandbox) -> None:
    """It is reaped before the context is left: nothing is waited for afterwards."""
    with probing(sandbox) as probe:
        assert psutil.pid_exists(probe.pid)
    assert not psutil.pid_exists(probe.pid)


def test_a_process_is_gone_when_the_asker_fails(sandbox: Sandbox) -> None:
    """An error in the block that asks ends the process too."""
    pids = []

    def ask() -> None:
        with probing(sandbox) as probe:
            pids.append(probe.pid)
            raise LookupError

    with pytest.raises(LookupError):
        ask()
    assert not psutil.pid_exists(pids[0])


@LINUX
def test_what_a_process_leaves_behind_is_found_and_ended() -> None:
    """A process that changed its session and lost its parent ends with the conversation."""
    with unheld() as sandbox:
        with probing(sandbox) as probe:
            orphan = act(probe, "leave_a_process")["done"]
            assert isinstance(orphan, int)
            assert psutil.pid_exists(orphan)
        assert not psutil.pid_exists(orphan)


def test_closing_the_sandbox_ends_what_runs() -> None:
    """The helper and every process are gone when `close` returns; who was talking is told."""
    with unheld() as sandbox:
        helper = sandbox.helper_pid
        opened = sandbox.open("act", files={}, arguments={}, limits=LIMITS)
        probe = opened.__enter__()
    assert not psutil.pid_exists(helper)
    assert not psutil.pid_exists(probe.pid)
    with pytest.raises(Unavailable) as caught:
        act(probe, "echo")
    assert caught.value.reason == "SANDBOX_UNAVAILABLE"
    with pytest.raises(Unavailable):
        opened.__exit__(None, None, None)
    with pytest.raises(Unavailable), probing(sandbox):
        pytest.fail("a closed sandbox opened a conversation")


@LINUX
def test_killing_the_helper_leaves_nothing_and_the_next_conversation_has_another() -> None:
    """A process dies with the helper that started it; the sandbox starts a new helper."""
    with unheld() as sandbox:
        opened = sandbox.open("act", files={}, arguments={}, limits=LIMITS)
        probe = opened.__enter__()
        first = sandbox.helper_pid
        psutil.Process(first).kill()
        with pytest.raises(Unavailable) as caught:
            act(probe, "spin")
        assert caught.value.reason == "SANDBOX_UNAVAILABLE"
        with pytest.raises(Unavailable):
            opened.__exit__(None, None, None)
        assert gone(probe.pid)
        with probing(sandbox) as another:
            assert act(another, "echo", 1) == {"done": 1}
        assert sandbox.helper_pid != first


def test_many_conversations_at_once_do_not_meet(sandbox: Sandbox) -> None:
    """Threads talk to processes of their own; one that dies harms no other."""

    def talk(number: int) -> int:
        if number % 4 == 3:
            assert fails(sandbox, "segfault").rule == "crash"
            return number
        with probing(sandbox) as probe:
            answers = [act(probe, "echo", [number, turn])["done"] for turn in range(20)]
        assert answers == [[number, turn] for turn in range(20)]
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == list(range(8))
    helper = psutil.Process(sandbox.helper_pid)
    assert helper.children(recursive=True) == []
    assert helper.num_threads() == 1


def test_a_probe_module_that_does_not_import_is_told_as_such() -> None:
    """What keeps a process from its lockdown is the registry's trouble, not the model's."""
    with (
        Sandbox(floor=frozenset(), probes="tests.fakes.no_such_module") as sandbox,
        pytest.raises(Unavailable, match="no_such_module"),
    ):
        sandbox.layers()
