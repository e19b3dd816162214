"""What a registry that was killed has left is removed by the next one; a living one's is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from voiceflow.errors import Unavailable
from voiceflow_registry.files.spool import Spool
from voiceflow_registry.servicer import Threads


def test_only_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    """Temporary files go to the process's own folder, which is gone when it ends."""
    dead = tmp_path / "spool-dead"
    dead.mkdir()
    (dead / "model.onnx").write_bytes(b"left over")
    (tmp_path / "other").mkdir()
    before = tempfile.gettempdir()
    living, next_one = Spool(tmp_path), Spool(tmp_path)
    living.open()
    try:
        own = Path(tempfile.gettempdir())
        assert own.parent == tmp_path
        assert not dead.exists()
        next_one.open()
        assert own.exists()
        assert Path(tempfile.gettempdir()) != own
        next_one.close()
    finally:
        living.close()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert tempfile.gettempdir() == before


def test_the_default_is_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody else could have put there is refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(None)
    spool.open()
    folder = tmp_path / f"voiceflow-registry-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    spool.close()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="--spool-dir"):
        Spool(None).open()


async def test_a_full_disk_is_told_as_such() -> None:
    """STORAGE_UNAVAILABLE with a time to come back, not a defect."""
    threads = Threads(threads=1, waiting=1, retry_after_seconds=2.0)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable) as caught:
        await threads.call(full)
    assert caught.value.reason == "STORAGE_UNAVAILABLE"
    assert caught.value.retry_after_seconds == 2.0
    await threads.close()
