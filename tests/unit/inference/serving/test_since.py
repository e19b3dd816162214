"""Since which promotion a version has its role is read off the channel's history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from voiceflow.catalog.channels import (
    Canary,
    Promotion,
    PromotionKind,
    Role,
    Rollout,
    VersionPin,
)
from voiceflow_inference.serving.since import Since, is_enough, promoted, roles_since

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CHANNEL = "models/m/channels/stable"


def pin(version: str) -> VersionPin:
    """A version, by its bytes too."""
    return VersionPin(version=f"models/m/versions/{version}", manifest_digest=f"sha256:{version}")


def promotion(sequence: int, primary: str, canary: str = "", percentage: float = 5.0) -> Promotion:
    """Committed as many minutes after noon; the third is a rollback."""
    return Promotion(
        name=f"{CHANNEL}/promotions/{sequence}",
        sequence=sequence,
        kind=PromotionKind.ROLLBACK if sequence == 3 else PromotionKind.PROMOTE,
        rollout=Rollout(
            primary=pin(primary),
            canary=Canary(pin=pin(canary), percentage=percentage) if canary else None,
        ),
        principal="p",
        commit_time=NOON + timedelta(minutes=sequence),
        statement=b"",
        etag="e",
    )


HISTORY = [
    promotion(1, "1.0.0"),
    promotion(2, "1.1.0"),
    promotion(3, "1.0.0"),
    promotion(4, "1.0.0", "1.1.0"),
    promotion(5, "1.0.0", "1.1.0", 25.0),
]


def since(sequence: int, *, or_earlier: bool = False) -> Since:
    """That promotion of the history."""
    one = HISTORY[sequence - 1]
    return Since(sequence, one.kind, one.commit_time, or_earlier)


@pytest.mark.parametrize(
    ("newest", "found"),
    [
        (1, {Role.PRIMARY: since(1)}),
        (2, {Role.PRIMARY: since(2)}),
        (3, {Role.PRIMARY: since(3)}),
        (4, {Role.PRIMARY: since(3), Role.CANARY: since(4)}),
        (5, {Role.PRIMARY: since(3), Role.CANARY: since(4)}),
    ],
)
def test_a_role_is_as_it_is_since_it_was_given_to_the_version(
    newest: int, found: dict[Role, Since]
) -> None:
    """Not since that version had it before; another percentage changes nothing."""
    history = HISTORY[:newest][::-1]
    assert roles_since(history) == found
    assert is_enough(history)


def test_a_history_that_is_cut_off_tells_of_the_oldest_that_is_known() -> None:
    """It may have been an earlier one."""
    known = HISTORY[:1:-1]
    assert roles_since(known) == {
        Role.PRIMARY: since(3, or_earlier=True),
        Role.CANARY: since(4),
    }
    assert not is_enough(known)
    assert is_enough([*known, HISTORY[1]])


def test_what_is_missing_in_between_is_not_guessed() -> None:
    """A registry that leaves promotions out tells nothing of what was before them."""
    assert roles_since([HISTORY[4], HISTORY[2]])[Role.PRIMARY] == since(5, or_earlier=True)


def test_other_bytes_are_another_version() -> None:
    """Whatever its number."""
    other = pin("1.0.0").model_copy(update={"manifest_digest": "sha256:other"})
    before = HISTORY[2].model_copy(update={"rollout": Rollout(primary=other)})
    assert roles_since([HISTORY[3], before])[Role.PRIMARY] == since(4)


def test_a_promotion_without_its_history_is_told_as_far_as_it_is_known() -> None:
    """A start without the registry."""
    told = promoted(HISTORY[3])
    assert (told.kind, told.commit_time) == (PromotionKind.PROMOTE, HISTORY[3].commit_time)
    assert told.since[Role.PRIMARY] == since(4, or_earlier=True)
    assert promoted(HISTORY[0]).since == {Role.PRIMARY: since(1)}
