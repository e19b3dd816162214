"""Publishing and promoting what is not signed by who may: R28, R29, R33, R34 at the registry.

The registry is a real one, asked over gRPC; pods refuse the same on their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.fakes import trust
from tests.fakes.forged import FORGED, by
from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import package
from tests.fakes.registry import begin, eventually, failure, publish, running
from tests.fakes.trusted_registry import (
    ONE,
    STABLE,
    THREE,
    TWO,
    V100,
    V110,
    V120,
    Place,
    done,
    fleet_reverts,
    key_file,
    newest,
    place,
    promoted,
    published,
    refusal,
    refused_by_now,
    rollback_wish,
    root,
    signed,
    statement_of,
    taken,
    told,
    wish,
)
from voiceflow.catalog.channels import PromotionKind
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import promotion_from_wire, signature_to_wire
from voiceflow.rpc.status import from_rpc_error
from voiceflow.trust.authority import check_promotion
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.statements import Statement


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Place]:
    """A registry that holds nothing yet."""
    async with place(tmp_path) as made:
        yield made


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Place]:
    """A registry with three signed versions, of which the first two were promoted to stable."""
    async with place(tmp_path) as made:
        for what in (ONE, TWO, THREE):
            await published(made.registry, what)
        for version in (V100, V110):
            await promoted(made.registry, version)
        yield made


async def test_r29_a_version_is_taken_with_its_publishers_signature_alone(empty: Place) -> None:
    """Everything else is refused by its reason, and before any file is taken: nothing is kept."""
    cases = [
        *FORGED,
        (by("stranger"), "KEY_NOT_ALLOWED"),
        (by("promoter"), "KEY_NOT_ALLOWED"),
        (by("registry"), "KEY_NOT_ALLOWED"),
        (by("retired"), "KEY_NOT_ALLOWED"),
        (by("revoked"), "KEY_REVOKED"),
    ]
    for forge, reason in cases:
        signature = signature_to_wire(forge(ONE.manifest, "publisher", PayloadType.MANIFEST))
        for validate_only in (True, False):
            request = begin(ONE, signature=signature, validate_only=validate_only)
            error = await failure(empty.registry.PublishVersion, [request])
            assert told(error) == (reason, "begin.signature"), (reason, error)
            assert empty.kept() == set()
    made = await published(empty.registry, ONE)
    assert made.version.signature == signed(ONE)


async def test_r28_a_manifest_cannot_be_replayed_as_another_version(empty: Place) -> None:
    """Neither its signature with another manifest, nor it itself under another name."""
    await published(empty.registry, ONE)
    error = await failure(empty.registry.PublishVersion, [begin(TWO, signature=signed(ONE))])
    assert told(error) == ("SIGNATURE_INVALID", "begin.signature")
    replayed = begin(ONE, signature=signed(ONE), version=V110)
    error = await failure(empty.registry.PublishVersion, [replayed])
    assert told(error) == ("MANIFEST_INVALID", "begin.manifest.version")


async def test_a_signed_manifest_states_the_sizes_of_its_files(empty: Place) -> None:
    """Else nothing would bound what pods read of them."""
    unbounded = package("1.0.0", sizes={})
    error = await failure(
        empty.registry.PublishVersion, [begin(unbounded, signature=signed(unbounded))]
    )
    assert told(error) == ("SIZE_UNSIGNED", "begin.manifest.sizes")
    assert empty.kept() == set()


async def test_r29_a_promotion_is_taken_with_its_promoters_signature_alone(held: Place) -> None:
    """Everything else is refused by its reason, and the channel serves what it served."""
    cases = [
        *FORGED,
        (by("elsewhere"), "KEY_NOT_ALLOWED"),
        (by("publisher"), "KEY_NOT_ALLOWED"),
        (by("registry"), "KEY_NOT_ALLOWED"),
        (by("retired-promoter"), "KEY_NOT_ALLOWED"),
        (by("revoked-promoter"), "KEY_REVOKED"),
    ]
    before = await newest(held.registry)
    forward, back = await wish(held.registry, V120), await rollback_wish(held.registry)
    for request in (forward, back):
        statement = await statement_of(held.registry, request)
        for forge, reason in cases:
            signature = forge(statement, "promoter", PayloadType.PROMOTION)
            error = await refusal(held.registry, request, signature)
            assert told(error) == (reason, "signature"), (reason, error)
    assert await newest(held.registry) == before
    await promoted(held.registry, V120)
    after = await done(held.registry, await rollback_wish(held.registry))
    assert (after.sequence, after.rollout.primary.version) == (4, V110)


async def test_r28_a_signature_serves_one_promotion_alone(held: Place) -> None:
    """That of an earlier one, though it said the same, and one made for another sequence."""
    first = await wish(held.registry, V120)
    signature = trust.signed_statement(await statement_of(held.registry, first))
    await promoted(held.registry, V120)
    await done(held.registry, await rollback_wish(held.registry))
    error = await refusal(held.registry, await wish(held.registry, V120), signature)
    assert told(error) == ("SIGNATURE_INVALID", "signature")
    stale = await refusal(held.registry, first, signature)
    assert stale.reason == "ETAG_STALE"


async def test_what_is_only_looked_at_need_not_be_signed(held: Place) -> None:
    """It answers what is to be signed; a signature that comes with it is checked all the same."""
    before = await newest(held.registry)
    request = await wish(held.registry, V120, validate_only=True)
    said = Statement.from_bytes(await statement_of(held.registry, request))
    assert (said.channel, said.sequence, said.kind) == (STABLE, 3, PromotionKind.PROMOTE)
    assert said.rollout.primary.version == V120
    signature = trust.signed_statement(said.to_bytes(), "elsewhere")
    error = await refusal(held.registry, request, signature)
    assert told(error) == ("KEY_NOT_ALLOWED", "signature")
    await done(held.registry, await wish(held.registry, V120, validate_only=True))
    assert await newest(held.registry) == before


async def test_r33_who_may_promote_may_not_therefore_go_back(held: Place) -> None:
    """Nor the other way round: a key signs the kinds that the trust root gives it."""
    forward = await wish(held.registry, V120)
    statement = await statement_of(held.registry, forward)
    error = await refusal(held.registry, forward, trust.signed_statement(statement, "backward"))
    assert told(error) == ("KEY_NOT_ALLOWED", "signature")
    back = await rollback_wish(held.registry)
    statement = await statement_of(held.registry, back)
    error = await refusal(held.registry, back, trust.signed_statement(statement, "forward"))
    assert told(error) == ("KEY_NOT_ALLOWED", "signature")
    await promoted(held.registry, V120, "forward")
    await done(held.registry, await rollback_wish(held.registry), "backward")


async def test_r33_a_signature_gives_no_right_to_a_downgrade(held: Place) -> None:
    """The policy does; without its consent there is not even anything to sign."""
    for fields in ({}, {"allow_downgrade": True}, {"validate_only": True}):
        error = await failure(
            held.registry.PromoteVersion, await wish(held.registry, V100, **fields)
        )
        assert error.reason == "DOWNGRADE_NOT_ALLOWED"
    # A statement that would say just that, signed by who may sign it, for what the registry refuses
    request = await wish(held.registry, V100, allow_downgrade=True)
    at_hand = Statement.from_bytes(
        await statement_of(held.registry, await rollback_wish(held.registry))
    )
    as_promotion = at_hand.model_copy(update={"kind": PromotionKind.PROMOTE})
    error = await refusal(held.registry, request, trust.signed_statement(as_promotion.to_bytes()))
    assert error.reason == "DOWNGRADE_NOT_ALLOWED"


async def test_r34_keys_are_rotated_while_the_registry_runs(held: Place) -> None:
    """A retired key signs nothing new, and what it has signed goes on to be promoted."""
    retired = {"publisher": KeyStatus.RETIRED, "promoter": KeyStatus.RETIRED}
    held.replace_root(root(), root(2, **retired))
    later = package("1.3.0")
    await refused_by_now(held, later, "KEY_NOT_ALLOWED")
    request = await wish(held.registry, V120)
    statement = await statement_of(held.registry, request)
    error = await refusal(held.registry, request, trust.signed_statement(statement))
    assert told(error) == ("KEY_NOT_ALLOWED", "signature")
    await promoted(held.registry, V120, "forward")  # of the publisher's retired key
    await published(held.registry, later, "newcomer")
    await promoted(held.registry, str(later.name), "forward")


async def test_r34_what_a_revoked_key_has_signed_holds_no_more(held: Place) -> None:
    """Nothing new of it, and neither promotion of nor rollback to what it had signed."""
    held.replace_root(root(), root(2, publisher=KeyStatus.REVOKED))
    await refused_by_now(held, package("1.3.0"), "KEY_REVOKED")
    error = await failure(held.registry.PromoteVersion, await wish(held.registry, V120))
    assert told(error) == ("KEY_REVOKED", "rollout.primary.version")
    error = await failure(held.registry.RollbackChannel, await rollback_wish(held.registry))
    assert told(error) == ("KEY_REVOKED", "to_sequence")
    again = package("1.3.0")
    await published(held.registry, again, "newcomer")
    await promoted(held.registry, str(again.name))


async def test_r34_a_key_that_is_revoked_during_an_upload_publishes_nothing(empty: Place) -> None:
    """The signature is looked at again before the version is committed."""
    stream = empty.registry.PublishVersion(timeout=60)
    await stream.write(begin(ONE, signature=signed(ONE)))
    await stream.initial_metadata()
    empty.replace_root(root(), root(2, publisher=KeyStatus.REVOKED))
    await refused_by_now(empty, TWO, "KEY_REVOKED")
    for file, content in ONE.files.items():
        chunk = pb.FileChunk(file=file, offset=0, data=content)
        await stream.write(pb.PublishVersionRequest(chunk=chunk))
    await stream.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream
    assert told(from_rpc_error(caught.value)) == ("KEY_REVOKED", "begin.signature")
    assert "versions" not in empty.kept()


async def test_r34_an_older_trust_root_is_not_taken_back(held: Place) -> None:
    """A backup that is put back would make a revoked key good again; a forked one likewise."""
    second = root(2, publisher=KeyStatus.REVOKED, newcomer=KeyStatus.RETIRED)
    held.replace_root(root(), second)
    await refused_by_now(held, package("1.3.0"), "KEY_REVOKED")
    for number, versions in enumerate(([root()], [root(), root(2), root(3)])):
        held.replace_root(*versions)
        await held.refuses_roots(number + 1)
        error = await failure(held.registry.PromoteVersion, await wish(held.registry, V120))
        assert error.reason == "KEY_REVOKED"
    assert not await taken(held, package("1.3.0"), "newcomer")
    held.replace_root(root(), second, root(3, publisher=KeyStatus.REVOKED))
    await eventually(lambda: taken(held, package("1.3.0"), "newcomer"))


async def test_a_rollback_that_pods_asked_for_is_signed_by_the_registry(tmp_path: Path) -> None:
    """With its own key, whose only office that is: pods check it like any other."""
    async with place(tmp_path, signing_key=key_file(tmp_path, "registry")) as where:
        for what in (ONE, TWO):
            await published(where.registry, what)
            await promoted(where.registry, str(what.name))
        await fleet_reverts(where)
        last = await newest(where.registry)
        assert last is not None
        made = promotion_from_wire(last)
        assert (made.sequence, made.kind) == (3, PromotionKind.AUTOMATIC_ROLLBACK)
        said = check_promotion(root(), statement=made.statement, signature=made.signature, new=True)
        assert said.rollout == made.rollout
        assert said.rollout.primary.version == V100


@pytest.mark.parametrize("name", ["none", "promoter", "attacker"])
async def test_without_a_key_of_its_own_the_registry_rolls_nothing_back(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Pods would not follow, and be stuck: a promoter has to do it. The report is answered."""
    settings = {} if name == "none" else {"signing_key": key_file(tmp_path, name)}
    async with place(tmp_path, **settings) as where:
        for what in (ONE, TWO):
            await published(where.registry, what)
            await promoted(where.registry, str(what.name))
        before = await newest(where.registry)
        await fleet_reverts(where)
        assert await newest(where.registry) == before
    (warning,) = [one for one in caplog.records if "is not rolled back" in one.message]
    assert warning.levelname == "WARNING"


async def test_a_version_from_before_the_trust_root_is_not_promoted(tmp_path: Path) -> None:
    """Pods would refuse it; it can be published again, signed, under another number."""
    store = MemoryStore()
    async with running(store) as (_, registry):
        await publish(registry, ONE)
    trust_root = tmp_path / "trust-root.json"
    trust_root.write_bytes(trust.trust_roots(root()).to_json())
    async with running(store, trust_root=trust_root) as (_, registry):
        error = await failure(registry.PromoteVersion, await wish(registry, V100))
        assert told(error) == ("SIGNATURE_MISSING", "rollout.primary.version")
        error = await failure(registry.PublishVersion, [begin(ONE, signature=signed(ONE))])
        assert told(error) == ("VERSION_EXISTS", "begin.signature")
        await published(registry, TWO)
        await promoted(registry, V110)
