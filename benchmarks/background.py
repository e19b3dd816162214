"""Load from another process, so that what is measured meanwhile in this one is not held up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from voiceflow.bench.live import Server

_COMMAND: Final = (sys.executable, "-c", "from voiceflow.cli import main; main()", "bench")


class Background:
    """A command of `voiceflow bench` that runs meanwhile.

    Args:
        process: It.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def figures(self) -> dict[str, Any]:
        """Its figures, when it has ended.

        Raises:
            RuntimeError: It has failed.
        """
        out, err = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"voiceflow bench: {out}{err}")
        told: dict[str, Any] = json.loads(out)["figures"]
        return told


@contextmanager
def background(server: Server, *arguments: str) -> Iterator[Background]:
    """Runs `voiceflow bench` against a server, and ends it with the block.

    Args:
        server: Which.
        arguments: Of the command.
    """
    command = [*_COMMAND, *arguments, "--server", server.address, "--json"]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Background(process)
        finally:
            process.terminate()
