"""Shows how far a transfer is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from voiceflow.client.registry import Progress, Stage

_WORDS = {
    Stage.SENDING: "sending",
    Stage.RECEIVING: "receiving",
    Stage.CHECKING: "checking",
    Stage.WAITING: "cut off, trying again",
}


class TransferBar:
    """A bar on standard error that goes by itself.

    Args:
        console: Of standard error.
        title: What is transferred.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._bar = rich_progress.Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Moves it."""
        self._bar.update(
            self._task,
            description=f"{self._title}: {_WORDS[progress.stage]}",
            completed=progress.done_bytes,
            total=progress.total_bytes,
        )
