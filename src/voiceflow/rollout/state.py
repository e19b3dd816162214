"""What stands in a cluster: which colour the Service selects, and how both sides are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

COLOUR_LABEL: Final = "voiceflow.dev/colour"
"""Of pods, and in the Service's selector: the switch."""


class Colour(StrEnum):
    """A side: one Deployment."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Colour:
        """The opposite side."""
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


@dataclass(frozen=True, slots=True)
class Serving:
    """What a pod says of itself.

    Attributes:
        streams: Live ones.
        files: Recordings.
        draining: It takes no new streams.
        versions: Of the models that it serves; empty: none yet.
        desired_sequence: The newest promotion of its channel that it has seen; 0: no registry.
        serving_sequence: The one that it serves.
        refusals: Streams refused since its start.
        real_time_factor: Model time per audio time of all streams; 1 is saturation.
        software: Its version.
        started_at: Wall time, UTC; another one: another process.
    """

    streams: int = 0
    files: int = 0
    draining: bool = False
    versions: tuple[str, ...] = ()
    desired_sequence: int = 0
    serving_sequence: int = 0
    refusals: int = 0
    real_time_factor: float = 0.0
    software: str = ""
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a side.

    Attributes:
        name: Its name.
        ready: As Kubernetes sees it.
        started: Its process has come so far that it can answer.
        ending: It was told to end.
        remark: What keeps it from being ready, as Kubernetes says it.
        serving: What it says of itself; None: it was not asked, or did not answer.
        silence: Why it did not answer.
    """

    name: str
    ready: bool = True
    started: bool = True
    ending: bool = False
    remark: str = ""
    serving: Serving | None = None
    silence: str = ""

    @property
    def draining(self) -> bool:
        """Whether it says that it takes no new streams."""
        return self.serving is not None and self.serving.draining


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """What scales a side by its load (HorizontalPodAutoscaler).

    Attributes:
        name: Its name.
        minimum: Pods at least.
        maximum: Pods at most.
        minimum_before: What the minimum was before a rollout raised it; None: none has.
    """

    name: str
    minimum: int
    maximum: int
    minimum_before: int | None = None

    @property
    def standing(self) -> int:
        """Pods at least, when no rollout is under way."""
        return self.minimum if self.minimum_before is None else self.minimum_before


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two Deployments, and its pods.

    Attributes:
        colour: Which.
        deployment: Its name.
        replicas: Pods that are asked for.
        rolled_out: Every pod is of the newest template.
        labels: Of the pods that it makes.
        image: Of the container that serves.
        pods: By name.
        autoscaler: None: nothing scales it but people.
    """

    colour: Colour
    deployment: str
    replicas: int
    rolled_out: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    pods: tuple[Pod, ...] = ()
    autoscaler: Autoscaler | None = None

    @property
    def staying(self) -> tuple[Pod, ...]:
        """Pods that were not told to end."""
        return tuple(pod for pod in self.pods if not pod.ending)

    @property
    def streams(self) -> int:
        """Live streams and recordings on all pods that answered."""
        return sum(
            pod.serving.streams + pod.serving.files for pod in self.pods if pod.serving is not None
        )

    @property
    def draining(self) -> bool:
        """Whether any pod takes no new streams and is to stay."""
        return any(pod.draining for pod in self.staying)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a Service sends new connections to.

    Attributes:
        colour: The side; None: both.
        labels: That it asks for besides.
        left: The side that it was pointed away from, and that has not been seen empty since.
    """

    colour: Colour | None
    labels: Mapping[str, str]
    left: Colour | None = None

    @property
    def words(self) -> str:
        """For people."""
        return "blue and green" if self.colour is None else str(self.colour)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a plan is made from.

    Attributes:
        namespace: Of everything.
        service: Its name.
        selection: What it selects.
        blue: One side.
        green: The other.
    """

    namespace: str
    service: str
    selection: Selection
    blue: Side
    green: Side

    def side(self, colour: Colour) -> Side:
        """One of the two."""
        return self.blue if colour is Colour.BLUE else self.green
