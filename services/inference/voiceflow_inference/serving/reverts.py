"""What this pod has left of its own accord, until the registry knows of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.catalog.pods import Revert
from voiceflow_inference.serving.judge import Breach
from voiceflow_inference.serving.state import Failure

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pod:
    """What this server is called in what it tells the registry.

    Attributes:
        name: Of the pod.
        channel: That it follows.
    """

    name: PodName
    channel: ChannelName


class Reverts:
    """Those that are still to be acknowledged, the oldest first.

    Args:
        pod: Whose.
        now: The time.
    """

    def __init__(self, pod: Pod, now: Callable[[], datetime]) -> None:
        self._pod = pod
        self._now = now
        self._pending: list[Revert] = []

    def pending(self) -> tuple[Revert, ...]:
        """Those that are to be told."""
        return tuple(self._pending)

    def add(self, failure: Failure, breach: Breach, to: VersionPin | None) -> None:
        """Makes one, and logs it.

        Args:
            failure: What was left, or not taken.
            breach: Why.
            to: What is served instead; None, or what was left itself: nothing better is known.
        """
        to = None if to == failure.pin else to
        _LOG.error(
            "%s is left for %s: %s: %s",
            failure.pin.version,
            "nothing better" if to is None else to.version,
            failure.reason,
            failure.message,
        )
        self._pending.append(
            Revert(
                name=f"{self._pod.channel}/reverts/{uuid.uuid4()}",
                pod=str(self._pod.name),
                sequence=failure.sequence,
                from_version=failure.pin,
                to_version=to,
                role=failure.role,
                cause=breach.cause,
                seen=breach.seen[:_TEXT_CHARACTERS],
                allowed=breach.allowed[:_TEXT_CHARACTERS],
                hops=breach.hops,
                revert_time=self._now(),
            )
        )
        del self._pending[:-_REMEMBERED]

    def acknowledge(self, names: Collection[str]) -> None:
        """The registry has kept these."""
        self._pending = [revert for revert in self._pending if revert.name not in names]


_REMEMBERED: Final = 100
_TEXT_CHARACTERS: Final = 1024
