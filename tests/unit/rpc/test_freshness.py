"""What servers read from files is kept fresh, and what was refused is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.fakes.metrics import counted
from voiceflow.identity.reloading import Reloaded
from voiceflow.rpc.freshness import keep_fresh

FAILURES = "voiceflow.reload.failures"


class Announced(Reloaded[int]):
    """Says when it has a new value."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name, lambda: int(path.read_text("utf-8")), [path])
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def check(self) -> bool:
        """Runs on a thread."""
        changed = super().check()
        if changed:
            self._loop.call_soon_threadsafe(self.changed.set)
        return changed


async def test_r43_values_follow_their_files_and_refused_contents_are_counted(
    tmp_path: Path,
) -> None:
    """One bad content of one file counts once under its name, and stops none of the others."""
    before = counted(FAILURES), counted(FAILURES, what="bad")
    bad_path, good_path, draft = tmp_path / "bad", tmp_path / "good", tmp_path / "draft"
    for path in (bad_path, good_path):
        path.write_text("1", encoding="utf-8")
    bad, good = Announced(bad_path), Announced(good_path)
    keeping = asyncio.create_task(keep_fresh([bad, good], every_seconds=0.001))
    try:
        draft.write_text("none", encoding="utf-8")
        draft.replace(bad_path)
        for value in (2, 3, 4):
            good.changed.clear()
            draft.write_text(str(value), encoding="utf-8")
            draft.replace(good_path)  # in one step: never seen half-written
            await asyncio.wait_for(good.changed.wait(), 30)
            assert good.value == value
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert bad.value == 1
    assert counted(FAILURES) == before[0] + 1
    assert counted(FAILURES, what="bad") == before[1] + 1
