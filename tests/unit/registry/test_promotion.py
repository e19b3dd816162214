"""What may be promoted: every rule cites its reason, and what is decided is chained and signed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.channels import ALICE, BOB, STABLE, rollout, version_name
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import (
    ChannelPolicy,
    Promotion,
    PromotionKind,
    Role,
    Rollout,
    VersionPin,
)
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    VoiceFlowError,
)
from voiceflow_registry.channels.etags import etag_of, sequence_of
from voiceflow_registry.channels.promotion import (
    VersionFacts,
    next_promotion,
    next_rollback,
    rollback_target,
)
from voiceflow_registry.channels.rollouts import named_versions
from voiceflow_registry.channels.wishes import (
    MAXIMUM_SEQUENCE,
    PromotionWish,
    RollbackWish,
    Situation,
    Wish,
    check_state,
    check_wish,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = ChannelPolicy(name=STABLE.policy)
EMPTY = Situation(STABLE, None, POLICY)


def facts_of(
    version: VersionName,
    *,
    state: VersionState = VersionState.PUBLISHED,
    publisher: str = ALICE.principal,
    passed: frozenset[Gate] = frozenset(),
) -> VersionFacts:
    """What is known of a version."""
    digest = digest_of(str(version).encode())
    return VersionFacts(version, digest, state, publisher, passed)


def decide(
    situation: Situation,
    wanted: Rollout,
    *,
    change: Callable[[VersionFacts], VersionFacts] = lambda facts: facts,
    **more: object,
) -> Promotion:
    """What a wish makes of a situation, through all three steps."""
    etag = situation.newest.etag if situation.newest else ""
    wish = PromotionWish(
        principal=BOB.principal,
        rollout=wanted,
        **({"etag": etag} | more),  # type: ignore[arg-type]
    )
    check_wish(wish, NOW)
    named = named_versions(situation.channel, wish.rollout)
    check_state(situation, wish)
    facts = {role: change(facts_of(version)) for role, version in named.items()}
    return next_promotion(situation, wish, facts, NOW)


def after(situation: Situation, wanted: Rollout) -> Situation:
    """The situation after a promotion."""
    return replace(situation, newest=decide(situation, wanted))


SERVING = after(EMPTY, rollout("1.1.0"))


def refused(kind: type[VoiceFlowError], reason: str, act: Callable[..., object]) -> VoiceFlowError:
    """The error of an act that must be refused so."""
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def test_the_first_promotion_pins_every_digest_and_is_number_one() -> None:
    """A promotion names versions by their manifests' digests, whatever the caller left out."""
    made = decide(EMPTY, rollout("1.1.0", canary="1.2.0", percentage=12.5, shadow="1.3.0"))
    assert (made.sequence, made.kind) == (1, PromotionKind.PROMOTE)
    assert made.name == "models/diarizer/channels/stable/promotions/1"
    for pin in made.rollout.pins().values():
        assert pin.manifest_digest == digest_of(pin.version.encode())
    assert made.commit_time == NOW


def test_a_statement_is_canonical_json_that_chains_to_the_one_before() -> None:
    """What is signed says all that matters, in one way only, and fixes what came before."""
    first = decide(EMPTY, rollout("1.1.0", shadow="1.2.0", shadow_percentage=0.0))
    situation = replace(EMPTY, newest=first)
    expiry = datetime(2026, 4, 1, tzinfo=UTC)
    second = decide(situation, rollout("1.1.0", canary="1.2.0"), expire_time=expiry)
    assert json.loads(second.statement) == {
        "channel": "models/diarizer/channels/stable",
        "expire_time": "2026-04-01T00:00:00.000000Z",
        "kind": "promote",
        "previous_statement_digest": digest_of(first.statement),
        "rollout": {
            "canary": {
                "manifest_digest": digest_of(b"models/diarizer/versions/1.2.0"),
                "percentage": 10,
                "version": "models/diarizer/versions/1.2.0",
            },
            "primary": {
                "manifest_digest": digest_of(b"models/diarizer/versions/1.1.0"),
                "version": "models/diarizer/versions/1.1.0",
            },
        },
        "sequence": 2,
    }
    canonical = json.dumps(json.loads(second.statement), sort_keys=True, separators=(",", ":"))
    assert second.statement == canonical.encode()
    assert json.loads(first.statement)["previous_statement_digest"] == ""
    assert json.loads(first.statement)["rollout"]["shadow"]["percentage"] == 100


