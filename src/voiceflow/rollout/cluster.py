"""What a rollout needs of a cluster and of the pods in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from voiceflow.rollout.state import Autoscaler, Selection, Serving, Situation

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Seen(Generic[_Value]):
    """A part of an object, and which state of the object it was read from.

    Attributes:
        value: What was read.
        resource_version: A write that names it is refused once the object has changed.
    """

    value: _Value
    resource_version: str


class Cluster(Protocol):
    """The objects of a rollout; every method raises a `VoiceFlowError` where it is not done.

    A write is refused with `Conflict` where the object is not in the state that was seen. With
    `dry_run` the API server checks it as it would any other, and keeps nothing of it.
    """

    async def look(self) -> Situation:
        """All that stands, without what pods say of themselves."""

    async def replicas(self, deployment: str) -> Seen[int]:
        """How many pods a Deployment is to have."""

    async def set_replicas(
        self, deployment: str, replicas: int, resource_version: str, *, dry_run: bool
    ) -> None:
        """Says how many it is to have."""

    async def autoscaler(self, name: str) -> Seen[Autoscaler]:
        """An autoscaler's bounds."""

    async def set_autoscaler(
        self, autoscaler: Autoscaler, resource_version: str, *, dry_run: bool
    ) -> None:
        """Sets its minimum, and the minimum that it is to have back."""

    async def selection(self) -> Seen[Selection]:
        """What the Service selects."""

    async def select(self, selection: Selection, resource_version: str, *, dry_run: bool) -> None:
        """Lets it select something else: the colour, and the note of what was left."""


class Pods(Protocol):
    """The pods themselves; every method raises a `VoiceFlowError` that names the pod."""

    async def ask(self, pod: str) -> Serving:
        """What it says of itself."""

    async def set_draining(
        self, pod: str, *, draining: bool, deadline_seconds: float | None = None
    ) -> None:
        """Takes it out of service, or back."""
