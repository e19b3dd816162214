"""Who had which role when is put together from what pods have told with their swaps."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from voiceflow.budget import Change, Period
from voiceflow.budget_roles import SWAP, Roles
from voiceflow.otlp_json import Span

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_NS = round(NOON.timestamp()) * 10**9
MINUTE_NS = 60 * 10**9
STABLE = "models/m/channels/stable"
HISTORY: dict[int, tuple[str, dict[str, str]]] = {
    1: ("promote", {"primary": "1.0.0"}),
    2: ("promote", {"primary": "1.1.0"}),
    3: ("rollback", {"primary": "1.0.0"}),
    4: ("promote", {"primary": "1.0.0", "canary": "1.1.0"}),
    5: ("promote", {"primary": "1.0.0", "canary": "1.1.0", "shadow": "1.2.0"}),
    6: ("promote", {"primary": "1.1.0"}),
}
"""Each promotion is committed as many minutes after noon."""
_IDS = itertools.count(1)


def name(version: str) -> str:
    """In full."""
    return f"models/m/versions/{version}"


def at(minutes: float) -> int:
    """After noon."""
    return NOON_NS + round(minutes * MINUTE_NS)


def change(sequence: int) -> Change:
    """What a promotion of the history is shown as."""
    return Change(sequence, HISTORY[sequence][0], NOON + timedelta(minutes=sequence))


def swap(minutes: float, sequence: int, process: str = "a", **since: tuple[int, bool]) -> Span:
    """A pod's; `since` says of a role since when, and whether it may have been earlier."""
    kind, roles = HISTORY[sequence]
    told: dict[str, Any] = {
        "voiceflow.channel": STABLE,
        "voiceflow.promotion.sequence": sequence,
        "voiceflow.promotion.kind": kind,
        "voiceflow.promotion.commit_time": change(sequence).at.isoformat(),
    }
    for role, version in roles.items():
        told[f"voiceflow.{role}.version"] = name(version)
    for role, (first, or_earlier) in since.items():
        told[f"voiceflow.{role}.since.sequence"] = first
        told[f"voiceflow.{role}.since.kind"] = change(first).kind
        told[f"voiceflow.{role}.since.commit_time"] = change(first).at.isoformat()
        told[f"voiceflow.{role}.since.or_earlier"] = or_earlier
    return span(minutes, process, told)


def span(minutes: float, process: str, told: dict[str, Any]) -> Span:
    """Of a swap."""
    identifier = f"{next(_IDS):016x}"
    return Span(process, SWAP, "", identifier, "", at(minutes), at(minutes) + 1, told)


def test_a_rollback_ends_a_period_and_begins_another() -> None:
    """What is gone back to is primary since the rollback, not since it first was."""
    roles = Roles([swap(n + 0.1, n) for n in (1, 2, 3)])
    assert roles.period("a", name("1.0.0"), at(1.5)) == Period(
        "primary", change(1), until=change(2)
    )
    left = Period("primary", change(2), until=change(3))
    assert roles.period("a", name("1.1.0"), at(2.5)) == left
    assert roles.period("a", name("1.0.0"), at(3.5)) == Period("primary", change(3))


def test_a_stream_that_stays_on_a_version_counts_as_the_period_before() -> None:
    """It came while the version had the role."""
    roles = Roles([swap(n + 0.1, n) for n in (1, 2, 3)])
    left = Period("primary", change(2), until=change(3))
    assert roles.period("a", name("1.1.0"), at(30)) == left


def test_a_canary_has_its_own_period_and_the_primary_keeps_its_own() -> None:
    """Other promotions of the primary's time do not begin it anew."""
    roles = Roles([swap(n + 0.1, n) for n in (2, 3, 4, 5, 6)])
    assert roles.period("a", name("1.0.0"), at(5.5)) == Period(
        "primary", change(3), until=change(6)
    )
    assert roles.period("a", name("1.1.0"), at(5.5)) == Period("canary", change(4), until=change(6))
    assert roles.period("a", name("1.2.0"), at(5.5)) == Period("shadow", change(5), until=change(6))
    assert roles.period("a", name("1.1.0"), at(6.5)) == Period("primary", change(6))


