"""When a fleet has converged, and what is said where it has not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from voiceflow.catalog.channels import Promotion, PromotionKind, Role, Rollout, VersionPin
from voiceflow.catalog.pods import Cause, Pod, Revert
from voiceflow.cli.fleet_state import Standing, Verdict, fleet
from voiceflow.errors import VoiceFlowError

CHANNEL = "models/tones/channels/stable"
START = datetime(2026, 1, 1, tzinfo=UTC)
PIN = VersionPin(version="models/tones/versions/1.1.0", manifest_digest="sha256:0")
NEWEST = Promotion(
    name=f"{CHANNEL}/promotions/5",
    sequence=5,
    kind=PromotionKind.PROMOTE,
    rollout=Rollout(primary=PIN),
    principal="",
    commit_time=START,
    statement=b"",
    etag="e",
)


def pod(name: str, serving: int = 5, **fields: Any) -> Pod:
    """A server that has reported."""
    return Pod(
        name=f"pods/{name}",
        channel=CHANNEL,
        desired_sequence=5,
        serving_sequence=serving,
        start_time=START,
        **fields,
    )


def revert(name: str, **fields: Any) -> Revert:
    """It has left a version, a minute after its start."""
    defaults: dict[str, Any] = {
        "name": f"{CHANNEL}/reverts/{name}",
        "pod": f"pods/{name}",
        "sequence": 5,
        "from_version": PIN,
        "role": Role.CANARY,
        "cause": Cause.NON_FINITE,
        "seen": "3 hops",
        "allowed": "0 hops",
        "revert_time": START + timedelta(minutes=1),
    }
    return Revert(**defaults | fields)


LOST = pod("lost", serving=2, lost=True)


@pytest.mark.parametrize(
    ("pods", "reverts", "verdict", "standings"),
    [
        ([], [], Verdict.UNDER_WAY, []),
        ([LOST], [], Verdict.UNDER_WAY, [Standing.LOST]),
        ([pod("a")], [], Verdict.CONVERGED, [Standing.CONVERGED]),
        ([pod("a"), LOST], [], Verdict.CONVERGED, [Standing.CONVERGED, Standing.LOST]),
        ([pod("a"), pod("b", 4)], [], Verdict.UNDER_WAY, [Standing.CONVERGED, Standing.UNDER_WAY]),
        ([pod("a", 6)], [], Verdict.CONVERGED, [Standing.CONVERGED]),
        ([pod("a", draining=True)], [], Verdict.CONVERGED, [Standing.CONVERGED]),
        ([pod("a", 4)], [revert("a")], Verdict.REVERTED, [Standing.REVERTED]),
        ([pod("a")], [revert("a")], Verdict.REVERTED, [Standing.REVERTED]),
        ([pod("a"), pod("b", 4)], [revert("a")], Verdict.REVERTED, None),
        ([pod("a"), LOST], [revert("lost")], Verdict.CONVERGED, None),
        ([pod("a")], [revert("a", sequence=4)], Verdict.CONVERGED, [Standing.CONVERGED]),
        ([pod("a")], [revert("b")], Verdict.CONVERGED, [Standing.CONVERGED]),
        (
            [pod("a")],
            [revert("a", revert_time=START - timedelta(minutes=1))],
            Verdict.CONVERGED,
            [Standing.CONVERGED],
        ),
    ],
)
def test_a_fleet_has_converged_when_all_that_are_there_serve_the_newest(
    pods: list[Pod], reverts: list[Revert], verdict: Verdict, standings: list[Standing] | None
) -> None:
    """Lost ones do not count; reverts before a start, or of other promotions, are past."""
    found = fleet(NEWEST, pods, reverts)
    assert found.verdict is verdict
    if standings is not None:
        assert [member.standing for member in found.members] == standings
    assert (found.reasons() == []) is (verdict is Verdict.CONVERGED)


def test_who_waits_ends_with_convergence() -> None:
    """An automatic rollback that came meanwhile is no success; one from before is what there is."""
    rolled_back = NEWEST.model_copy(
        update={"kind": PromotionKind.AUTOMATIC_ROLLBACK, "rollback_to_sequence": 3}
    )
    assert fleet(NEWEST, [pod("a")], []).has_ended(5)
    assert fleet(NEWEST, [pod("a")], []).has_ended(4)
    assert fleet(rolled_back, [pod("a")], []).has_ended(5)
    assert not fleet(NEWEST, [pod("a", 4)], []).has_ended(5)
    with pytest.raises(VoiceFlowError, match="gone back to 3, as 5") as caught:
        fleet(rolled_back, [pod("a")], []).has_ended(4)
    assert caught.value.reason == "ROLLED_BACK"
    with pytest.raises(VoiceFlowError, match="a has left") as caught:
        fleet(NEWEST, [pod("a"), pod("b")], [revert("a")]).has_ended(5)
    assert caught.value.reason == "REVERTED"


def test_reasons_name_the_server_and_what_it_saw() -> None:
    """A line for each that has not converged."""
    found = fleet(NEWEST, [pod("c", 4), pod("b"), pod("a", 4), LOST], [revert("a")])
    assert found.reasons() == [
        "a has left 1.1.0 (canary): non finite, 3 hops; allowed is 0 hops",
        "c serves 4 of 5",
    ]
    assert fleet(NEWEST, [LOST], []).reasons() == ["no server follows the channel"]
