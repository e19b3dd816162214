"""Whatever is offered, in whatever order: what is trusted never falls and never forks."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.fakes.trust import (
    CHANNEL,
    pin,
    promoter,
    promotion,
    signed_root,
    trust_root,
    trust_roots,
)
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import Promotion, PromotionKind, Rollout
from voiceflow.errors import Untrusted
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoots
from voiceflow.trust.statements import Statement
from voiceflow.trust.trusted import (
    MAXIMUM_FIRST_SEQUENCE,
    MAXIMUM_JUMP,
    TrustedState,
    advance_promotion,
    advance_root,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SIGNERS = ("promoter", "promoter", "next", "next", "registry", "publisher", "stranger", None)
KINDS = (*(PromotionKind.PROMOTE for _ in range(4)), *PromotionKind)
STATUSES = (KeyStatus.ACTIVE, KeyStatus.ACTIVE, KeyStatus.RETIRED, KeyStatus.REVOKED)
AT = st.integers(-4, 12)  # often one of the newest
MANY_SIGNERS = st.lists(
    st.sampled_from(["root-1", "root-2", "root-3", "root-4", "stranger"]), min_size=1, unique=True
)


class Attacker(RuleBasedStateMachine):
    """Holds every key now and then, and offers any promotions and roots ever made, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.roots = trust_roots()
        self.state = advance_root(TrustedState(channel=str(CHANNEL)), self.roots)
        self.before = self.state
        self.seen_statements: dict[int, str] = {}
        self.seen_roots: dict[int, str] = {}
        self.offered_roots: list[TrustRoots] = [self.roots]
        self.promotions: list[Promotion] = [promotion()]
        self.now = START

    def _take(self, state: TrustedState) -> None:
        """Moves on; a sequence, and a version of the root, is one thing for ever."""
        self.before, self.state = self.state, state
        for seen, number, digest in (
            (self.seen_statements, state.sequence, state.statement_digest),
            (self.seen_roots, state.root_version, state.root_digest),
        ):
            assert seen.setdefault(number, digest) == digest
        event("moved" if state != self.before else "stayed")

    @rule(
        at=AT,
        ahead=st.sampled_from([0, 1, 1, 1, 1, 2, 1000, 1001, 10**6, 2**62]),
        version=st.sampled_from(["1.0.0", "2.0.0"]),
        kind=st.sampled_from(KINDS),
        signer=st.sampled_from(SIGNERS),
        valid_days=st.sampled_from([None, 1]),
    )
    def sign_a_promotion(
        self,
        at: int,
        ahead: int,
        version: str,
        kind: PromotionKind,
        signer: str | None,
        valid_days: int | None,
    ) -> None:
        """One more promotion that follows any other one, by anybody, near or far."""
        before = self.promotions[at % len(self.promotions)]
        expire_time = None if valid_days is None else self.now + timedelta(days=valid_days)
        self.promotions.append(
            promotion(
                before,
                sequence=min(before.sequence + ahead, 2**63 - 1),
                kind=kind,
                rollout=Rollout(primary=pin(version)),
                expire_time=expire_time,
                signer=signer,
            )
        )

    @rule(
        at=AT,
        status=st.sampled_from(STATUSES),
        keys=st.sampled_from([("root-1", "root-2", "root-3"), ("root-2", "root-3", "root-4")]),
        skip=st.sampled_from([1, 1, 1, 0, 2]),
        signers=MANY_SIGNERS,
    )
    def sign_a_root(
        self, at: int, status: KeyStatus, keys: tuple[str, ...], skip: int, signers: list[str]
    ) -> None:
        """One more trust root that follows any other one, if enough have signed it."""
        chain = self.offered_roots[at % len(self.offered_roots)]
        root = trust_root(
            version=chain.newest.version + skip,
            root_keys=keys,
            promoters=[promoter(status=status), promoter("next")],
        )
        with suppress(Untrusted):
            self.offered_roots.append(chain.followed_by(signed_root(root, signers)))

    @rule(at=AT)
    def offer_a_root(self, at: int) -> None:
        """Any chain that is good in itself."""
        roots = self.offered_roots[at % len(self.offered_roots)]
        with suppress(Untrusted):
            self._take(advance_root(self.state, roots))
            self.roots = roots

    @rule(order=st.lists(AT, max_size=4), newest_root=st.sampled_from([True, True, True, False]))
    def offer_promotions(self, order: list[int], newest_root: bool) -> None:
        """Any promotions in any order, to be judged by the newest root or by the first."""
        steps = [self.promotions[at % len(self.promotions)] for at in order]
        root = self.roots.newest if newest_root else self.offered_roots[0].newest
        with suppress(Untrusted):
            self._take(advance_promotion(root, self.state, steps, self.now))

    @rule(at=AT)
    def offer_what_leads_to_one(self, at: int) -> None:
        """As an honest registry would: all that lies between what is trusted and some promotion."""
        past = {digest_of(one.statement): one for one in self.promotions}
        steps = [self.promotions[at % len(self.promotions)]]
        while steps[0].sequence > self.state.sequence + 1:
            before = Statement.from_bytes(steps[0].statement).previous_statement_digest
            if before not in past:
                break
            steps.insert(0, past[before])
        with suppress(Untrusted):
            self._take(advance_promotion(self.roots.newest, self.state, steps, self.now))

    @rule(days=st.integers(-30, 30))
    def turn_the_clock(self, days: int) -> None:
        """Forwards or backwards."""
        self.now += timedelta(days=days)

    @rule()
    def restart(self) -> None:
        """The pod comes back with what it remembers."""
        self.state = TrustedState.model_validate_json(self.state.model_dump_json())

    @invariant()
    def nothing_falls(self) -> None:
        """Neither the root's version nor the sequence, and neither jumps too far."""
        assert self.state.root_version >= self.before.root_version
        assert self.state.sequence >= self.before.sequence
        limit = (
            self.before.sequence + MAXIMUM_JUMP
            if self.before.sequence
            else (MAXIMUM_FIRST_SEQUENCE)
        )
        assert self.state.sequence <= limit


Attacker.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestNothingEverMovesBackwards = Attacker.TestCase