def test_a_pod_that_was_restarted_knows_since_when() -> None:
    """It says so with its first swap, however much later that is."""
    roles = Roles([swap(9, 4, primary=(3, False), canary=(4, False))])
    assert roles.period("a", name("1.0.0"), at(10)) == Period("primary", change(3))
    assert roles.period("a", name("1.1.0"), at(10)) == Period("canary", change(4))


def test_what_a_pod_does_not_know_is_at_least() -> None:
    """It started without the registry, or an older one tells nothing."""
    least = Period("primary", change(4), or_earlier=True)
    for told in (swap(9, 4, primary=(4, True)), swap(9, 4)):
        assert Roles([told]).period("a", name("1.0.0"), at(10)) == least


def test_pods_of_one_channel_complete_each_other() -> None:
    """One was restarted, another has seen what was before."""
    roles = Roles([swap(2.1, 2, "b"), swap(3.1, 3, "b"), swap(4.1, 4, "b"), swap(9, 4, "a")])
    assert roles.period("a", name("1.0.0"), at(10)) == Period("primary", change(3))
    assert roles.period("a", name("1.1.0"), at(10)) == Period("canary", change(4))


def test_a_period_ends_though_the_pod_was_away_meanwhile() -> None:
    """It was stopped under one promotion, and started under the next."""
    roles = Roles([swap(2.1, 2), swap(9, 3, primary=(3, False))])
    left = Period("primary", change(2), or_earlier=True, until=change(3))
    assert roles.period("a", name("1.1.0"), at(2.5)) == left


def test_what_was_promoted_unseen_is_not_guessed() -> None:
    """The version may have been left in between."""
    roles = Roles([swap(2.1, 2), swap(6.1, 6)])
    found = roles.period("a", name("1.1.0"), at(7))
    assert found == Period("primary", change(6), or_earlier=True)


def test_channels_have_histories_of_their_own() -> None:
    """Their promotions are numbered alike."""
    edge = swap(1, 2, "b")
    edge = span(1, "b", {**edge.attributes, "voiceflow.channel": "models/m/channels/edge"})
    roles = Roles([swap(3.1, 3), edge])
    found = roles.period("b", name("1.1.0"), at(10))
    assert found == Period("primary", change(2), or_earlier=True)


def test_a_hop_before_the_first_swap_of_a_file_is_known_by_what_the_swap_says() -> None:
    """If the version had its role then; else nothing is known."""
    roles = Roles([swap(4.1, 4, primary=(3, False), canary=(4, False))])
    assert roles.period("a", name("1.0.0"), at(3.5)) == Period("primary", change(3))
    assert roles.period("a", name("1.0.0"), at(2.5)) is None
    assert roles.period("a", name("1.1.0"), at(3.5)) is None


def test_a_pod_without_swaps_tells_of_no_role() -> None:
    """Nor does a version that no swap names."""
    roles = Roles([swap(3.1, 3)])
    assert roles.period("b", name("1.0.0"), at(10)) is None
    assert roles.period("a", name("9.0.0"), at(10)) is None


def test_a_folder_has_no_promotions() -> None:
    """A period begins when a process has swapped; what was served before it began is not known."""

    def told(version: str) -> dict[str, Any]:
        return {"voiceflow.primary.version": name(version), "voiceflow.promotion.sequence": 1}

    roles = Roles(
        [span(1, "a", told("1.0.0")), span(5, "a", told("1.1.0")), span(1, "b", told("1.2.0"))]
    )

    def since(minutes: float) -> Change:
        return Change(0, "", NOON + timedelta(minutes=minutes))

    assert roles.period("a", name("1.0.0"), at(2)) == Period(
        "primary", since(1), or_earlier=True, until=since(5)
    )
    assert roles.period("a", name("1.1.0"), at(6)) == Period("primary", since(5))


@pytest.mark.parametrize("text", ["", "soon", "2026-11-22T12:00:00", None])
def test_a_time_that_is_none_is_no_promotion(text: str | None) -> None:
    """Whoever wrote the file: it is shown as what no promotion is known of."""
    told = {
        "voiceflow.promotion.sequence": 7,
        "voiceflow.promotion.commit_time": text,
        "voiceflow.primary.version": name("1.0.0"),
    }
    found = Roles([span(1, "a", told)]).period("a", name("1.0.0"), at(2))
    assert found is not None
    assert found.since.promotion == 0