def test_an_etag_names_sequence_and_statement() -> None:
    """Two states never share an etag, and an etag tells where it stands in the history."""
    assert SERVING.newest is not None
    assert sequence_of(SERVING.newest.etag) == 1
    assert etag_of(1, b"one") != etag_of(1, b"two")
    assert [sequence_of(text) for text in ("", "1", "x-0", "-1-" + "0" * 32, "1-" + "g" * 32)] == [
        None
    ] * 5


def test_r21_a_state_that_was_overtaken_is_refused() -> None:
    """An etag of another state, or none where there is a channel, is ETAG_STALE."""
    for etag in ("", "1-" + "0" * 32, "nonsense"):
        refused(
            Conflict, "ETAG_STALE", lambda etag=etag: decide(SERVING, rollout("1.2.0"), etag=etag)
        )
    refused(Conflict, "ETAG_STALE", lambda: decide(EMPTY, rollout("1.2.0"), etag="1-" + "0" * 32))


def test_a_rollback_needs_a_channel_and_an_etag() -> None:
    """Nothing can be gone back to where nothing was; and who goes back has looked."""
    wish = RollbackWish(principal=BOB.principal)
    refused(NotFound, "CHANNEL_NOT_FOUND", lambda: check_state(EMPTY, wish))
    error = refused(InvalidInput, "FIELD_REQUIRED", lambda: check_state(SERVING, wish))
    assert error.field == "etag"


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish("bob", reason="x" * 1025), "reason"),
        (Wish("bob", reason="fine\x1b[2K\x1b[1A"), "reason"),
        (Wish("bob", reason="fine\x9b2K"), "reason"),
        (Wish("bob", reason="fine\nv1.1.0  promoted"), "reason"),
        (Wish("bob", expire_time=NOW), "expire_time"),
        (
            Wish("bob", signature=Signature(media_type="x", content=bytes(65537))),
            "signature.content",
        ),
        (RollbackWish("bob", to_sequence=-1), "to_sequence"),
        (RollbackWish("bob", to_sequence=2**63), "to_sequence"),
    ],
)
def test_a_malformed_wish_names_its_field(wish: Wish, field: str) -> None:
    """Lengths, expiry and sequence have bounds, whatever the channel is like."""
    assert refused(InvalidInput, "FIELD_INVALID", lambda: check_wish(wish, NOW)).field == field


def test_a_rollout_names_a_primary_of_this_model() -> None:
    """No primary, a version of another model, or a canary that is the primary is no rollout."""
    nothing = Rollout(primary=VersionPin(version=""))
    error = refused(InvalidInput, "FIELD_REQUIRED", lambda: decide(EMPTY, nothing))
    assert error.field == "rollout.primary.version"
    other = Situation(ChannelName("separator", "stable"), None, POLICY)
    error = refused(InvalidInput, "FIELD_INVALID", lambda: decide(other, rollout("1.0.0")))
    assert error.field == "rollout.primary.version"
    for wanted, field in (
        (rollout("1.0.0", canary="1.0.0"), "rollout.canary.pin.version"),
        (rollout("1.0.0", shadow="1.0.0"), "rollout.shadow.pin.version"),
    ):
        error = refused(InvalidInput, "FIELD_INVALID", lambda wanted=wanted: decide(EMPTY, wanted))
        assert error.field == field


