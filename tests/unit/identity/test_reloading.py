"""Values that follow their files."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from voiceflow.errors import InvalidInput
from voiceflow.identity.reloading import Reloaded


class Numbers:
    """A file of a number, and its reader."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "number"
        self.path.write_text("1", encoding="utf-8")
        self.reads = 0
        self.fault: Exception | None = None
        self.reloaded = Reloaded("numbers", self.read, [self.path])

    def read(self) -> int:
        """Reads it."""
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return int(self.path.read_text("utf-8"))

    def write(self, text: str) -> None:
        """Replaces it."""
        self.path.write_text(text, encoding="utf-8")


@pytest.fixture
def numbers(tmp_path: Path) -> Numbers:
    """Holds 1."""
    return Numbers(tmp_path)


def test_a_new_content_becomes_the_value(numbers: Numbers) -> None:
    """Once the files are checked, and not before."""
    numbers.write("2")
    assert numbers.reloaded.value == 1
    assert numbers.reloaded.check()
    assert numbers.reloaded.value == 2


def test_what_has_not_changed_is_not_read_again(numbers: Numbers) -> None:
    """Files that were merely touched, or written with the same bytes, are the same."""
    numbers.write("1")
    os.utime(numbers.path, (0, 0))
    assert not numbers.reloaded.check()
    assert numbers.reads == 1


def test_a_change_that_keeps_size_and_time_is_seen(numbers: Numbers) -> None:
    """Contents are compared: a swap of mounted files may keep everything else."""
    before = numbers.path.stat()
    numbers.write("2")
    os.utime(numbers.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert numbers.reloaded.check()


def test_a_bad_content_keeps_the_old_value_and_counts_once(
    numbers: Numbers, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is looked at; each further bad content counts again."""
    numbers.write("none")
    assert not any(numbers.reloaded.check() for _ in range(3))
    assert (numbers.reloaded.value, numbers.reloaded.failures) == (1, 1)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].getMessage().startswith("numbers: keeps what it has: ")
    numbers.write("neither")
    numbers.reloaded.check()
    assert numbers.reloaded.failures == 2


def test_a_file_that_is_gone_keeps_the_old_value(numbers: Numbers) -> None:
    """As one that a pipe or a folder has taken the place of; none of them is waited for."""
    numbers.path.unlink()
    assert not numbers.reloaded.check()
    numbers.path.mkdir()
    assert not numbers.reloaded.check()
    numbers.path.rmdir()
    assert (numbers.reloaded.value, numbers.reloaded.failures) == (1, 1)
    numbers.write("2")
    assert numbers.reloaded.check()


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    """Opening one would wait until somebody writes."""
    path = tmp_path / "value"
    path.write_text("1", encoding="utf-8")
    reloaded = Reloaded("value", lambda: path.is_file() or int("none"), [path])
    path.unlink()
    os.mkfifo(path)
    assert not reloaded.check()
    assert reloaded.value is True


def test_what_was_refused_is_tried_again(numbers: Numbers) -> None:
    """Time alone may make a certificate valid, and a disk come back."""
    numbers.write("2")
    numbers.fault = InvalidInput("is not valid yet", reason="R")
    assert not numbers.reloaded.check()
    numbers.fault = None
    assert numbers.reloaded.check()
    assert (numbers.reloaded.value, numbers.reloaded.failures) == (2, 1)


def test_going_back_to_the_old_content_is_no_change(numbers: Numbers) -> None:
    """The bad content, if it comes back, counts again."""
    for text, failures in (("none", 1), ("1", 1), ("none", 2)):
        numbers.write(text)
        assert not numbers.reloaded.check()
        assert numbers.reloaded.failures == failures


def test_whatever_a_reader_raises_does_not_come_through(numbers: Numbers) -> None:
    """A fault of the reader's own must not end what keeps all the others fresh."""
    numbers.write("2")
    numbers.fault = RecursionError()
    assert not numbers.reloaded.check()
    assert numbers.reloaded.value == 1


def test_without_a_first_value_there_is_none(tmp_path: Path) -> None:
    """The error of the reader is the caller's, who refuses to start."""
    path = tmp_path / "number"
    path.write_text("none", encoding="utf-8")
    with pytest.raises(ValueError, match="none"):
        Reloaded("numbers", lambda: int(path.read_text("utf-8")), [path])


def test_a_change_while_reading_is_seen_by_the_next_check(tmp_path: Path) -> None:
    """What is held is what stood there before reading began, so nothing is missed."""
    path = tmp_path / "number"
    path.write_text("1", encoding="utf-8")

    def read() -> int:
        value = int(path.read_text("utf-8"))
        if value < 3:
            path.write_text(str(value + 1), encoding="utf-8")
        return value

    reloaded = Reloaded("numbers", read, [path])
    assert [reloaded.check() for _ in range(3)] == [True, True, False]
    assert reloaded.value == 3


def test_any_of_several_files_is_a_change(tmp_path: Path) -> None:
    """A certificate and its key are one value."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1", encoding="utf-8")
    two.write_text("1", encoding="utf-8")
    both = Reloaded("both", lambda: one.read_text("utf-8") + two.read_text("utf-8"), [one, two])
    two.write_text("2", encoding="utf-8")
    assert both.check()
    assert both.value == "12"


def test_it_is_told_when_a_bad_file_is_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that an error is not the last that is heard of it."""
    path = tmp_path / "file"
    path.write_text("1")
    number = Reloaded("number", lambda: int(path.read_text()), [path])
    path.write_text("none")
    number.check()
    path.write_text("1")
    with caplog.at_level("INFO"):
        number.check()
        number.check()
    assert [record.getMessage() for record in caplog.records].count(
        "number: is again what it was"
    ) == 1
