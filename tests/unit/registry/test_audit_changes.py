"""What entries of the audit say that has changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from voiceflow.catalog.channels import (
    Canary,
    ChannelPolicy,
    Promotion,
    PromotionKind,
    Role,
    Rollout,
    Shadow,
    VersionPin,
)
from voiceflow.catalog.names import PodName
from voiceflow.catalog.pods import Cause, CollectedObject, Collection, Revert
from voiceflow.catalog.versions import Version, VersionState
from voiceflow_registry.audit.changes import (
    NOTHING_CHANGED,
    Change,
    collected,
    moved,
    promoted,
    published,
    reverted,
    set_policy,
)

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = f"sha256:{'0' * 64}"


def pin(version: str) -> VersionPin:
    """A version."""
    return VersionPin(version=f"models/tones/versions/{version}")


def promotion(rollout: Rollout) -> Promotion:
    """One of a channel."""
    return Promotion(
        name="models/tones/channels/stable/promotions/2",
        sequence=2,
        kind=PromotionKind.PROMOTE,
        rollout=rollout,
        principal="p",
        commit_time=TIME,
        statement=b"",
        etag="e",
    )


def test_a_promotion_tells_what_served_and_what_serves() -> None:
    """Versions alone, with canary and shadow where there are any; the first comes from nothing."""
    plain = promotion(Rollout(primary=pin("1.3.0")))
    tried = promotion(
        Rollout(
            primary=pin("1.4.0"),
            canary=Canary(pin=pin("1.5.0"), percentage=2.5),
            shadow=Shadow(pin=pin("1.6.0")),
        )
    )
    assert promoted(plain, tried) == Change(
        "1.3.0", "1.4.0, canary 1.5.0 at 2.5 %, shadow 1.6.0 of 100 %"
    )
    assert promoted(None, plain) == Change("", "1.3.0")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (VersionState.PUBLISHED, VersionState.YANKED, Change("published", "yanked")),
        (VersionState.YANKED, VersionState.DELETED, Change("yanked", "deleted")),
        (VersionState.YANKED, VersionState.YANKED, NOTHING_CHANGED),
        (None, VersionState.YANKED, NOTHING_CHANGED),
    ],
)
def test_a_version_tells_its_states(
    before: VersionState | None, after: VersionState, expected: Change
) -> None:
    """Nothing where it had that state before."""
    assert moved(before, after) == expected


def test_a_policy_tells_its_sequences() -> None:
    """Nothing where it stayed."""
    first, second = (ChannelPolicy(name="p", sequence=sequence) for sequence in (0, 1))
    assert set_policy(first, second) == Change("policy 0", "policy 1")
    assert set_policy(second, second) == NOTHING_CHANGED


def test_a_publication_tells_the_digest() -> None:
    """Nothing where it was there before, or is only tried out."""
    version = Version(
        name="models/tones/versions/1.0.0",
        manifest_digest=DIGEST,
        files=(),
        contract="c",
        embedding_space="e",
        publisher="p",
        publish_time=TIME,
    )
    assert published(version, already=False) == Change("", DIGEST)
    assert published(version, already=True) == NOTHING_CHANGED
    tried = version.model_copy(update={"publish_time": None})
    assert published(tried, already=False) == NOTHING_CHANGED


def test_a_collection_tells_how_much() -> None:
    """Nothing where there was none."""
    one = CollectedObject(key="blobs/sha256/0", size_bytes=1, create_time=TIME)
    assert collected(Collection(objects=(one, one), collected_bytes=2, more=False)) == Change(
        "", "2 objects removed"
    )
    assert collected(Collection(objects=(), collected_bytes=0, more=False)) == NOTHING_CHANGED


def test_a_report_tells_how_many_reverts_and_whose() -> None:
    """Not which: `ListReverts` has them."""
    revert = Revert(
        name="models/tones/channels/stable/reverts/1",
        pod="pods/a",
        sequence=2,
        from_version=pin("1.1.0"),
        role=Role.PRIMARY,
        cause=Cause.NON_FINITE,
        revert_time=TIME,
    )
    assert reverted(PodName("a"), [revert]) == Change("", "1 revert of pods/a")
    assert reverted(PodName("a"), [revert, revert]) == Change("", "2 reverts of pods/a")