@pytest.mark.parametrize(
    "name", ["models/../versions/1.0.0", "models/diarizer/versions/1.0", "1.0.0", "a\0b", "v" * 999]
)
def test_r17_names_that_are_none_are_refused(name: str) -> None:
    """A rollout's version is a name of the one form that there is."""
    wanted = Rollout(primary=VersionPin(version=name))
    assert refused(InvalidInput, "NAME_INVALID", lambda: decide(EMPTY, wanted)).field == (
        "rollout.primary.version"
    )


@given(hundredths=st.integers(1, 9999))
def test_percentages_come_in_steps_of_a_hundredth(hundredths: int) -> None:
    """Every step is allowed, however a client computed it, and is kept as the same number."""
    for computed in (hundredths / 100, hundredths * 0.01):
        made = decide(EMPTY, rollout("1.0.0", canary="1.1.0", percentage=computed))
        assert made.rollout.canary is not None
        assert made.rollout.canary.percentage == hundredths / 100


@pytest.mark.parametrize(
    "percentage", [0.0, -1.0, 100.0, 0.005, 12.345, 1e-12, 99.9999999999, math.nan, math.inf]
)
def test_a_canary_takes_neither_none_nor_all_nor_between_steps(percentage: float) -> None:
    """Only more than 0 and less than 100, in steps of 0.01."""
    error = refused(
        InvalidInput,
        "FIELD_INVALID",
        lambda: decide(EMPTY, rollout("1.0.0", canary="1.1.0", percentage=percentage)),
    )
    assert error.field == "rollout.canary.percentage"


@pytest.mark.parametrize("percentage", [-0.01, 100.01, math.nan])
def test_a_shadow_hears_at_most_all(percentage: float) -> None:
    """0 means 100; nothing below or above."""
    error = refused(
        InvalidInput,
        "FIELD_INVALID",
        lambda: decide(EMPTY, rollout("1.0.0", shadow="1.1.0", shadow_percentage=percentage)),
    )
    assert error.field == "rollout.shadow.percentage"


def test_a_digest_that_is_given_must_be_the_versions() -> None:
    """Who pins bytes gets these bytes or nothing."""
    other = digest_of(b"other")
    wanted = Rollout(primary=VersionPin(version=str(version_name("1.0.0")), manifest_digest=other))
    error = refused(NotAllowedNow, "DIGEST_MISMATCH", lambda: decide(EMPTY, wanted))
    assert error.field == "rollout.primary.manifest_digest"


@pytest.mark.parametrize(
    ("state", "reason"),
    [(VersionState.YANKED, "VERSION_YANKED"), (VersionState.DELETED, "VERSION_DELETED")],
)
def test_a_yanked_or_deleted_version_is_not_promoted_again(
    state: VersionState, reason: str
) -> None:
    """Not in any role, and not even where it serves already."""
    for role in Role:

        def change(facts: VersionFacts, role: Role = role) -> VersionFacts:
            wanted = {"primary": "1.1.0", "canary": "1.2.0", "shadow": "1.3.0"}[role.value]
            return replace(facts, state=state) if str(facts.name.version) == wanted else facts

        error = refused(
            NotAllowedNow,
            reason,
            lambda change=change: decide(
                SERVING, rollout("1.1.0", canary="1.2.0", shadow="1.3.0"), change=change
            ),
        )
        assert role.value in (error.field or "")


def test_prereleases_need_the_policys_consent() -> None:
    """A policy says whether pre-releases may be promoted."""
    wanted = rollout("1.2.0-rc.1")
    refused(NotAllowedNow, "PRERELEASE_NOT_ALLOWED", lambda: decide(SERVING, wanted))
    allowing = replace(SERVING, policy=POLICY.model_copy(update={"allow_prereleases": True}))
    assert decide(allowing, wanted).sequence == 2


