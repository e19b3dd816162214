"""Looks at the loaded generations: which breaks a rule by now, and which does not come back."""

from __future__ import annotations

from voiceflow.catalog.channels import RevertRules, Role
from voiceflow_inference.serving.judge import Breach
from voiceflow_inference.serving.roster import Roster
from voiceflow_inference.serving.seams import Judges
from voiceflow_inference.serving.state import GenerationView, Snapshot


class Inspector:
    """Has each generation judged by what it has done so far.

    Args:
        judge: Knows the rules' meaning.
        roster: Of what is loaded.
    """

    def __init__(self, judge: Judges, roster: Roster) -> None:
        self._judge = judge
        self._roster = roster

    def breach(self, snapshot: Snapshot, view: GenerationView, rules: RevertRules) -> Breach | None:
        """The rule that a generation breaks; a canary is judged beside the primary.

        Only what has a role is judged, which what is dead has not, and what was rejected once is
        not judged again.
        """
        generation = self._roster.get(view.number)
        rejected = any(failure.number == view.number for failure in snapshot.failures)
        if generation is None or rejected or not view.assigned:
            return None
        canary = view.role is Role.CANARY
        primary = self._roster.serving(snapshot, Role.PRIMARY) if canary else None
        base = None if primary is None else primary.tally.evidence()
        return self._judge.look(rules, generation.tally.evidence(), base)

    def hangs(self, view: GenerationView) -> bool:
        """Whether a generation's engine does not come back, and is not known to be dead."""
        generation = self._roster.get(view.number)
        return generation is not None and not view.dead and generation.tally.evidence().hung
