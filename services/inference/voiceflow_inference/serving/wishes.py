"""What is wanted, and what may be gone back to, the best first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from voiceflow.catalog.channels import RevertRules, VersionPin
from voiceflow_inference.serving.policy import to_serve
from voiceflow_inference.serving.state import Snapshot, Wanted


class Wishes:
    """The newest promotion, and those that were served before.

    Args:
        instead: What a source offers in the place of what cannot be served; see `Source.instead`.
    """

    def __init__(self, instead: Callable[[Wanted], Wanted | None]) -> None:
        self._instead = instead
        self._newest: Wanted | None = None
        self._served: list[Wanted] = []

    @property
    def rules(self) -> RevertRules:
        """When a version is left: those of the newest promotion."""
        return RevertRules() if self._newest is None else self._newest.rules

    @property
    def pins(self) -> set[VersionPin]:
        """Primaries that may be gone back to."""
        return {one.rollout.primary for one in self._served}

    def take(self, wanted: Wanted) -> None:
        """It is the newest."""
        self._newest = wanted

    def serve(self, snapshot: Snapshot, in_force: Wanted) -> Wanted:
        """Notes what is in force; returns the promotion that it is of, with all its roles."""
        full = next(one for one in snapshot.wanted if _same(one, in_force))
        self._served = [full, *(one for one in self._served if not _same(one, full))]
        del self._served[_REMEMBERED:]
        return full

    def ranked(self, snapshot: Snapshot) -> list[Wanted]:
        """The newest, then what the source offers instead, then what was served before.

        The source is asked where the pod has rejected the newest.
        """
        if self._newest is None:
            return []
        wanted = [self._newest]
        while to_serve(replace(snapshot, wanted=wanted, in_force=None)) is None:
            other = self._instead(wanted[-1])
            if other is None or any(_same(other, one) for one in wanted):
                break
            wanted.append(other)
        served = [one for one in self._served if not any(_same(one, other) for other in wanted)]
        return [replace(one, rules=self.rules) for one in (*wanted, *served)]


_REMEMBERED: Final = 4
"""Promotions that were served, to go back to."""


def _same(one: Wanted, other: Wanted) -> bool:
    """Whether they are one promotion, whatever of it is in force."""
    return (one.sequence, one.rollout.primary) == (other.sequence, other.rollout.primary)