def test_r33_a_lower_primary_needs_the_callers_and_the_policys_consent() -> None:
    """A downgrade comes about by neither accident nor right of one side alone."""
    allowing = replace(SERVING, policy=POLICY.model_copy(update={"allow_downgrades": True}))
    for situation, asked in ((SERVING, False), (SERVING, True), (allowing, False)):
        refused(
            NotAllowedNow,
            "DOWNGRADE_NOT_ALLOWED",
            lambda situation=situation, asked=asked: decide(
                situation, rollout("1.0.9"), allow_downgrade=asked
            ),
        )
    assert decide(allowing, rollout("1.0.9"), allow_downgrade=True).sequence == 2
    assert decide(SERVING, rollout("1.1.0", canary="1.0.9")).sequence == 2  # no primary
    newest = SERVING.newest
    assert newest is not None
    # A release is higher than its pre-releases, as SemVer has it.
    lower = replace(allowing, policy=POLICY.model_copy(update={"allow_prereleases": True}))
    refused(NotAllowedNow, "DOWNGRADE_NOT_ALLOWED", lambda: decide(lower, rollout("1.1.0-rc.9")))


def test_gates_that_have_not_passed_are_all_told() -> None:
    """One violation for each version and gate that the policy demands."""
    demanding = replace(
        EMPTY, policy=POLICY.model_copy(update={"demanded_gates": (Gate.GRAPH, Gate.COST)})
    )

    def change(facts: VersionFacts) -> VersionFacts:
        first = facts.name.version.minor == 1
        return replace(facts, passed=frozenset({Gate.GRAPH} if first else set()))

    error = refused(
        NotAllowedNow,
        "GATES_NOT_PASSED",
        lambda: decide(demanding, rollout("1.1.0", canary="1.2.0"), change=change),
    )
    assert isinstance(error, NotAllowedNow)
    assert [(violation.subject, violation.kind) for violation in error.violations] == [
        ("models/diarizer/versions/1.1.0", "cost"),
        ("models/diarizer/versions/1.2.0", "graph"),
        ("models/diarizer/versions/1.2.0", "cost"),
    ]


def test_what_stays_in_its_role_is_not_asked_again() -> None:
    """A canary can be ended, and another one begun, though the primary's validation grew old."""
    both = after(EMPTY, rollout("1.1.0", canary="1.2.0", percentage=20.0))
    demanding = replace(both, policy=POLICY.model_copy(update={"demanded_gates": (Gate.COST,)}))
    assert decide(demanding, rollout("1.1.0")).rollout.canary is None
    assert decide(demanding, rollout("1.1.0", canary="1.2.0", percentage=10.0)).sequence == 2
    for wanted in (
        rollout("1.1.0", canary="1.2.0", percentage=20.01),  # more of the streams
        rollout("1.2.0"),  # another role
        rollout("1.1.0", canary="1.3.0", percentage=1.0),  # another version
    ):
        error = refused(
            NotAllowedNow, "GATES_NOT_PASSED", lambda wanted=wanted: decide(demanding, wanted)
        )
        assert isinstance(error, NotAllowedNow)
        assert len(error.violations) == 1  # the primary that stays is not among them


def test_who_published_a_version_does_not_promote_it() -> None:
    """Two people stand behind what is promoted, unless the policy says otherwise."""

    def change(facts: VersionFacts) -> VersionFacts:
        return replace(facts, publisher=BOB.principal)

    wanted = rollout("1.2.0")
    error = refused(
        Forbidden, "PROMOTER_IS_PUBLISHER", lambda: decide(SERVING, wanted, change=change)
    )
    assert error.field == "rollout.primary.version"
    allowing = replace(
        SERVING, policy=POLICY.model_copy(update={"allow_publisher_to_promote": True})
    )
    assert decide(allowing, wanted, change=change).principal == BOB.principal


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (BOB.principal, True),
        ("spiffe://voiceflow/promoter/*", True),
        ("spiffe://voiceflow/*", False),
        ("spiffe://voiceflow/promoter/bo", False),
        ("spiffe://voiceflow/promoter/bobby", False),
        ("spiffe://voiceflow/promoter/bob/*", False),
    ],
)
def test_a_policy_names_its_promoters_by_uri_or_last_segment(pattern: str, allowed: bool) -> None:
    """`*` stands for the whole last segment and nothing else."""
    named = replace(EMPTY, policy=POLICY.model_copy(update={"promoters": (pattern,)}))
    if allowed:
        assert decide(named, rollout("1.0.0")).sequence == 1
    else:
        refused(Forbidden, "POLICY_FORBIDS", lambda: decide(named, rollout("1.0.0")))


