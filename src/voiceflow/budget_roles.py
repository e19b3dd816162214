"""Which role each version had when, out of recorded spans of swaps. Pure.

A pod says with each swap what the promotion in force names, and since which promotion each role is
as it is. Pods of one channel tell of one history, each of a part; put together, that is who had
which role from which promotion to which. What is served from a folder has no promotions: there,
each process has a history of its own, by its clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from voiceflow.budget import Change, Period
from voiceflow.otlp_json import Span

SWAP: Final = "voiceflow.model.swap"


class Roles:
    """The roles of versions over time.

    Args:
        swaps: Spans of that name, each once.
    """

    def __init__(self, swaps: Iterable[Span]) -> None:
        self._swaps: dict[str, list[_Swap]] = {}
        for span in sorted(swaps, key=lambda span: span.start_ns):
            mine = self._swaps.setdefault(span.process, [])
            mine.append(_swap(span, len(mine) + 1))
        by_channel: dict[str, list[_Swap]] = {}
        for mine in self._swaps.values():
            for swap in mine:
                by_channel.setdefault(swap.channel, []).append(swap)
        self._runs = {
            (channel, role): _runs(role, swaps)
            for channel, swaps in by_channel.items()
            for role in _ROLES
        }

    def period(self, process: str, version: str, at_ns: int) -> Period | None:
        """The period of a version that a hop was computed in.

        A stream may stay on a version that has lost its role: that counts as the period before.

        Args:
            process: That computed it.
            version: On which.
            at_ns: When.
        """
        swaps = self._swaps.get(process, [])
        before = [swap for swap in swaps if swap.at_ns <= at_ns]
        for swap in reversed(before):
            if (period := self._of(swap, version)) is not None:
                return period
        for swap in swaps[len(before) :]:  # the file begins later than the process
            period = self._of(swap, version)
            if period is not None and period.since.at.timestamp() * 1e9 <= at_ns:
                return period
        return None

    def _of(self, swap: _Swap, version: str) -> Period | None:
        for role, given in swap.roles.items():
            if given.version == version:
                for run in self._runs[swap.channel, role]:
                    if run.version == version and run.first <= swap.sequence <= run.last:
                        return run.period
        return None


@dataclass(frozen=True, slots=True)
class _Given:
    """A role: to which version, and since which promotion, as far as the pod knew."""

    version: str
    first: int
    since: Change
    or_earlier: bool


@dataclass(frozen=True, slots=True)
class _Swap:
    channel: str
    sequence: int
    at_ns: int
    change: Change
    roles: Mapping[str, _Given]


@dataclass(frozen=True, slots=True)
class _Run:
    """Promotions in a row that give a role to one version, or to none."""

    version: str
    first: int
    last: int
    since: Change
    or_earlier: bool
    period: Period | None = None


def _swap(span: Span, number: int) -> _Swap:
    told = span.attributes
    committed = _time(told.get("voiceflow.promotion.commit_time"))
    if committed is None:
        change = Change(0, "", datetime.fromtimestamp(span.start_ns / 1e9, UTC))
        channel, sequence = f"process {span.process}", number
    else:
        sequence = int(told.get("voiceflow.promotion.sequence", 0))
        change = Change(sequence, str(told.get("voiceflow.promotion.kind", "")), committed)
        channel = str(told.get("voiceflow.channel", ""))
    roles = {}
    for role in _ROLES:
        version = told.get(f"voiceflow.{role}.version")
        if role == "primary" and version is None:
            version = told.get("voiceflow.model.version", "")
        if version is not None:
            roles[role] = _given(role, str(version), told, sequence, change)
    return _Swap(channel, sequence, span.start_ns, change, roles)


def _given(
    role: str, version: str, told: Mapping[str, Any], sequence: int, change: Change
) -> _Given:
    name = f"voiceflow.{role}.since"
    at = _time(told.get(f"{name}.commit_time"))
    if at is None:
        return _Given(version, sequence, change, or_earlier=change.promotion != 1)
    first = int(told.get(f"{name}.sequence", sequence))
    since = Change(first, str(told.get(f"{name}.kind", "")), at)
    return _Given(version, first, since, bool(told.get(f"{name}.or_earlier", False)))


def _runs(role: str, swaps: Sequence[_Swap]) -> list[_Run]:
    """The history of a role, the oldest first."""
    parts = []
    for swap in swaps:
        given = swap.roles.get(role)
        if given is None:
            parts.append(_Run("", swap.sequence, swap.sequence, swap.change, or_earlier=True))
        else:
            since, or_earlier = given.since, given.or_earlier
            parts.append(_Run(given.version, given.first, swap.sequence, since, or_earlier))
    runs: list[_Run] = []
    for part in sorted(parts, key=lambda part: (part.first, part.or_earlier, part.last)):
        if runs and part.version == runs[-1].version and part.first <= runs[-1].last + 1:
            runs[-1] = replace(runs[-1], last=max(runs[-1].last, part.last))
        else:
            follows = bool(runs) and part.first == runs[-1].last + 1
            runs.append(replace(part, or_earlier=part.or_earlier and not follows))
    ends = [*(run.since for run in runs[1:]), None]
    return [
        replace(run, period=Period(role, run.since, run.or_earlier, end)) if run.version else run
        for run, end in zip(runs, ends, strict=True)
    ]


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else None


_ROLES: Final = ("primary", "canary", "shadow")
