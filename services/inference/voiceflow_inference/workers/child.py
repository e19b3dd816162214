"""One worker: a whole service, which a parent starts and ends.

    python -m voiceflow_inference.workers.child

What it is to be comes in on standard input: see `orders`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from io import FileIO

from voiceflow.identity.key_set import KeySet
from voiceflow.telemetry import logs
from voiceflow_inference import lifetime
from voiceflow_inference.app import App
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers.orders import SERVE, Assignment, Failed, Loaded, Ready, Saying
from voiceflow_inference.workers.shares import settings_of


class Parent:
    """Who started this process, as it is heard and told.

    Args:
        orders: What it says.
        replies: What it is told.
    """

    def __init__(self, orders: FileIO, replies: FileIO) -> None:
        self._orders = orders
        self._replies = replies
        self._serve = asyncio.Event()
        self._served: tuple[App, asyncio.AbstractEventLoop] | None = None

    def assignment(self) -> Assignment:
        """What this process is to be; from now on the parent's end is its own, too.

        Raises:
            ValidationError: It was not started by a parent.
        """
        assignment = Assignment.model_validate_json(self._orders.readline())
        # On a thread of its own, since the event loop does not run yet.
        threading.Thread(target=self._follow, name="orders", daemon=True).start()
        return assignment

    def say(self, saying: Saying) -> None:
        """Where the parent is gone, nobody needs to hear it."""
        with suppress(BrokenPipeError):
            self._replies.write(saying.line())

    async def until_all_are_warm(self, app: App) -> None:
        """Says that this worker is, and waits for the parent's word."""
        self._served = app, asyncio.get_running_loop()
        self.say(Loaded())
        await self._serve.wait()

    def _follow(self) -> None:
        if self._orders.readline() != SERVE or self._served is None:
            os.kill(os.getpid(), signal.SIGTERM)  # as if somebody had ended a service that loads
            return
        app, loop = self._served
        with suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(self._serve.set)
            self._orders.read()
            loop.call_soon_threadsafe(app.server.end)


def main() -> int:
    """The process; returns its exit status."""
    parent = Parent(*_taken())
    assignment = parent.assignment()
    group = Settings(**assignment.settings)
    settings = settings_of(
        group, assignment.number, port=assignment.port, health_port=assignment.health_port
    )
    logs.set_up(settings, settings.pod_name)
    why = lifetime.run(
        settings,
        lambda address, model: parent.say(Ready(address=address, model=model)),
        own_keys=KeySet.from_json(assignment.keys),
        before_serving=parent.until_all_are_warm,
    )
    if why is not None:
        parent.say(Failed(why=why))
        return 1
    return 0


def _taken() -> tuple[FileIO, FileIO]:
    """Standard input and output, from where nothing else here, and no child, finds them."""
    orders, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return FileIO(orders, "rb"), FileIO(replies, "wb")


if __name__ == "__main__":
    sys.exit(main())
