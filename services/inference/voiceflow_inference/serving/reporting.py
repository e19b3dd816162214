"""Tells the registry what this pod serves, what it has left, and how its versions fare.

A registry that is away, refuses, or says what makes no sense never disturbs serving: the next
report says all that this one would have said. Reverts are told until they are acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Never, Protocol

from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.catalog.pods import Pod, PodGeneration, Revert, VersionOutcomes
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import Forbidden, InvalidInput, Unauthenticated, VoiceFlowError
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.download import Registry
from voiceflow_inference.serving.state import Snapshot

_LOG = logging.getLogger(__name__)

REPORT: Final = "report"
"""Subject of the alarm about a registry that takes no reports of this pod."""

LOOK_SECONDS: Final = 0.5
"""A change is told that soon."""

LEAST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 300.0
"""Between two reports, whatever the registry asks for; it may ask for anything."""

PAUSE_SECONDS: Final = 5.0
"""After a report that did not arrive."""

ANSWER_SECONDS: Final = 10.0
"""Longer a report is not waited for."""

MAXIMUM_REVERTS: Final = 100
MAXIMUM_GENERATIONS: Final = 32
MAXIMUM_TEXT_CHARACTERS: Final = 1024
"""Of one report, as the registry takes it."""


class Subject(Protocol):
    """What is reported: the manager."""

    def snapshot(self) -> Snapshot:
        """What the pod should serve and does serve."""

    def outcomes(self) -> Sequence[VersionOutcomes]:
        """How each generation fares."""

    def acknowledge(self, names: Collection[str]) -> None:
        """The registry has kept these reverts."""


class Watch(Protocol):
    """The registry's watch: the source."""

    @property
    def watch_lost_time(self) -> datetime | None:
        """Since when it does not stand; None: it does."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a pod says of itself that does not change while it runs.

    Attributes:
        name: As the registry knows it.
        channel: That it follows.
        start_time: Of this process.
        software_version: Of this process.
        labels: Of the deployment.
    """

    name: PodName
    channel: ChannelName
    start_time: datetime
    software_version: str
    labels: Mapping[str, str]


def pod_of(identity: Identity, snapshot: Snapshot, watch_lost_time: datetime | None) -> Pod:
    """What a pod says of itself. Pure."""
    return Pod(
        name=str(identity.name),
        channel=str(identity.channel),
        desired_sequence=snapshot.desired_sequence,
        serving_sequence=snapshot.serving_sequence,
        generations=tuple(
            PodGeneration(
                generation=view.number,
                version=view.pin,
                state=view.state,
                role=view.role,
                streams=view.streams,
                message=view.message[:MAXIMUM_TEXT_CHARACTERS],
                reason=view.reason,
            )
            for view in snapshot.shown()[-MAXIMUM_GENERATIONS:]
        ),
        draining=snapshot.draining,
        watch_lost_time=watch_lost_time,
        start_time=identity.start_time,
        software_version=identity.software_version,
        labels=dict(identity.labels),
    )


class Reporter:
    """Reports for one pod, from its start to its end.

    Args:
        registry: Is told.
        identity: Who reports.
        subject: What is reported.
        watch: Whether the registry's watch stands.
        alarms: Told when the registry takes no reports of this pod.
    """

    def __init__(
        self,
        registry: Registry,
        identity: Identity,
        subject: Subject,
        watch: Watch,
        alarms: Alarms,
    ) -> None:
        self._registry = registry
        self._identity = identity
        self._subject = subject
        self._watch = watch
        self._alarms = alarms
        self._number = 0
        self._told: frozenset[str] = frozenset()
        self._last_failure = ""

    async def run(self) -> Never:
        """Reports at once, at the interval that the registry asks for, and when the pod changes."""
        while True:
            try:
                async with self._registry.client(0.0, ANSWER_SECONDS) as client:
                    while True:
                        told = self._pod()
                        await self._wait(told, await self._report(client, told))
            except VoiceFlowError as error:  # of its credentials' files
                self._failed(error)
            except Exception:  # noqa: BLE001 - whatever goes wrong here, serving goes on
                _LOG.exception("the pod cannot be reported")
            await asyncio.sleep(PAUSE_SECONDS)

    def _pod(self) -> Pod:
        return pod_of(self._identity, self._subject.snapshot(), self._watch.watch_lost_time)

    async def _wait(self, told: Pod, seconds: float) -> None:
        """Until it is time for the next report, or there is something that was not told yet."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(LOOK_SECONDS, left))
            reverts = {revert.name for revert in self._reverts()}
            if _told_apart(self._pod(), told) or not reverts <= self._told:
                return

    async def _report(self, client: RegistryClient, pod: Pod) -> float:
        """Reports once; seconds until the next report."""
        reverts, outcomes = self._reverts(), self._subject.outcomes()[-MAXIMUM_GENERATIONS:]
        self._told = frozenset(revert.name for revert in reverts)
        try:
            seconds = await self._send(client, pod, reverts, outcomes)
        except InvalidInput as error:
            # Something in it is refused; at least what the pod serves is to be known.
            self._failed(error)
            return await self._send_alone(client, pod)
        except VoiceFlowError as error:
            self._failed(error)
            return PAUSE_SECONDS
        self._subject.acknowledge([revert.name for revert in reverts])
        self._arrived()
        return seconds

    async def _send_alone(self, client: RegistryClient, pod: Pod) -> float:
        try:
            return await self._send(client, pod, (), ())
        except VoiceFlowError as error:
            self._failed(error)
            return PAUSE_SECONDS

    async def _send(
        self,
        client: RegistryClient,
        pod: Pod,
        reverts: Sequence[Revert],
        outcomes: Sequence[VersionOutcomes],
    ) -> float:
        self._number += 1
        asked = await client.report(pod, self._number, reverts=reverts, outcomes=outcomes)
        return min(max(asked, LEAST_SECONDS), LONGEST_SECONDS)

    def _reverts(self) -> Sequence[Revert]:
        return self._subject.snapshot().reverts[:MAXIMUM_REVERTS]

    def _failed(self, error: VoiceFlowError) -> None:
        """Logs it once, and sounds an alarm where somebody has to see to it."""
        if error.reason != self._last_failure:
            self._last_failure = error.reason
            _LOG.warning("the registry takes no report of this pod: %s", error.message)
        if isinstance(error, Forbidden | InvalidInput | Unauthenticated):
            self._alarms.sound(REPORT, error.reason, error.message)

    def _arrived(self) -> None:
        self._last_failure = ""
        self._alarms.clear(REPORT)


def _told_apart(now: Pod, told: Pod) -> bool:
    """Whether a pod has changed so that it is to be told soon; streams come and go all the time."""
    return _steady(now) != _steady(told)


def _steady(pod: Pod) -> Pod:
    generations = tuple(one.model_copy(update={"streams": 0}) for one in pod.generations)
    return pod.model_copy(update={"generations": generations})