def test_a_stranger_learns_nothing_of_versions() -> None:
    """Whoever the policy does not name is refused before any version is looked at."""
    named = replace(SERVING, policy=POLICY.model_copy(update={"promoters": (ALICE.principal,)}))
    refused(
        Forbidden,
        "POLICY_FORBIDS",
        lambda: decide(
            named, rollout("1.0.0"), change=lambda facts: replace(facts, state=VersionState.DELETED)
        ),
    )


def test_what_changes_nothing_is_refused() -> None:
    """Neither rollout nor expiry differ: there is nothing to promote."""
    refused(NotAllowedNow, "NOTHING_CHANGES", lambda: decide(SERVING, rollout("1.1.0")))
    later = decide(SERVING, rollout("1.1.0"), expire_time=NOW + timedelta(days=1))
    assert later.sequence == 2


def test_r32_after_the_last_sequence_there_is_no_other() -> None:
    """A history at 2^63 - 1 is at its end; it does not wrap, and it does not fail otherwise."""
    assert SERVING.newest is not None
    last = replace(SERVING, newest=SERVING.newest.model_copy(update={"sequence": MAXIMUM_SEQUENCE}))
    refused(NotAllowedNow, "SEQUENCE_EXHAUSTED", lambda: decide(last, rollout("1.2.0")))
    nearly = replace(
        SERVING, newest=SERVING.newest.model_copy(update={"sequence": MAXIMUM_SEQUENCE - 1})
    )
    assert decide(nearly, rollout("1.2.0")).sequence == MAXIMUM_SEQUENCE


def history(*versions: str) -> list[Promotion]:
    """Promotions of these primaries, oldest first; downgrades allowed."""
    policy = POLICY.model_copy(update={"allow_downgrades": True})
    situation = Situation(STABLE, None, policy)
    made = []
    for version in versions:
        made.append(decide(situation, rollout(version), allow_downgrade=True))
        situation = replace(situation, newest=made[-1])
    return made


def target(versions: list[str], yanked: set[str]) -> str:
    """The primary that a rollback without a sequence goes back to."""
    made = history(*versions)
    states = {str(version_name(version)): VersionState.YANKED for version in yanked}
    chosen = rollback_target(
        made[-1], reversed(made[:-1]), lambda name: states.get(name, VersionState.PUBLISHED)
    )
    return chosen.rollout.primary.version.rpartition("/")[2]


def test_a_rollback_goes_to_the_newest_other_primary_that_is_not_yanked() -> None:
    """What is served now and what was yanked is passed over."""
    assert target(["1.0.0", "1.1.0", "1.2.0"], set()) == "1.1.0"
    assert target(["1.0.0", "1.1.0", "1.2.0"], {"1.1.0"}) == "1.0.0"
    assert target(["1.2.0", "1.1.0", "1.2.0"], set()) == "1.1.0"
    refused(NotAllowedNow, "NO_EARLIER_VERSION", lambda: target(["1.0.0"], set()))
    refused(NotAllowedNow, "NO_EARLIER_VERSION", lambda: target(["1.0.0", "1.1.0"], {"1.0.0"}))


def test_a_rollback_ends_what_is_on_trial_before_it_leaves_the_primary() -> None:
    """Under a canary or shadow it keeps the primary: what served before may be what is on trial."""
    made = history("1.0.0", "1.1.0", "1.0.0")
    for trial in (rollout("1.0.0", canary="1.1.0"), rollout("1.0.0", shadow="1.1.0")):
        present = decide(Situation(STABLE, made[-1], POLICY), trial)
        chosen = rollback_target(present, reversed(made), lambda _: VersionState.PUBLISHED)
        assert chosen == present
        wish = RollbackWish(principal=BOB.principal, etag=present.etag)
        situation = Situation(STABLE, present, POLICY)
        back = next_rollback(situation, wish, chosen, VersionState.PUBLISHED, NOW)
        assert back.rollout == rollout_of("1.0.0", made)


