"""Looks at one channel about once a second, for everybody who watches it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from voiceflow.catalog.channels import ChannelPolicy, Promotion
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import ContentCorrupt, Unavailable
from voiceflow_registry.storage.object_store import StoreError

_KEPT_PROMOTIONS: Final = 256
_STEADY: Final = 0.8
"""A look follows the last one after this part of the interval at least, at random: replicas that
were started together do not look together."""

_RESTART_SECONDS: Final = 1.0
"""When watchers of a replica that stops are told to come back."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class WatchedChannels(Protocol):
    """What watching needs to know of channels; all of it blocks."""

    def newest(self, name: ChannelName) -> Promotion | None:
        """The promotion in force."""

    def promotions_after(self, name: ChannelName, sequence: int) -> Iterator[Promotion]:
        """Those that follow, in order, up to the newest."""

    def policy(self, name: ChannelName) -> ChannelPolicy:
        """The policy in force."""

    def policy_after(self, name: ChannelName, sequence: int) -> ChannelPolicy | None:
        """The policy in force, if it is newer."""


class Feed:
    """Looks at one channel for all its watchers, from when it is made until it is stopped.

    Args:
        name: The channel.
        channels: Where to look.
        poll_seconds: How often at least.
        executor: Where reading blocks.

    Attributes:
        head: Sequence of the newest promotion that is known; 0: none.
        kept: Some of the newest promotions, by sequence.
        looked_at: When the last look that worked was begun, by the loop's clock.
        wakes: Of each watcher, what is set when there is something new.
        corrupt: Why there is no way on from the head, as last looked at; None: nothing of the kind.
    """

    def __init__(
        self,
        name: ChannelName,
        channels: WatchedChannels,
        poll_seconds: float,
        executor: Executor | None,
    ) -> None:
        self.name = name
        self.head = 0
        self.kept: dict[int, Promotion] = {}
        self.looked_at = 0.0
        self.wakes: set[asyncio.Event] = set()
        self._policy: ChannelPolicy | None = None
        self._channels = channels
        self._poll_seconds = poll_seconds
        self._executor = executor
        self._nudged = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._asked: list[asyncio.Future[None]] = []
        self.corrupt: ContentCorrupt | None = None
        self._failing = False
        # In no watcher's context: it outlives whoever came first.
        self._task = asyncio.create_task(
            self._run(), name=f"feed of {name}", context=contextvars.Context()
        )
        self._task.add_done_callback(self._ended)

    @property
    def policy(self) -> ChannelPolicy:
        """As last looked at; there is one once `look_anew` has returned."""
        if self._policy is None:
            raise RuntimeError(f"{self.name} was not looked at yet")
        return self._policy

    def nudge(self) -> None:
        """Looks at once, or once more after the look that is under way."""
        self._nudged.set()

    async def look_anew(self) -> None:
        """Returns after a look that was begun after this call.

        Raises:
            StoreUnavailable: The look failed.
            Unavailable: SHUTTING_DOWN.
        """
        self.check()
        looked = asyncio.get_running_loop().create_future()
        self._waiting.append(looked)
        self.nudge()
        await looked

    async def read(self, act: Callable[[], Answer]) -> Answer:
        """Does what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, act)

    def check(self) -> None:
        """Raises what has ended this feed against all expectation."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    def wake_watchers(self) -> None:
        """There is something new."""
        for wake in self.wakes:
            wake.set()

    async def stop(self) -> None:
        """Looks no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._nudged.clear()
            self._asked, self._waiting = self._waiting, []
            began = loop.time()
            fault: StoreError | ContentCorrupt | None = None
            try:
                await self._look()
                self.looked_at = began
                self.corrupt = None
            except StoreError as error:
                fault = error
            except ContentCorrupt as error:
                fault = self.corrupt = error
                self.wake_watchers()
            self._note(fault)
            self._tell(self._asked, fault)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds * random.uniform(_STEADY, 1.0)):  # noqa: S311 - spreads load
                    await self._nudged.wait()

    async def _look(self) -> None:
        known = self._policy
        if known is None:
            newest, policy = await self.read(
                lambda: (self._channels.newest(self.name), self._channels.policy(self.name))
            )
            found, corrupt = ([newest] if newest else []), None
        else:
            news, changed = await self.read(
                lambda: (
                    readable(self._channels.promotions_after(self.name, self.head)),
                    self._channels.policy_after(self.name, known.sequence),
                )
            )
            found, corrupt = news
            policy = changed or known
        for promotion in found:
            self.kept[promotion.sequence] = promotion
            self.head = promotion.sequence
        while len(self.kept) > _KEPT_PROMOTIONS:
            del self.kept[next(iter(self.kept))]
        if found or policy is not known:
            self._policy = policy
            self.wake_watchers()
        if corrupt is not None:
            raise corrupt

    def _note(self, fault: Exception | None) -> None:
        """Logs when looking begins to fail, and when it works again."""
        if fault is not None and not self._failing:
            _log.warning("cannot look at %s: %s", self.name, fault)
        elif fault is None and self._failing:
            _log.info("can look at %s again", self.name)
        self._failing = fault is not None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The hub closes, or something failed against all expectation: nobody is left waiting."""
        fault = shutting_down() if task.cancelled() else task.exception()
        self._tell([*self._asked, *self._waiting], fault)
        self.wake_watchers()

    def _tell(self, asked: Sequence[asyncio.Future[None]], fault: BaseException | None) -> None:
        for looked in asked:
            if looked.done():  # told already, or its watcher has left
                continue
            if fault is None:
                looked.set_result(None)
            else:
                looked.set_exception(fault)


def readable(
    promotions: Iterator[Promotion],
) -> tuple[list[Promotion], ContentCorrupt | None]:
    """Promotions up to the first that is not as it was stored, and what is wrong with that."""
    found: list[Promotion] = []
    try:
        for promotion in promotions:
            found.append(promotion)  # noqa: PERF402 - what was read before a fault counts
    except ContentCorrupt as error:
        return found, error
    return found, None


def shutting_down() -> Unavailable:
    """The error for whoever waits while the registry stops."""
    return Unavailable(
        "the registry is shutting down; watch another replica, from the last sequence seen",
        reason="SHUTTING_DOWN",
        retry_after_seconds=_RESTART_SECONDS,
    )
