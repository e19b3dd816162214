"""What a promoter's client signs: just what was wished for, whatever the registry says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import trust
from tests.fakes.publishing import Package, package
from tests.unit.client.registry.scripted import Script, answering, refusing, scripted
from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.channels import (
    Canary,
    Channel,
    Promotion,
    PromotionKind,
    Rollout,
    Shadow,
    VersionPin,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.versions import Version, VersionFile, VersionState
from voiceflow.client import RegistryClient
from voiceflow.errors import Forbidden, NotFound, Untrusted
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    channel_to_wire,
    promotion_to_wire,
    signature_from_wire,
    version_to_wire,
)
from voiceflow.trust.authority import check_promotion
from voiceflow.trust.statements import Statement

STABLE = ChannelName("tones", "stable")
PACKAGES = {
    str(one.name): one for one in map(package, ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0"))
}
V100, V110, V120, V130, V200 = PACKAGES
LATER = datetime(2100, 1, 1, tzinfo=UTC)
KEY = trust.key("promoter")


def pin(version: str) -> VersionPin:
    """A version with its digest."""
    return VersionPin(version=version, manifest_digest=digest_of(PACKAGES[version].manifest))


WISHED = Rollout(
    primary=pin(V110),
    canary=Canary(pin=pin(V120), percentage=12.5),
    shadow=Shadow(pin=pin(V130), percentage=33.33),
)
HISTORY = [
    trust.promotion(channel=STABLE, rollout=Rollout(primary=pin(V100))),
]
HISTORY += [trust.promotion(HISTORY[0], channel=STABLE, rollout=Rollout(primary=pin(V110)))]
HONEST = Statement.following(
    HISTORY[-1].statement,
    channel=STABLE,
    sequence=3,
    kind=PromotionKind.PROMOTE,
    rollout=WISHED,
    expire_time=LATER,
)
BACK = HONEST.model_copy(
    update={
        "kind": PromotionKind.ROLLBACK,
        "rollout": Rollout(primary=pin(V100)),
        "expire_time": None,
    }
)


def version(what: Package, state: VersionState = VersionState.PUBLISHED) -> Version:
    """A version as the registry tells of it."""
    manifest = Manifest.from_json(what.manifest)
    return Version(
        name=str(what.name),
        state=state,
        manifest_digest=digest_of(what.manifest),
        manifest=what.manifest,
        files=tuple(
            VersionFile(file=file, size_bytes=manifest.sizes[file], digest=digest)
            for file, digest in manifest.files.items()
        ),
        contract=manifest.contract,
        embedding_space=manifest.embedding_space,
        publisher="somebody",
        publish_time=trust.COMMIT_TIME,
    )


def answer(statement: bytes, kind: PromotionKind = PromotionKind.PROMOTE) -> Promotion:
    """A promotion with a statement, however little they fit."""
    return trust.promotion(HISTORY[-1], channel=STABLE, kind=kind).model_copy(
        update={"statement": statement, "signature": None}
    )


@asynccontextmanager
async def registry(
    statement: bytes,
    history: list[Promotion] | None = None,
    versions: dict[str, Version] | None = None,
) -> AsyncIterator[tuple[Script, RegistryClient]]:
    """Serves a history, versions, and a statement to be signed, true or not."""
    listed = pb.ListChannelHistoryResponse(
        promotions=[
            promotion_to_wire(one) for one in reversed(HISTORY if history is None else history)
        ]
    )
    shown = {name: version(what) for name, what in PACKAGES.items()} | (versions or {})

    async def get_version(request: Any, _context: Any) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=version_to_wire(shown[request.name]))

    promotion = answer(statement)
    channel = channel_to_wire(
        Channel(
            name=str(STABLE),
            rollout=promotion.rollout,
            sequence=promotion.sequence,
            etag=promotion.etag,
            create_time=promotion.commit_time,
            update_time=promotion.commit_time,
        )
    )
    made = promotion_to_wire(promotion)
    none = NotFound("there is none", reason="CHANNEL_NOT_FOUND")
    async with scripted(
        ListChannelHistory=answering(listed) if listed.promotions else refusing(none),
        GetVersion=get_version,
        PromoteVersion=answering(pb.PromoteVersionResponse(channel=channel, promotion=made)),
        RollbackChannel=answering(pb.RollbackChannelResponse(channel=channel, promotion=made)),
    ) as (script, client):
        yield script, client


async def promote(client: RegistryClient, **more: Any) -> None:
    """Promotes what is wished for."""
    fields: dict[str, Any] = {"expire_time": LATER, "signing_key": KEY} | more
    await client.promote(STABLE, WISHED, **fields)


def signed(request: Any) -> Statement:
    """What a request brings the signature of a promoter over."""
    signature = signature_from_wire(request, "signature")
    assert signature is not None
    return check_promotion(
        trust.trust_root(), statement=HONEST.to_bytes(), signature=signature, new=True
    )


async def test_a_promotion_is_looked_at_and_then_sent_signed() -> None:
    """The same request twice, but for the signature and its own id; on the state that was read."""
    async with registry(HONEST.to_bytes()) as (script, client):
        await promote(client, reason="because", request_id=(wanted := str(trust.key("x").key_id)))
        looked, sent = script.calls["PromoteVersion"]
    assert (looked.validate_only, sent.validate_only) == (True, False)
    assert signed(sent) == HONEST
    assert not looked.HasField("signature")
    assert looked.request_id != sent.request_id == wanted
    assert looked.etag == sent.etag == HISTORY[-1].etag
    sent.ClearField("signature")
    sent.validate_only, sent.request_id = True, looked.request_id
    assert sent == looked


async def test_digests_that_are_not_wished_for_are_those_of_the_manifests() -> None:
    """They are computed here, from what stands under the names."""
    bare = Rollout(
        primary=VersionPin(version=V110),
        canary=Canary(pin=VersionPin(version=V120), percentage=12.5),
        shadow=Shadow(pin=VersionPin(version=V130), percentage=33.33),
    )
    async with registry(HONEST.to_bytes()) as (script, client):
        await client.promote(STABLE, bare, expire_time=LATER, signing_key=KEY)
        assert len(script.calls["PromoteVersion"]) == 2


async def test_the_first_promotion_of_a_channel_is_signed_too() -> None:
    """It follows nothing."""
    first = HONEST.model_copy(update={"sequence": 1, "previous_statement_digest": ""})
    async with registry(first.to_bytes(), history=[]) as (script, client):
        await promote(client)
        assert [one.etag for one in script.calls["PromoteVersion"]] == ["", ""]


Lie = Callable[[Statement], Statement]


def _with(**fields: Any) -> Lie:
    return lambda said: said.model_copy(update=fields)


def _rollout(**fields: Any) -> Lie:
    return _with(rollout=WISHED.model_copy(update=fields))


OTHER_DIGEST = "sha256:" + 64 * "f"
LIES: dict[str, Lie] = {
    "another channel": _with(channel=str(ChannelName("tones", "blue"))),
    "another kind": _with(kind=PromotionKind.ROLLBACK),
    "another sequence": _with(sequence=4),
    "no sequence to speak of": _with(sequence=2**63 - 1),
    "another past": _with(previous_statement_digest=OTHER_DIGEST),
    "another expiry": _with(expire_time=LATER + timedelta(microseconds=1)),
    "no expiry": _with(expire_time=None),
    "another primary": _rollout(primary=pin(V100)),
    "another digest": _rollout(primary=VersionPin(version=V110, manifest_digest=OTHER_DIGEST)),
    "another canary": _rollout(canary=Canary(pin=pin(V200), percentage=12.5)),
    "more of the canary": _rollout(canary=Canary(pin=pin(V120), percentage=12.51)),
    "no canary": _rollout(canary=None),
    "another shadow": _rollout(shadow=Shadow(pin=pin(V200), percentage=33.33)),
    "less of the shadow": _rollout(shadow=Shadow(pin=pin(V130), percentage=33.0)),
    "no shadow": _rollout(shadow=None),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("how", ["signing_key", "check_statement"])
async def test_what_was_not_wished_for_is_not_signed(lie: str, how: str) -> None:
    """A registry that wants something else signed gets nothing, and is told why."""
    more = {"signing_key": KEY} if how == "signing_key" else {"signing_key": None}
    async with registry(LIES[lie](HONEST).to_bytes()) as (script, client):
        with pytest.raises(Untrusted) as caught:
            await promote(client, check_statement=how == "check_statement", **more)
        (looked,) = script.calls["PromoteVersion"]
    assert caught.value.reason == "STATEMENT_MISMATCH"
    assert looked.validate_only


async def test_what_is_no_statement_is_not_signed() -> None:
    """Not even one that says just this, in another form."""
    for content in (b"", b"{}", HONEST.to_bytes() + b" "):
        async with registry(content) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await promote(client)
            assert len(script.calls["PromoteVersion"]) == 1
        assert caught.value.reason == "STATEMENT_INVALID"


async def test_a_version_must_be_what_its_name_says() -> None:
    """Under one name the manifest of another, or other bytes than are wished for: not signed."""
    other = version(PACKAGES[V200]).model_copy(update={"name": V110})
    changed = version(package("1.1.0", licence="MIT"))
    for shown, rollout in (
        (other, Rollout(primary=VersionPin(version=V110))),
        (changed, Rollout(primary=pin(V110))),
    ):
        async with registry(HONEST.to_bytes(), versions={V110: shown}) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await client.promote(STABLE, rollout, signing_key=KEY)
            assert script.calls["PromoteVersion"] == []
        assert caught.value.reason == "STATEMENT_MISMATCH"


async def test_a_history_that_contradicts_itself_is_not_gone_on_with() -> None:
    """The newest promotion is what its own statement says."""
    moved = HISTORY[-1].model_copy(update={"sequence": 7})
    elsewhere = trust.promotion(
        channel=ChannelName("tones", "blue"), rollout=Rollout(primary=pin(V110))
    )
    for newest in (moved, elsewhere):
        following = HONEST.model_copy(
            update={
                "sequence": newest.sequence + 1,
                "previous_statement_digest": digest_of(newest.statement),
            }
        )
        async with registry(following.to_bytes(), history=[newest]) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await promote(client)
            assert all(one.validate_only for one in script.calls["PromoteVersion"])
        assert caught.value.reason == "STATEMENT_MISMATCH"


async def test_a_rollback_is_signed_if_it_goes_where_it_should() -> None:
    """To the newest other primary that is not yanked, or the promotion that is named."""
    yanked = {V110: version(PACKAGES[V110], VersionState.YANKED)}
    third = trust.promotion(HISTORY[-1], channel=STABLE, rollout=Rollout(primary=pin(V120)))
    history = [*HISTORY, third]
    following = BACK.model_copy(
        update={"sequence": 4, "previous_statement_digest": digest_of(third.statement)}
    )
    to_110 = following.model_copy(update={"rollout": Rollout(primary=pin(V110))})
    for wanted, to_sequence, versions in (
        (to_110, 0, {}),
        (following, 0, yanked),
        (following, 1, {}),
        (to_110, 2, {}),
    ):
        async with registry(wanted.to_bytes(), history, versions) as (script, client):
            await client.rollback(STABLE, to_sequence=to_sequence, signing_key=KEY)
            looked, sent = script.calls["RollbackChannel"]
            assert sent.HasField("signature")
            assert not looked.HasField("signature")
        wrong = to_110 if wanted is following else following
        async with registry(wrong.to_bytes(), history, versions) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await client.rollback(STABLE, to_sequence=to_sequence, signing_key=KEY)
            assert len(script.calls["RollbackChannel"]) == 1
        assert caught.value.reason == "STATEMENT_MISMATCH"


async def test_a_rollback_under_a_canary_is_signed_if_it_keeps_the_primary() -> None:
    """The canary ends; a registry that would take the chance to move the primary is not signed."""
    trial = Rollout(primary=pin(V100), canary=Canary(pin=pin(V110), percentage=5.0))
    third = trust.promotion(HISTORY[-1], channel=STABLE, rollout=trial)
    digest = digest_of(third.statement)
    ended = BACK.model_copy(update={"sequence": 4, "previous_statement_digest": digest})
    moved = ended.model_copy(update={"rollout": Rollout(primary=pin(V110))})
    async with registry(ended.to_bytes(), [*HISTORY, third]) as (script, client):
        await client.rollback(STABLE, signing_key=KEY)
        assert [one.to_sequence for one in script.calls["RollbackChannel"]] == [3, 3]
    async with registry(moved.to_bytes(), [*HISTORY, third]) as (script, client):
        with pytest.raises(Untrusted) as caught:
            await client.rollback(STABLE, signing_key=KEY)
    assert caught.value.reason == "STATEMENT_MISMATCH"


def _as_told(one: Promotion, version: str) -> Promotion:
    """The same promotion, whose record says that it serves another version."""
    return one.model_copy(update={"rollout": Rollout(primary=pin(version))})


async def test_a_rollback_goes_where_the_statements_say() -> None:
    """Whatever the records beside them say: nobody has signed those."""
    third = trust.promotion(HISTORY[-1], channel=STABLE, rollout=Rollout(primary=pin(V120)))
    history = [_as_told(HISTORY[0], V130), _as_told(HISTORY[1], V120), _as_told(third, V110)]
    digest = digest_of(third.statement)
    following = BACK.model_copy(update={"sequence": 4, "previous_statement_digest": digest})
    to_110 = following.model_copy(update={"rollout": Rollout(primary=pin(V110))})
    for wanted, to_sequence in ((following, 1), (to_110, 0)):
        async with registry(wanted.to_bytes(), history) as (script, client):
            await client.rollback(STABLE, to_sequence=to_sequence, signing_key=KEY)
            _, sent = script.calls["RollbackChannel"]
        assert sent.to_sequence == (to_sequence or 2)


async def test_a_rollback_into_another_history_is_not_signed() -> None:
    """Every statement is the one that the next one names: back to what was never served, nobody."""
    never = trust.promotion(channel=STABLE, rollout=Rollout(primary=pin(V130)))
    gap = trust.promotion(HISTORY[1], channel=STABLE, rollout=Rollout(primary=pin(V120)))
    for history in ([never, HISTORY[1]], [HISTORY[0], gap]):
        async with registry(BACK.to_bytes(), history) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await client.rollback(STABLE, to_sequence=1, signing_key=KEY)
            assert script.calls["RollbackChannel"] == []
        assert caught.value.reason == "CHAIN_BROKEN"


@pytest.mark.parametrize("signer", [None, "stranger"])
async def test_what_is_followed_must_be_signed_where_a_trust_root_says_by_whom(
    signer: str | None,
) -> None:
    """Or the registry makes a history up, and whoever signs the next one vouches for it."""
    made_up = trust.promotion(
        HISTORY[0], channel=STABLE, rollout=Rollout(primary=pin(V110)), signer=signer
    )
    history = [HISTORY[0], made_up]
    digest = digest_of(made_up.statement)
    assert digest == HONEST.previous_statement_digest  # so that all else is as it should be
    for act, statement in ((promote, HONEST), (_roll_back, BACK)):
        async with registry(statement.to_bytes(), history) as (script, client):
            with pytest.raises(Untrusted) as caught:
                await act(client, trust_root=trust.trust_root())
            assert not any(script.calls[name] for name in ("PromoteVersion", "RollbackChannel"))
        assert caught.value.reason == ("SIGNATURE_INVALID" if signer else "SIGNATURE_MISSING")
        async with registry(statement.to_bytes()) as (_, client):
            await act(client, trust_root=trust.trust_root())


async def _roll_back(client: RegistryClient, **more: Any) -> None:
    await client.rollback(STABLE, to_sequence=1, signing_key=KEY, **more)


async def test_what_was_read_before_is_what_is_followed() -> None:
    """A promotion made from the state that was read does not follow another one."""
    third = trust.promotion(HISTORY[-1], channel=STABLE, rollout=Rollout(primary=pin(V120)))
    async with registry(HONEST.to_bytes(), [*HISTORY, third]) as (script, client):
        await promote(client, newest=HISTORY[-1])
        assert {one.etag for one in script.calls["PromoteVersion"]} == {HISTORY[-1].etag}
        await client.promote(STABLE, WISHED, newest=HISTORY[-1])
        assert script.calls["PromoteVersion"][-1].etag == HISTORY[-1].etag


async def test_a_rollback_to_nowhere_is_refused_by_the_registry() -> None:
    """It is asked, and says why; should it not, nothing is signed."""
    async with registry(BACK.to_bytes()) as (script, client):
        with pytest.raises(Untrusted) as caught:
            await client.rollback(STABLE, to_sequence=9, signing_key=KEY)
        (looked,) = script.calls["RollbackChannel"]
    assert caught.value.reason == "STATEMENT_MISMATCH"
    assert looked.validate_only


async def test_a_package_is_sent_with_the_signature_beside_it(tmp_path: Path) -> None:
    """Unless it is signed anew; one over another manifest is not sent at all."""
    what = PACKAGES[V100]
    (tmp_path / "manifest.json").write_bytes(what.manifest)
    for name, content in what.files.items():
        (tmp_path / name).write_bytes(content)
    beside = tmp_path / "manifest.dsse.json"
    seen: list[Any] = []

    async def publish(requests: Any, context: Any) -> None:
        seen.append(signature_from_wire((await anext(requests)).begin, "signature"))
        await refusing(Untrusted("no", reason="SIGNATURE_INVALID"))(requests, context)

    nothing_kept = refusing(NotFound("no such upload", reason="UPLOAD_NOT_FOUND"))
    async with scripted(PublishVersion=publish, GetUpload=nothing_kept) as (_, client):

        async def refused(**more: Any) -> str:
            with pytest.raises(Forbidden) as caught:
                await client.publish(tmp_path, **more)
            return caught.value.message

        await refused()
        assert seen == [None]
        mine = trust.signed_manifest(what.manifest)
        beside.write_bytes(mine.content)
        await refused()
        assert seen[1:] == [mine]
        await refused(signing_key=trust.key("other"))
        assert seen[2:] == [trust.signed_manifest(what.manifest, "other")]
        beside.write_bytes(trust.signed_manifest(what.manifest + b" ").content)
        assert "sign the package again" in await refused()
        assert len(seen) == 3
        (tmp_path / "manifest.json").write_bytes(package("1.0.0", sizes={}).manifest)
        beside.unlink()
        assert "sizes" in await refused(signing_key=trust.key("publisher"))
        assert len(seen) == 3