def test_the_registry_leaves_a_primary_that_fails_but_not_for_what_is_on_trial() -> None:
    """A canary that was primary once is passed over; where nothing else is, people decide."""
    kind = PromotionKind.AUTOMATIC_ROLLBACK
    for versions, goes_to in ((["0.9.0", "1.1.0", "1.0.0"], "0.9.0"), (["1.1.0", "1.0.0"], None)):
        made = history(*versions)
        situation = Situation(STABLE, made[-1], POLICY)
        present = decide(situation, rollout("1.0.0", canary="1.1.0"))

        def choose(present: Promotion = present, made: list[Promotion] = made) -> Promotion:
            return rollback_target(
                present, reversed(made), lambda _: VersionState.PUBLISHED, kind=kind
            )

        if goes_to is None:
            refused(NotAllowedNow, "NO_EARLIER_VERSION", choose)
        else:
            assert choose().rollout == rollout_of(goes_to, made)


def rollout_of(primary: str, made: list[Promotion]) -> Rollout:
    """What a promotion of this primary alone serves, pinned."""
    name = str(version_name(primary))
    return next(one.rollout for one in made if one.rollout.primary.version == name)


def test_a_rollback_serves_the_primary_alone_and_says_whose() -> None:
    """Without canary or shadow, and with the sequence gone back to."""
    first = decide(EMPTY, rollout("1.1.0", canary="1.2.0"))
    present = replace(EMPTY, newest=first)
    second = decide(present, rollout("1.2.0"))
    situation = replace(EMPTY, newest=second)
    wish = RollbackWish(principal=BOB.principal, etag=second.etag)
    made = next_rollback(situation, wish, first, VersionState.PUBLISHED, NOW)
    assert (made.kind, made.rollback_to_sequence, made.sequence) == (PromotionKind.ROLLBACK, 1, 3)
    assert made.rollout == Rollout(primary=first.rollout.primary)
    ended = next_rollback(present, wish, first, VersionState.PUBLISHED, NOW)
    assert ended.rollout == made.rollout  # going back to the present ends its canary
    refused(
        NotAllowedNow,
        "NO_EARLIER_VERSION",
        lambda: next_rollback(situation, wish, second, VersionState.PUBLISHED, NOW),
    )
    for state, reason in (
        (VersionState.YANKED, "VERSION_YANKED"),
        (VersionState.DELETED, "VERSION_DELETED"),
    ):
        refused(
            NotAllowedNow,
            reason,
            lambda state=state: next_rollback(situation, wish, first, state, NOW),
        )


def test_a_rollback_of_the_registry_needs_no_named_promoter() -> None:
    """A quorum of pods is named by the policy itself; people still are not."""
    named = replace(SERVING, policy=POLICY.model_copy(update={"promoters": (ALICE.principal,)}))
    assert SERVING.newest is not None
    wish = RollbackWish(principal="voiceflow:registry", etag=SERVING.newest.etag)
    refused(Forbidden, "POLICY_FORBIDS", lambda: check_state(named, wish))
    check_state(named, replace(wish, kind=PromotionKind.AUTOMATIC_ROLLBACK))


def test_an_operator_rolls_back_without_being_named() -> None:
    """Who may set the policy need not wait for somebody whom it names; a promoter must."""
    named = replace(SERVING, policy=POLICY.model_copy(update={"promoters": (ALICE.principal,)}))
    assert SERVING.newest is not None
    wish = RollbackWish(principal=BOB.principal, etag=SERVING.newest.etag)
    refused(Forbidden, "POLICY_FORBIDS", lambda: check_state(named, wish))
    check_state(named, replace(wish, by_operator=True))
