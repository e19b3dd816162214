"""The steps of which a rollout is made; each can be taken again where it was taken before."""

from __future__ import annotations

from dataclasses import dataclass

from voiceflow.rollout.state import Colour


@dataclass(frozen=True, slots=True)
class HoldSize:
    """Keeps an autoscaler from making a side smaller than it is to be.

    Attributes:
        colour: The side.
        autoscaler: Its name.
        before: Its minimum as planned from.
        to: Its minimum then.
    """

    colour: Colour
    autoscaler: str
    before: int
    to: int

    def __str__(self) -> str:
        return (
            f"let autoscaler {self.autoscaler} keep {self.to} pods at least"
            f" (minReplicas {self.before} to {self.to})"
        )


@dataclass(frozen=True, slots=True)
class ReleaseSize:
    """Gives an autoscaler back the minimum that it had.

    Attributes:
        colour: The side.
        autoscaler: Its name.
        before: Its minimum, as the rollout raised it.
        to: Its minimum then.
    """

    colour: Colour
    autoscaler: str
    before: int
    to: int

    def __str__(self) -> str:
        return f"give autoscaler {self.autoscaler} its minReplicas of {self.to} back"


@dataclass(frozen=True, slots=True)
class Resize:
    """Changes how many pods a side has.

    Attributes:
        colour: The side.
        before: As planned from.
        to: Then.
        autoscaled: An autoscaler may change it meanwhile, which is no conflict.
    """

    colour: Colour
    before: int
    to: int
    autoscaled: bool = False

    def __str__(self) -> str:
        return f"scale {self.colour} from {self.before} to {self.to} pods"


@dataclass(frozen=True, slots=True)
class TakeIntoService:
    """Lets the pods of a side that drain take streams again."""

    colour: Colour

    def __str__(self) -> str:
        return f"take {self.colour}'s pods into service (drain --undo)"


@dataclass(frozen=True, slots=True)
class AwaitServing:
    """Waits for pods that are ready and serve what their channel wants.

    Attributes:
        colour: The side.
        pods: How many.
    """

    colour: Colour
    pods: int

    def __str__(self) -> str:
        return (
            f"wait until {self.pods} pods of {self.colour} are ready and serve what their"
            " channel wants"
        )


@dataclass(frozen=True, slots=True)
class Select:
    """Points the Service elsewhere: the switch.

    Attributes:
        service: Its name.
        before: The side as planned from; None: both.
        to: The side then; None: both.
    """

    service: str
    before: Colour | None
    to: Colour | None

    def __str__(self) -> str:
        before, to = (one or "blue and green" for one in (self.before, self.to))
        return f"point Service {self.service} from {before} to {to}"


@dataclass(frozen=True, slots=True)
class Settle:
    """Gives load balancers time to hear of the switch.

    Attributes:
        seconds: How long.
    """

    seconds: float

    def __str__(self) -> str:
        return f"wait {self.seconds:g} s, for load balancers to follow"


@dataclass(frozen=True, slots=True)
class Drain:
    """Tells the pods of a side to take no new streams and to close their connections.

    Attributes:
        colour: The side.
        deadline_seconds: From then until live streams are told to go; None: they go on to their
            end.
    """

    colour: Colour
    deadline_seconds: float | None

    def __str__(self) -> str:
        live = "live streams go on to their end"
        if self.deadline_seconds is not None:
            live = f"live streams are told to go after {self.deadline_seconds:g} s"
        return f"tell {self.colour}'s pods to drain; {live}"


@dataclass(frozen=True, slots=True)
class AwaitEmpty:
    """Waits until a side has neither live streams nor recordings."""

    colour: Colour

    def __str__(self) -> str:
        return f"wait until {self.colour} has no live streams"


@dataclass(frozen=True, slots=True)
class Forget:
    """Removes the note from the Service that a side was left and may have callers.

    Attributes:
        service: Its name.
        colour: The side.
    """

    service: str
    colour: Colour

    def __str__(self) -> str:
        return f"note on Service {self.service} that {self.colour} was left behind empty"


Step = (
    HoldSize
    | ReleaseSize
    | Resize
    | TakeIntoService
    | AwaitServing
    | Select
    | Settle
    | Drain
    | AwaitEmpty
    | Forget
)
