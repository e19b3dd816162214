"""Nothing that a model's process answers can harm or deceive the asker beyond its own answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.validation.sandbox.acting import LIMITS, act, fails
from voiceflow.validation.sandbox import JsonValue, Limits, Sandbox


@pytest.mark.parametrize(
    "reply",
    [
        "\n",
        "no json\n",
        '{"answer": NaN}\n',
        '{"answer": -Infinity}\n',
        '{"answer": 1, "answer": 2}\n',
        '{"answer": 1, "more": 2}\n',
        '{"failure": "cpu-limit"}\n',
        "[1]\n",
        "null\n",
        '{"answer": ' + "[" * 100_000 + "]" * 100_000 + "}\n",
        '{"answer": ' + "1" * 10_000 + "}\n",
        '{"answer": "\xff"}\n',
        '{"answer": 1}\n{"answer": 2}\n',
    ],
    ids=lambda reply: repr(reply[:24]),
)
def test_what_is_no_answer_is_refused(sandbox: Sandbox, reply: str) -> None:
    """Anything but one strict JSON answer on one line ends the conversation."""
    assert fails(sandbox, "say", reply).rule == "reply-invalid"


def test_an_answer_without_end_is_cut_off(sandbox: Sandbox) -> None:
    """No more is read than a reply may have."""
    limits = Limits(LIMITS.cpu_seconds, LIMITS.wall_seconds, LIMITS.address_space_bytes, 1000)
    failure = fails(sandbox, "flood", limits=limits)
    assert failure.rule == "reply-invalid"
    assert "1000 bytes" in failure.allowed


@pytest.mark.parametrize("rule", ["crash", "memory-limit", "cpu-limit", "no-such-rule"])
def test_a_failure_that_is_told_is_a_crash_or_a_lack_of_memory(sandbox: Sandbox, rule: str) -> None:
    """A process cannot choose a rule of its own."""
    failure = fails(sandbox, "say", f'{{"failure": "{rule}", "seen": "\\u001b[31m"}}\n')
    assert failure.rule == ("memory-limit" if rule == "memory-limit" else "crash")
    assert failure.message.isprintable()


def test_errors_that_nobody_reads_block_nobody(sandbox: Sandbox) -> None:
    """Standard error is lost beyond what a pipe holds, standard output altogether."""
    with sandbox.open("act", files={}, arguments={}, limits=LIMITS) as probe:
        lost = act(probe, "flood_errors")["done"]
        assert isinstance(lost, int)
        assert lost > 0
        assert act(probe, "print", '{"answer": "forged"}\n') == {"done": "printed"}


@pytest.mark.parametrize(
    "value", [None, 0.1, "é\n\x00", {"a": [1, {"b": [True, None]}]}, "x" * 500_000]
)
def test_an_answer_comes_back_as_it_was(sandbox: Sandbox, value: JsonValue) -> None:
    """JSON goes through unchanged in both directions."""
    with sandbox.open("act", files={}, arguments={}, limits=LIMITS) as probe:
        assert act(probe, "echo", value) == {"done": value}


def test_a_probe_reads_the_files_that_it_is_given(sandbox: Sandbox, tmp_path: Path) -> None:
    """Files are open in the process by the names that the asker gave them."""
    file = tmp_path / "somewhere"
    file.write_bytes(b"a model")
    with sandbox.open("read", files={"model.onnx": file}, arguments={}, limits=LIMITS) as probe:
        assert probe.ask() == {"model.onnx": "a model"}


def test_a_file_that_is_not_there_is_the_askers_mistake(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is told as such, and no process is left."""
    absent = {"model.onnx": tmp_path / "absent"}
    with (
        pytest.raises(FileNotFoundError),
        sandbox.open("read", files=absent, arguments={}, limits=LIMITS),
    ):
        pytest.fail("a conversation began")
