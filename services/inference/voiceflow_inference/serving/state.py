"""What a pod should serve and what it does serve, at one moment: values, without any behaviour.

A generation is one loaded version. It passes through the states of `GenerationState`, only by the
moves that stand here:

    DOWNLOADING ─▶ LOADING ─▶ WARMING ─▶ ACTIVE ◀─▶ DRAINING
         └────────────┴──────────┴─────────┴───────────┴─▶ FAILED

What is drained is what has no role any more, and may still have streams. At most
`MAXIMUM_ACTIVE` are active and `MAXIMUM_DRAINING` drain: a version whose role has ended while
another still drains stays active, without new streams, until that one is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import RevertRules, Role, Rollout, VersionPin
from voiceflow.catalog.pods import GenerationState, Revert
from voiceflow_inference.serving.since import Promoted, Since

MAXIMUM_ACTIVE: Final = 3
"""A primary, a canary and a shadow."""

MAXIMUM_DRAINING: Final = 1

MAXIMUM_LOADED: Final = MAXIMUM_ACTIVE + MAXIMUM_DRAINING
"""With what is being loaded: over it, a promotion waits."""

_S = GenerationState

MOVES: Final[Mapping[GenerationState, frozenset[GenerationState]]] = {
    _S.DOWNLOADING: frozenset({_S.LOADING, _S.FAILED}),
    _S.LOADING: frozenset({_S.WARMING, _S.FAILED}),
    _S.WARMING: frozenset({_S.ACTIVE, _S.FAILED}),
    _S.ACTIVE: frozenset({_S.DRAINING, _S.FAILED}),
    _S.DRAINING: frozenset({_S.ACTIVE, _S.FAILED}),
    _S.FAILED: frozenset(),
}
"""Where each state leads; without role and streams, a generation may be dropped from any."""


def check_move(old: GenerationState, new: GenerationState) -> None:
    """Refuses what is no move.

    Raises:
        ValueError: There is none from the one to the other.
    """
    if new not in MOVES[old]:
        raise ValueError(f"a generation that is {old.value} cannot become {new.value}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod should serve.

    Attributes:
        sequence: Of the promotion; of a folder, how often what is wanted of it has changed.
        rollout: Which versions, to whom.
        rules: When the pod leaves one of its own accord.
        trace_parent: Where the promotion's trace goes on; empty: nowhere.
        promoted: What else is told of the promotion; None: it is a folder's.
    """

    sequence: int
    rollout: Rollout
    rules: RevertRules = field(default_factory=RevertRules)
    trace_parent: str = field(default="", compare=False)
    promoted: Promoted | None = field(default=None, compare=False)

    def since(self, role: Role) -> Since | None:
        """Since when that role is as it is; None: that is not known of a folder."""
        return None if self.promoted is None else self.promoted.since.get(role)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that this pod could not take, or has left.

    Attributes:
        number: Of the generation.
        sequence: Of the promotion that wanted it. A newer one is tried anew.
        pin: Which.
        role: What it was, or was to be.
        reason: Of the error; of a breach, its cause in capitals.
        message: For people.
        retry_seconds: When it is fetched again, by the manager's clock; None: never, the version
            is rejected.
    """

    number: int
    sequence: int
    pin: VersionPin
    role: Role
    reason: str
    message: str
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GenerationView:
    """One generation as it is now.

    Attributes:
        number: Of this process, from 1.
        pin: Which version.
        state: Where it stands.
        role: That it has, or is to have, or had last.
        assigned: Whether it has that role now.
        percentage: Of new streams, for a canary; of the primary's, for a shadow; else 0.
        ready: Loaded, warm and verified, whatever its state.
        dead: Its engine does not come back: nothing can be computed on it any more.
        streams: Pinned to it.
        leaving: How many of these have been asked to leave.
        arriving: Streams that have been asked to move here, and have not yet.
        left_seconds: When it lost its role, by the manager's clock; None: it has one, or had none.
        reason: Why it failed; else empty.
        message: Likewise, for people.
        model_digest: Of the model file; empty until it is loaded.
        contract: That it satisfies; likewise.
        since: Since when it has its role, or had it last; None: a folder does not say.
    """

    number: int
    pin: VersionPin
    state: GenerationState
    role: Role
    assigned: bool = False
    percentage: float = 0.0
    ready: bool = False
    dead: bool = False
    streams: int = 0
    leaving: int = 0
    arriving: int = 0
    left_seconds: float | None = None
    reason: str = ""
    message: str = ""
    model_digest: Digest = ""
    contract: str = ""
    since: Since | None = None

    def failed(
        self, sequence: int, reason: str, message: str, retry_seconds: float | None = None
    ) -> Failure:
        """The failure of this generation, under a promotion."""
        return Failure(self.number, sequence, self.pin, self.role, reason, message, retry_seconds)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pod at one moment.

    Attributes:
        now_seconds: By the manager's clock.
        wanted: What should be served, and then what to go back to if that cannot be, the best
            first.
        in_force: What is served, without the roles that no generation has.
        generations: Every one, in the order in which they were begun.
        failures: Versions that could not be taken or were left; the newest last.
        fallback: The generation that was primary before; None: it is not loaded any more.
        desired_sequence: The newest promotion seen; 0: none.
        serving_sequence: The one that is served as it stands; 0: none.
        draining: The server takes no new streams.
        stopping: It loads nothing any more, because the process ends.
        moves: Streams moved since the start, by how.
        reverts: That the registry has not acknowledged yet, the oldest first.
    """

    now_seconds: float
    wanted: Sequence[Wanted] = ()
    in_force: Wanted | None = None
    generations: Sequence[GenerationView] = ()
    failures: Sequence[Failure] = ()
    fallback: int | None = None
    desired_sequence: int = 0
    serving_sequence: int = 0
    draining: bool = False
    stopping: bool = False
    moves: Mapping[str, int] = field(default_factory=dict)
    reverts: Sequence[Revert] = ()

    def assigned(self) -> dict[Role, GenerationView]:
        """The generations that have roles, by role."""
        return {view.role: view for view in self.generations if view.assigned}

    def shown(self) -> list[GenerationView]:
        """Every generation, and every version that could not be taken, for people."""
        known = {view.number for view in self.generations}
        failed = [
            GenerationView(
                failure.number,
                failure.pin,
                GenerationState.FAILED,
                failure.role,
                reason=failure.reason,
                message=failure.message,
            )
            for failure in self.failures
            if failure.number not in known
        ]
        return sorted([*self.generations, *failed], key=lambda view: view.number)
