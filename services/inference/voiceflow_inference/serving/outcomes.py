"""How the versions of a pod fare, and how those fared that it has dropped: then it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import VersionOutcomes
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.roster import Roster
from voiceflow_inference.serving.state import GenerationView
from voiceflow_inference.serving.tally import Tally


class Outcomes:
    """Tells of what is loaded, and keeps the figures of the last few generations that are not.

    Args:
        roster: What is loaded.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._dropped: dict[str, tuple[Role, Tally]] = {}

    def keep(self, view: GenerationView) -> None:
        """A generation is about to be dropped."""
        generation = self._roster.get(view.number)
        if generation is None:
            return
        self._dropped.pop(generation.name, None)
        self._dropped[generation.name] = (view.role, generation.tally)
        for oldest in list(self._dropped)[:-_KEPT_VERSIONS]:
            del self._dropped[oldest]

    def told(self, views: Sequence[GenerationView]) -> list[VersionOutcomes]:
        """By the role that each generation has, or had last.

        Of a version that is loaded again, without what it did before.
        """
        loaded = [
            (generation, view.role)
            for view in views
            if (generation := self._roster.get(view.number)) is not None
        ]
        return [*self._of_dropped({one.name for one, _ in loaded}), *_of_loaded(loaded)]

    def _of_dropped(self, loaded: set[str]) -> list[VersionOutcomes]:
        return [
            tally.outcomes(version, role)
            for version, (role, tally) in self._dropped.items()
            if version not in loaded
        ]


def _of_loaded(loaded: Sequence[tuple[Generation, Role]]) -> list[VersionOutcomes]:
    return [generation.tally.outcomes(generation.name, role) for generation, role in loaded]


_KEPT_VERSIONS: Final = 4
