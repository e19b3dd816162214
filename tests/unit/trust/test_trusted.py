"""What a pod trusts only moves forward: the classic attacks, one test each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from pydantic import ValidationError

from tests.fakes.trust import (
    CHANNEL,
    history,
    pin,
    promoter,
    promotion,
    publisher,
    trust_root,
    trust_roots,
)
from voiceflow.catalog.channels import Promotion, PromotionKind, Rollout
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import Untrusted
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoots
from voiceflow.trust.trusted import (
    MAXIMUM_FIRST_SEQUENCE,
    MAXIMUM_JUMP,
    TrustedState,
    advance_promotion,
    advance_root,
    expired,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROOTS = trust_roots()
NOTHING = TrustedState(channel=str(CHANNEL))
AT_THE_ROOT = advance_root(NOTHING, ROOTS)
FIVE = history(5)


def _moved(state: TrustedState, *steps: Promotion, roots: TrustRoots = ROOTS) -> TrustedState:
    return advance_promotion(roots.newest, state, steps, NOW)


def _refused(reason: str, act: Callable[[], object], rule: str = "") -> None:
    with pytest.raises(Untrusted) as refusal:
        act()
    assert refusal.value.reason == reason
    assert rule in refusal.value.message


AHEAD = promotion(FIVE[2], sequence=7)
AT_THREE = _moved(AT_THE_ROOT, FIVE[2])


def test_a_pod_moves_forward() -> None:
    """From nothing to the newest promotion, by one step, by several, and stays where it is."""
    assert (AT_THREE.sequence, AT_THREE.root_version) == (3, 1)
    assert _moved(AT_THREE, FIVE[3]).sequence == 4
    assert _moved(AT_THREE, *FIVE[3:]).sequence == 5
    assert _moved(AT_THREE, FIVE[2]) == AT_THREE


def test_the_state_comes_back_as_it_was_remembered() -> None:
    """A restart forgets nothing."""
    for state in (NOTHING, AT_THE_ROOT, AT_THREE):
        assert TrustedState.model_validate_json(state.model_dump_json()) == state


# Rule 1


def test_root_rollback() -> None:
    """A trust root that is older than what was seen, though it was a good one once."""
    newer = advance_root(AT_THREE, trust_roots(trust_root(), trust_root(version=2)))
    assert newer.root_version == 2
    _refused("ROOT_BEHIND", lambda: advance_root(newer, ROOTS), "rule 1")


@pytest.mark.parametrize("versions", [1, 3])
def test_root_fork(versions: int) -> None:
    """Another chain of the same length, or a longer one, that is signed well within itself."""
    other = trust_root(publishers=[publisher(models=["asr"])])
    chain = trust_roots(other, *(trust_root(version=2 + more) for more in range(versions - 1)))
    _refused("ROOT_INVALID", lambda: advance_root(AT_THREE, chain), "rule 1")


def test_a_promotion_is_judged_by_the_root_that_is_trusted() -> None:
    """An older root would still hold a revoked key for good."""
    newer = trust_roots(trust_root(), trust_root(version=2))
    state = advance_root(AT_THREE, newer)
    _refused("ROOT_BEHIND", lambda: _moved(state, FIVE[3]))
    _refused("ROOT_BEHIND", lambda: _moved(NOTHING, FIVE[2]))
    assert _moved(state, FIVE[3], roots=newer).sequence == 4


def test_the_root_moves_on_without_the_promotion() -> None:
    """A new version of the root changes nothing of what was moved to."""
    state = advance_root(AT_THREE, trust_roots(trust_root(), trust_root(version=2)))
    assert (state.sequence, state.statement_digest) == (3, AT_THREE.statement_digest)


# Rule 2


def test_forged_promotion() -> None:
    """A next promotion by a stranger, unsigned, or with the signature of the one before."""
    _refused("SIGNATURE_INVALID", lambda: _moved(AT_THREE, promotion(FIVE[2], signer="stranger")))
    _refused("SIGNATURE_MISSING", lambda: _moved(AT_THREE, promotion(FIVE[2], signer=None)))
    replayed = FIVE[3].model_copy(update={"signature": FIVE[2].signature})
    _refused("SIGNATURE_INVALID", lambda: _moved(AT_THREE, replayed))


def test_a_revoked_key_s_promotion_is_not_gone_on_with() -> None:
    """Not moved to, and not trusted again at a restart."""
    revoked = trust_roots(
        trust_root(),
        trust_root(version=2, promoters=[promoter(status=KeyStatus.REVOKED), promoter("next")]),
    )
    state = advance_root(AT_THREE, revoked)
    for step in (FIVE[2], FIVE[3]):
        _refused("KEY_REVOKED", partial(_moved, state, step, roots=revoked))


def test_a_history_outlives_the_keys_that_it_was_signed_with() -> None:
    """Whoever signed the newest vouches for those before it, of keys retired, revoked or gone."""
    for promoters in (
        [promoter(status=KeyStatus.RETIRED), promoter("next")],
        [promoter(status=KeyStatus.REVOKED), promoter("next")],
        [promoter("next")],
    ):
        roots = trust_roots(trust_root(), trust_root(version=2, promoters=promoters))
        state = advance_root(AT_THREE, roots)
        newest = promotion(FIVE[4], signer="next")
        assert _moved(state, *FIVE[3:], newest, roots=roots).sequence == 6


# Rule 3


@pytest.mark.parametrize(
    "update",
    [
        {"name": CHANNEL.promotion(5)},
        {"name": ChannelName("diarizer", "dev").promotion(4)},
        {"sequence": 5},
        {"kind": PromotionKind.ROLLBACK},
        {"rollout": Rollout(primary=pin("0.9.0"))},
        {"rollout": Rollout(primary=pin("1.0.0", b"other"))},
        {"expire_time": NOW + timedelta(days=1)},
    ],
)
def test_mix_and_match(update: dict[str, object]) -> None:
    """A good statement in a record that says something else: another version, bytes, time."""
    mixed = FIVE[3].model_copy(update=update)
    _refused("STATEMENT_MISMATCH", lambda: _moved(AT_THREE, mixed), "rule 3")
    if "sequence" not in update:
        _refused("STATEMENT_MISMATCH", lambda: _moved(AT_THREE, mixed, FIVE[4]), "rule 3")


def test_a_promotion_of_another_channel_is_refused() -> None:
    """What was promoted to dev is served as if it were stable."""
    dev = history(4, channel=ChannelName("diarizer", "dev"))
    _refused("STATEMENT_MISMATCH", lambda: _moved(AT_THE_ROOT, dev[0]), "rule 3")
    _refused("STATEMENT_MISMATCH", lambda: _moved(AT_THREE, dev[3]), "rule 3")


# Rules 4 and 5


@pytest.mark.parametrize("sequence", [1, 2])
def test_rollback_of_the_history(sequence: int) -> None:
    """An older promotion, well signed, is served as the newest."""
    _refused("SEQUENCE_BEHIND", lambda: _moved(AT_THREE, FIVE[sequence - 1]), "rule 4")


def test_a_promoted_rollback_is_a_step_forward() -> None:
    """Going back to an older version is a new promotion with a higher sequence."""
    back = promotion(FIVE[2], kind=PromotionKind.ROLLBACK, rollout=Rollout(primary=pin("0.9.0")))
    assert _moved(AT_THREE, back).sequence == 4


def test_fork_of_the_history() -> None:
    """Two statements, both well signed, with the sequence that was moved to."""
    other = promotion(FIVE[1], rollout=Rollout(primary=pin("2.0.0")))
    assert other.sequence == 3
    _refused("SEQUENCE_FORKED", lambda: _moved(AT_THREE, other), "rule 5")


# Rule 6


@pytest.mark.parametrize("sequence", [3 + MAXIMUM_JUMP + 1, MAXIMUM_FIRST_SEQUENCE, 2**63 - 1])
def test_fast_forward(sequence: int) -> None:
    """A jump so far that nothing could follow, or that nobody could check."""
    far = promotion(FIVE[2], sequence=sequence)
    _refused("SEQUENCE_TOO_FAR", lambda: _moved(AT_THREE, far), "rule 6")


def test_fast_forward_at_first_sight() -> None:
    """A pod that has seen nothing yet takes no sequence beyond a million."""
    farthest = promotion(FIVE[2], sequence=MAXIMUM_FIRST_SEQUENCE)
    assert _moved(AT_THE_ROOT, farthest).sequence == MAXIMUM_FIRST_SEQUENCE
    for sequence in (MAXIMUM_FIRST_SEQUENCE + 1, 2**63 - 1):
        far = promotion(FIVE[2], sequence=sequence)
        _refused("SEQUENCE_TOO_FAR", partial(_moved, AT_THE_ROOT, far), "rule 6")


def test_as_many_promotions_as_may_lie_between() -> None:
    """A pod that was away for 1000 promotions catches up; for 1001 it does not."""
    steps = [FIVE[2]]
    for _ in range(MAXIMUM_JUMP):  # one signature: those between need none
        steps.append(promotion(steps[-1], signer=None))
    last = promotion(steps[-2], signer="promoter")
    assert _moved(AT_THREE, *steps[1:-1], last).sequence == 3 + MAXIMUM_JUMP
    one_more = promotion(last)
    _refused("SEQUENCE_TOO_FAR", lambda: _moved(AT_THREE, *steps[1:-1], last, one_more))


# Rule 7


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (FIVE[4],),
        (FIVE[2], FIVE[3], FIVE[4]),
        (FIVE[3], FIVE[3], FIVE[4]),
        (FIVE[4], FIVE[3], FIVE[4]),
        (FIVE[2], FIVE[4]),
        (FIVE[2], FIVE[2]),
        (promotion(FIVE[0], sequence=4), FIVE[4]),
        (promotion(FIVE[2], rollout=Rollout(primary=pin("3.0.0"))), FIVE[4]),
        (promotion(FIVE[1], sequence=4),),
        (AHEAD, promotion(AHEAD, sequence=5)),
    ],
    ids=[
        *("none", "one left out", "one too many", "one twice", "another order", "not from here"),
        *(
            "the trusted one twice",
            "another past",
            "another one between",
            "past one denied",
            "a sequence between that falls",
        ),
    ],
)
def test_broken_chain(steps: Sequence[Promotion]) -> None:
    """A history that is not the continuation of what was seen, however well signed."""
    _refused("CHAIN_BROKEN", lambda: _moved(AT_THREE, *steps), "rule 7")


def test_broken_chain_at_first_sight() -> None:
    """What is given must hang together, though nothing was seen before."""
    assert _moved(AT_THE_ROOT, *FIVE).sequence == 5
    for steps in ((FIVE[2], FIVE[4]), (promotion(FIVE[1], reason="x", expire_time=NOW), FIVE[3])):
        _refused("CHAIN_BROKEN", partial(_moved, AT_THE_ROOT, *steps), "rule 7")


# Rule 8


def test_an_expired_promotion_is_not_moved_to() -> None:
    """Freeze: a promotion kept back until it is stale; the last one is gone on with."""
    for expire_time in (NOW, NOW - timedelta(days=30)):
        stale = promotion(FIVE[2], expire_time=expire_time)
        assert expired(stale, NOW)
        _refused("PROMOTION_EXPIRED", partial(_moved, AT_THREE, stale), "rule 8")
        _refused("PROMOTION_EXPIRED", partial(_moved, AT_THE_ROOT, stale), "rule 8")


def test_expiry_takes_nothing_away() -> None:
    """What was moved to is gone on with when it has expired, also after a restart."""
    fresh = promotion(FIVE[2], expire_time=NOW + timedelta(seconds=1))
    state = _moved(AT_THREE, fresh)
    later = NOW + timedelta(days=365)
    assert expired(fresh, later)
    assert advance_promotion(ROOTS.newest, state, [fresh], later) == state


def test_an_expired_promotion_between_is_no_obstacle() -> None:
    """A pod that was away finds expired ones on its way to a fresh one."""
    stale = promotion(FIVE[2], expire_time=NOW - timedelta(days=1))
    assert _moved(AT_THREE, stale, promotion(stale)).sequence == 5


def test_an_expired_root_still_lets_promotions_in() -> None:
    """Its expiry raises an alarm, and stops nobody."""
    roots = trust_roots(trust_root(expire_time=NOW - timedelta(days=1)))
    assert roots.newest.expired(NOW)
    assert _moved(advance_root(NOTHING, roots), FIVE[2], roots=roots).sequence == 3


# What is remembered


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": 0},
        {"sequence": "3"},
        {"sequence": -1},
        {"sequence": 2**63},
        {"statement_digest": ""},
        {"statement_digest": "md5:0"},
        {"root_version": 0},
        {"root_version": 1.0},
        {"root_digest": ""},
        {"root_digest": AT_THREE.root_digest + "\n"},
        {"more": 1},
    ],
)
def test_a_state_without_sense_is_refused(fields: dict[str, object]) -> None:
    """A number without its digest, a digest without its number, other types, unknown fields."""
    with pytest.raises(ValidationError):
        TrustedState.model_validate(AT_THREE.model_dump() | fields)


@pytest.mark.parametrize("sequence", [1, 2, 4, 5])
def test_a_sequence_that_was_tampered_with_trusts_nothing_else(sequence: int) -> None:
    """A remembered sequence without its statement's digest leads nowhere."""
    forged = AT_THREE.model_copy(update={"sequence": sequence})
    for start in range(5):
        for end in range(start + 1, 6):
            with pytest.raises(Untrusted):
                _moved(forged, *FIVE[start:end])


def test_a_root_version_that_was_tampered_with_trusts_nothing_else() -> None:
    """Likewise a remembered version of the trust root."""
    newer = trust_roots(trust_root(), trust_root(version=2))
    forged = advance_root(AT_THREE, newer).model_copy(update={"root_version": 1})
    _refused("ROOT_INVALID", lambda: advance_root(forged, newer), "rule 1")
