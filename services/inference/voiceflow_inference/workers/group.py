"""The parent of several workers: starts them, replaces those that end, and ends them all.

It serves nobody itself, and loads no model. Nobody is answered before all workers are warm. From
then on each lives for itself: one that ends is started anew while the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Final

from voiceflow.errors import VoiceFlowError
from voiceflow.identity.key_set import SealingKey, key_set_json
from voiceflow.rpc.server import check_exposure
from voiceflow.telemetry import logs
from voiceflow_inference.last_words import last_words
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers.memory import hand_on
from voiceflow_inference.workers.orders import Assignment
from voiceflow_inference.workers.port import reserve
from voiceflow_inference.workers.restarts import Restarts
from voiceflow_inference.workers.worker import Worker, WorkerEnded, ending

_LOG = logging.getLogger(__name__)

OVERTIME_SECONDS: Final = 8.0
"""After the grace period: last replies, and what was recorded last. Then a worker is killed."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run(settings: Settings, on_ready: Callable[[str, str], None]) -> int:
    """Serves with as many workers as the settings say, until SIGTERM or SIGINT.

    Args:
        settings: Of the group.
        on_ready: Told the bound ``host:port`` and the name of the version, when all answer.

    Returns:
        The exit status of the process.
    """
    try:
        if settings.tls_cert is None:
            check_exposure(settings.host, settings.insecure)
        with ExitStack() as held:
            port = _port(held, settings.host, settings.port)
            health_port = settings.health_port
            if health_port is not None:
                health_port = _port(held, settings.health_host, health_port)
            _check_cores(settings)
            hand_on(settings)
            group = Group(_assignments(settings, port, health_port), settings, on_ready)
            return asyncio.run(group.run())
    except (VoiceFlowError, OSError) as error:
        logs.say_last(settings, last_words(error))
        return 1


class Group:
    """The workers of one port, from their start to their end.

    Args:
        assignments: What each is to be.
        settings: Of the group.
        on_ready: Told the bound ``host:port`` and the name of the version, when all answer.
        start: Starts one.

    Attributes:
        draining: Whether all were told to end.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        settings: Settings,
        on_ready: Callable[[str, str], None],
        start: Callable[[Assignment], Awaitable[Worker]] = Worker.start,
    ) -> None:
        self._start = start
        self._assignments = assignments
        self._settings = settings
        self._on_ready = on_ready
        self._workers: dict[int, Worker] = {}
        self._end_wanted = asyncio.Event()
        self.draining = False

    async def run(self) -> int:
        """Starts all, keeps all, ends all; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.end)
        serving = asyncio.create_task(self._serve())
        end_wanted = asyncio.create_task(self._end_wanted.wait())
        await asyncio.wait({serving, end_wanted}, return_when=asyncio.FIRST_COMPLETED)
        end_wanted.cancel()
        if not serving.done():
            serving.cancel()
            await asyncio.wait({serving})
            return await self._end()
        try:
            await serving
        except WorkerEnded as error:
            logs.say_last(self._settings, error.why or f"cannot serve: {error}")
        finally:
            self._kill()
            await asyncio.gather(*(worker.ended() for worker in self._workers.values()))
        return 1

    def end(self) -> None:
        """Has `run` drain all and return; again, once they drain: ends them at once."""
        if self.draining:
            self._kill()
        self._end_wanted.set()

    async def _serve(self) -> None:
        """Starts all at once, since what they measure of the machine is what is left of it then.

        Raises:
            WorkerEnded: One has ended before all answered.
        """
        first = await asyncio.gather(*(self._loaded(one) for one in self._assignments))
        ready = await asyncio.gather(*(worker.serves() for worker in first))
        _LOG.info("%d workers serve at %s", len(first), ready[0].address)
        self._on_ready(ready[0].address, ready[0].model)
        await asyncio.gather(*(self._keep(worker) for worker in first))

    async def _loaded(self, assignment: Assignment) -> Worker:
        worker = await self._start(assignment)
        self._workers[assignment.number] = worker
        _LOG.info("%s is started", worker)
        await worker.loaded()
        return worker

    async def _keep(self, worker: Worker) -> None:
        """Sees to it that there is such a worker, until this is cancelled."""
        restarts = Restarts()
        while True:
            began = time.monotonic()
            code = await worker.ended()
            del self._workers[worker.number]
            level = logging.ERROR if code else logging.WARNING
            _LOG.log(level, "%s has ended with %s; the others go on", worker, ending(code))
            served_seconds = time.monotonic() - began
            while True:
                restarts, pause_seconds = restarts.after(served_seconds)
                if pause_seconds:
                    _LOG.info("starts worker %d in %g s", worker.number, pause_seconds)
                    await asyncio.sleep(pause_seconds)
                try:
                    worker = await self._loaded(self._assignments[worker.number])
                    await worker.serves()
                except WorkerEnded as error:
                    del self._workers[worker.number]
                    _LOG.error("%s: %s", error, error.why or "it never served")
                    served_seconds = 0.0
                else:
                    _LOG.info("%s serves", worker)
                    break

    async def _end(self) -> int:
        """Drains all; returns the exit status."""
        grace_seconds = self._settings.grace_seconds
        _LOG.info("the workers drain for at most %g s", grace_seconds)
        workers = list(self._workers.values())
        for worker in workers:
            worker.end()
        self.draining = True
        ends = asyncio.gather(*(worker.ended() for worker in workers))
        try:
            async with asyncio.timeout(grace_seconds + OVERTIME_SECONDS):
                codes = await asyncio.shield(ends)
        except TimeoutError:
            _LOG.error("a worker does not end; it is killed")
            self._kill()
            codes = await ends
        badly = [
            f"{worker}: {ending(code)}"
            for worker, code in zip(workers, codes, strict=True)
            if code not in _WELL
        ]
        if badly:
            _LOG.error("not all have ended well: %s", ", ".join(badly))
        _LOG.info("stopped")
        return int(bool(badly))

    def _kill(self) -> None:
        for worker in self._workers.values():
            worker.kill()


def _check_cores(settings: Settings) -> None:
    """Workers may be more than there are cores for, and are then no faster for it."""
    cores = len(os.sched_getaffinity(0))
    if settings.workers * settings.threads > cores:
        _LOG.warning(
            "%d workers, with %d threads each for the model, share %d cores",
            settings.workers,
            settings.threads,
            cores,
        )


def _assignments(settings: Settings, port: int, health_port: int | None) -> list[Assignment]:
    # Made once, so that a stream that a worker loses goes on in any other.
    keys = key_set_json([SealingKey.generate()])
    given = settings.model_dump(mode="json")
    return [
        Assignment(settings=given, number=number, port=port, health_port=health_port, keys=keys)
        for number in range(settings.workers)
    ]


def _port(held: ExitStack, host: str, port: int) -> int:
    """A port that is held as long as the stack stands."""
    reserved = held.enter_context(reserve(host, port))
    number: int = reserved.getsockname()[1]
    return number


# Drained; or ended while it loaded.
_WELL: Final = (os.EX_OK, -signal.SIGTERM)
