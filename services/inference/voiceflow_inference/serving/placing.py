"""The seam between streams and the manager of loaded models: who computes a stream, and who next.

A stream is pinned to the generation on which it began. It leaves it between two hops, and only
because the generation must go, because it failed the stream, or because this pod left its version.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from voiceflow.catalog.channels import Role

if TYPE_CHECKING:
    from voiceflow_inference.batcher import ModelFailed
    from voiceflow_inference.serving.generation import Generation


class How(StrEnum):
    """How a stream gets from one generation to another.

    Attributes:
        CARRIED: The model's memory goes along: both have one state space.
        REPLAYED: The last audio is heard again: both have one embedding space.
        TOLD: Not at all: the client is told to go, and resumes.
    """

    CARRIED = "carried"
    REPLAYED = "replayed"
    TOLD = "told"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a new stream goes.

    Attributes:
        generation: That computes it.
        role: For which it was drawn.
        shadow: That hears it beside, answers unseen; None: none does.
    """

    generation: Generation
    role: Role
    shadow: Generation | None = None


class Mover(Protocol):
    """A stream, as the manager sees it."""

    def leave(self, to: Generation | None, how: How) -> None:
        """Asks the stream to leave its generation; returns at once.

        Carried and replayed, it goes on as it was until it has moved, which `Places.repin` tells.
        The last call counts. Told, a live stream gets GoAway and ends in its time; a recording ends
        with UNAVAILABLE.

        Args:
            to: Where to; None: nowhere, the client is told.
            how: As `Places.how` says of the two generations.
        """


class Places(Protocol):
    """Who computes what; called by the event loop alone, never waits."""

    def place(self, session: str, fits: Callable[[Generation], bool] | None = None) -> Place:
        """Where a new stream goes: the same for one session while the rollout stands.

        Args:
            session: Its name.
            fits: Whether the client's choice of a model allows a generation; None: it made none.
                Where the session's own does not fit, another active one that does is given, the
                primary first; where none does, the session's own, for the caller to refuse.

        Raises:
            Unavailable: NOT_READY, nothing is active.
        """

    def pinned(self, place: Place, mover: Mover) -> AbstractContextManager[None]:
        """Counts a stream on its generation while the block runs, or on where it was moved to."""

    def repin(self, mover: Mover, generation: Generation) -> None:
        """A stream has moved: its next hop is computed there."""

    def fallback(self, generation: Generation) -> Generation | None:
        """Where a generation's streams go if it fails them now; None: nowhere."""

    def how(self, old: Generation, new: Generation) -> How:
        """How streams get from one to the other, as this pod has verified."""

    def failed(self, generation: Generation, error: ModelFailed) -> None:
        """A generation has failed a hop of a stream."""
