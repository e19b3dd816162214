"""Taking the server out of service while it runs, and back: what an operator switches.

One that is out of service takes no new streams, says so to who watches its health, and tells its
connections to close; its live streams go on to their end, or to a deadline.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from voiceflow.errors import InvalidInput, Unavailable
from voiceflow.rpc.server import LEAVING_AGE_SECONDS
from voiceflow_inference.admission import Admission


class Transport(Protocol):
    """What clients and load balancers see of the server: see `RpcServer`."""

    def set_serving(self, *, serving: bool) -> None:
        """Says by health whether streams are taken."""

    async def renew_connections(self, age_seconds: float | None = None) -> None:
        """Tells every connection to close, and those that follow at that age."""


class Draining:
    """Whether the server takes streams.

    Args:
        admission: Lets nobody in while the server drains.
        transport: Finds the transport, which is built later.
        send_away: Tells live streams to go, and ends those that have not gone after so many
            seconds.
        leave_seconds: How many these are.
    """

    def __init__(
        self,
        admission: Admission,
        transport: Callable[[], Transport],
        send_away: Callable[[float], Awaitable[None]],
        leave_seconds: float,
    ) -> None:
        self._admission = admission
        self._transport = transport
        self._send_away = send_away
        self._leave_seconds = leave_seconds
        self._ending = False
        self._deadline: asyncio.Task[None] | None = None

    async def begin(self, deadline_seconds: float | None) -> None:
        """Takes the server out of service; again: with another deadline.

        Args:
            deadline_seconds: From now until live streams are told to go; None: they go on to their
                end.

        Raises:
            InvalidInput: DEADLINE_INVALID.
        """
        if deadline_seconds is not None and not 0 <= deadline_seconds < math.inf:
            raise InvalidInput(
                f"a deadline of {deadline_seconds:g} s; it is 0 or more",
                reason="DEADLINE_INVALID",
                field="deadline",
            )
        if self._ending:
            return
        self._forget_deadline()
        if deadline_seconds is not None:
            self._deadline = asyncio.create_task(self._send_away_after(deadline_seconds))
        if not self._admission.draining:
            self._admission.draining = True
            self._transport().set_serving(serving=False)
            await self._transport().renew_connections(LEAVING_AGE_SECONDS)

    async def end(self) -> None:
        """Takes streams again; those that were told to go are not called back.

        Raises:
            Unavailable: DRAINING: the server ends.
        """
        if self._ending:
            raise Unavailable("the server ends; start another one", reason="DRAINING")
        self._forget_deadline()
        if self._admission.draining:
            self._admission.draining = False
            self._transport().set_serving(serving=True)
            await self._transport().renew_connections()

    async def end_server(self, grace_seconds: float) -> None:
        """Takes no streams any more and lets the live ones end, until the time is up."""
        self._ending = True
        self._forget_deadline()
        self._admission.draining = True
        await self._send_away(grace_seconds)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    async def _send_away_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._send_away(self._leave_seconds)
