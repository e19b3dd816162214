"""Whether the servers that follow a channel serve what it says: pure rules.

A server counts until it is lost. It has converged when it serves the channel's newest promotion.
One that could not hold a part of it has reverted, and does not try again before it is started anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from voiceflow.catalog.channels import Promotion, PromotionKind
from voiceflow.catalog.pods import Pod, Revert
from voiceflow.errors import VoiceFlowError


class Standing(StrEnum):
    """How far a server has come."""

    CONVERGED = "converged"
    UNDER_WAY = "under way"
    REVERTED = "reverted"
    LOST = "lost"


class Verdict(StrEnum):
    """How far all of them have come."""

    CONVERGED = "converged"
    UNDER_WAY = "under way"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class Member:
    """One server.

    Attributes:
        pod: What it said last.
        standing: How far it has come.
        revert: Why it does not serve the newest promotion; None: it does, or may yet.
    """

    pod: Pod
    standing: Standing
    revert: Revert | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The servers of a channel.

    Attributes:
        newest: What all of them should serve.
        members: By name.
        verdict: How far they have come together.
    """

    newest: Promotion
    members: tuple[Member, ...]
    verdict: Verdict

    def reasons(self) -> list[str]:
        """What keeps it from having converged, a line each; empty: nothing does."""
        if not any(member.standing is not Standing.LOST for member in self.members):
            return ["no server follows the channel"]
        return [
            _reason(member, self.newest.sequence)
            for member in self.members
            if member.standing in {Standing.UNDER_WAY, Standing.REVERTED}
        ]

    def has_ended(self, began_with: int) -> bool:
        """Whether who waits for it has nothing more to wait for: all have converged.

        Args:
            began_with: The sequence that was the newest when the waiting began.

        Raises:
            VoiceFlowError: REVERTED, ROLLED_BACK: what was waited for will not come.
        """
        newest = self.newest
        if newest.sequence > began_with and newest.kind is PromotionKind.AUTOMATIC_ROLLBACK:
            raise VoiceFlowError(
                f"the registry has gone back to {newest.rollback_to_sequence}, as"
                f" {newest.sequence}: {newest.reason or 'too many servers have reverted'}",
                reason="ROLLED_BACK",
            )
        if self.verdict is Verdict.REVERTED:
            raise VoiceFlowError("; ".join(self.reasons()), reason="REVERTED")
        return self.verdict is Verdict.CONVERGED


def fleet(newest: Promotion, pods: Sequence[Pod], reverts: Sequence[Revert]) -> Fleet:
    """Judges what the registry tells.

    Args:
        newest: The channel's newest promotion.
        pods: That follow the channel, the lost ones too.
        reverts: That they have reported, of any promotion.
    """
    members = tuple(
        _member(pod, newest.sequence, reverts) for pod in sorted(pods, key=lambda pod: pod.name)
    )
    standings = {member.standing for member in members} - {Standing.LOST}
    if Standing.REVERTED in standings:
        verdict = Verdict.REVERTED
    elif standings == {Standing.CONVERGED}:
        verdict = Verdict.CONVERGED
    else:
        verdict = Verdict.UNDER_WAY
    return Fleet(newest, members, verdict)


def _member(pod: Pod, sequence: int, reverts: Sequence[Revert]) -> Member:
    if pod.lost:
        return Member(pod, Standing.LOST)
    for revert in reverts:
        of_this = revert.pod == pod.name and revert.sequence == sequence
        if of_this and revert.revert_time >= pod.start_time:
            return Member(pod, Standing.REVERTED, revert)
    if pod.serving_sequence >= sequence:
        return Member(pod, Standing.CONVERGED)
    return Member(pod, Standing.UNDER_WAY)


def _reason(member: Member, sequence: int) -> str:
    name = member.pod.name.removeprefix("pods/")
    if member.revert is not None:
        one = member.revert
        version = one.from_version.version.rpartition("/")[2]
        return (
            f"{name} has left {version} ({one.role.value}): {one.cause.value.replace('_', ' ')},"
            f" {one.seen or 'seen'}; allowed is {one.allowed or 'nothing of it'}"
        )
    return f"{name} serves {member.pod.serving_sequence} of {sequence}"
