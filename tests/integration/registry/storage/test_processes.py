"""Stores in processes of their own: races between them, kills at every step, flat memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gcs import FakeGcs
from tests.integration.registry.storage import processes
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.uploads import PIECE_BYTES

_ROOT = Path(__file__).parents[4]


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", processes.__name__, *map(str, arguments)]


def _said(*arguments: object) -> Any:
    run = subprocess.run(_command(*arguments), cwd=_ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def test_of_sixteen_processes_exactly_one_wins(tmp_path: Path) -> None:
    """All are told the same winner, and that is what stands."""
    stands = _said("race", tmp_path, 16)
    assert len(stands) == 16
    assert set(stands) == {FilesystemStore(tmp_path).get(processes.KEY).content.decode()}


def test_increments_of_eight_processes_add_up(tmp_path: Path) -> None:
    """Compare and set loses nothing between processes."""
    assert _said("increment", tmp_path, 8, 10) == 80


@pytest.mark.parametrize(
    ("act", "before", "done"),
    [
        ("create", "nothing", "new"),
        ("stream", "nothing", "new"),
        ("replace", "old", "new"),
        ("delete", "old", "nothing"),
    ],
)
def test_a_writer_killed_anywhere_leaves_all_or_nothing(
    tmp_path: Path, act: str, before: str, done: str
) -> None:
    """SIGKILL before and after each system call: whole, and the store goes on without leftovers."""
    found = _said("kill", tmp_path, act)
    assert {stands for _, stands, _, _ in found} == {before, done}
    assert all(stands == done for died, stands, _, _ in found if not died)
    assert {(usable, leftovers) for _, _, usable, leftovers in found} == {(True, 0)}
    # It was killed at every step on the way, not only at some.
    assert sum(died for died, *_ in found) >= 15


@pytest.mark.parametrize("count", [1, 7, 40])
def test_what_a_killed_process_had_acknowledged_is_there(tmp_path: Path, count: int) -> None:
    """After a kill all that was said to be written is, whole, and at most one object more."""
    with subprocess.Popen(_command("write", tmp_path), cwd=_ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(count):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = count + len(writer.stdout.read().splitlines())
    store = FilesystemStore(tmp_path)
    keys = [info.key for info in store.list("")]
    assert len(keys) - acknowledged in {0, 1}
    for number, key in enumerate(keys):
        assert store.get(key).content == b"%06d" % number * 1000


@pytest.mark.parametrize("kind", ["filesystem", "gcs"])
def test_a_large_object_passes_in_little_memory(kind: str, tmp_path: Path, fake: FakeGcs) -> None:
    """Sixty-four MiB in and out take the memory of a few pieces."""
    size_bytes = 64 << 20
    where = fake.endpoint if kind == "gcs" else tmp_path
    read_bytes, most_bytes = _said("stream", kind, where, size_bytes)
    assert read_bytes == size_bytes
    assert most_bytes < (5 * PIECE_BYTES if kind == "gcs" else 4 << 20)
