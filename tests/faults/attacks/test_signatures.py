"""Replayed and forged signatures, and parts of several versions."""

from __future__ import annotations

import json

import pytest

from tests.fakes.publishing import package
from tests.fakes.simulated_registry import (
    MODEL,
    NOW,
    Attack,
    SimulatedRegistry,
)
from tests.fakes.trust import (
    CHANNEL,
    ONLY_PEOPLE,
    key,
    promoter,
    promotion,
    publisher,
    signed_manifest,
    signed_statement,
    trust_root,
    trust_roots,
)
from tests.faults.attacks.world import (
    NEW,
    OLD,
    World,
    check_starts_not,
    check_stays,
    name_of,
)
from voiceflow.catalog.channels import PromotionKind, VersionPin
from voiceflow.catalog.names import ChannelName
from voiceflow.trust.envelopes import PayloadType

# R28, replayed manifests


def replay_manifest(simulated: SimulatedRegistry) -> None:
    """The old version's manifest and its signature, both genuine, as the new one's."""
    old = simulated.versions[name_of(OLD)]
    simulated.change(NEW, manifest=old.manifest, signature=old.signature)


def replay_manifest_and_digest(simulated: SimulatedRegistry) -> None:
    """The same, with the digest that belongs to it."""
    replay_manifest(simulated)
    digest = simulated.versions[name_of(OLD)].manifest_digest
    simulated.change(NEW, manifest_digest=digest, files=simulated.versions[name_of(OLD)].files)


def replay_version(simulated: SimulatedRegistry) -> None:
    """The old version's whole record, when asked for the new one."""
    simulated.versions[name_of(NEW)] = simulated.versions[name_of(OLD)]


def replay_signature(simulated: SimulatedRegistry) -> None:
    """The old manifest's signature beside the new manifest."""
    simulated.change(NEW, signature=simulated.versions[name_of(OLD)].signature)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (replay_manifest, "CONTENT_CORRUPT"),
        (replay_manifest_and_digest, "CONTENT_CORRUPT"),
        (replay_version, "CONTENT_CORRUPT"),
        (replay_signature, "SIGNATURE_INVALID"),
    ],
)
async def test_r28_a_replayed_manifest_is_refused(
    world: World, attack: Attack, reason: str
) -> None:
    """The promotion pins the digest of the one that is meant, and a signature is over one alone."""
    await world.check_refused(attack, reason)


async def test_r28_a_version_under_the_name_of_another_is_refused(world: World) -> None:
    """Even where a promoter has signed that: the manifest says whose it is."""
    simulated = world.registry
    old = simulated.versions[name_of(OLD)]
    simulated.versions[name_of("3.0.0")] = old.model_copy(update={"name": name_of("3.0.0")})
    pin = VersionPin(version=name_of("3.0.0"), manifest_digest=old.manifest_digest)
    simulated.promote(pin)
    await check_starts_not(world.pod(), "STATEMENT_MISMATCH")
    await check_stays(world.warm, "STATEMENT_MISMATCH")


# R29, forged signatures


def resign(signer: str) -> Attack:
    """The newest promotion under another key."""

    def attack(simulated: SimulatedRegistry) -> None:
        statement = simulated.history[-1].statement
        simulated.corrupt(signature=signed_statement(statement, signer))

    return attack


def alter_statement(simulated: SimulatedRegistry) -> None:
    """Another sequence in the statement and the record, under the genuine signature."""
    forged = promotion(simulated.history[0], rollout=simulated.history[1].rollout, expire_time=NOW)
    simulated.corrupt(statement=forged.statement, expire_time=NOW)


def borrow_signature(simulated: SimulatedRegistry) -> None:
    """The signature of the promotion before it."""
    simulated.corrupt(signature=simulated.history[0].signature)


def sign_as_manifest(simulated: SimulatedRegistry) -> None:
    """The promoter's genuine signature over these bytes, given for another purpose."""
    statement = simulated.history[-1].statement
    simulated.corrupt(signature=key("promoter").sign(statement, PayloadType.MANIFEST))


def break_envelope(simulated: SimulatedRegistry) -> None:
    """One digit of the signature itself."""
    signature = simulated.history[-1].signature
    assert signature is not None
    envelope = json.loads(signature.content)
    forged = envelope["signatures"][0]["sig"]
    envelope["signatures"][0]["sig"] = ("B" if forged[0] == "A" else "A") + forged[1:]
    content = json.dumps(envelope).encode()
    simulated.corrupt(signature=signature.model_copy(update={"content": content}))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (lambda simulated: simulated.corrupt(signature=None), "SIGNATURE_MISSING"),
        (resign("stranger"), "SIGNATURE_INVALID"),
        (resign("publisher"), "KEY_NOT_ALLOWED"),
        (resign("root-1"), "KEY_NOT_ALLOWED"),
        (resign("registry"), "KEY_NOT_ALLOWED"),
        (alter_statement, "SIGNATURE_INVALID"),
        (borrow_signature, "SIGNATURE_INVALID"),
        (sign_as_manifest, "SIGNATURE_INVALID"),
        (break_envelope, "SIGNATURE_INVALID"),
    ],
)
async def test_r29_a_forged_promotion_is_refused(world: World, attack: Attack, reason: str) -> None:
    """Not signed, by nobody who may, over something else, or for something else."""
    await world.check_refused(attack, reason)


def resign_manifest(signer: str) -> Attack:
    """The new version's manifest under another key."""

    def attack(simulated: SimulatedRegistry) -> None:
        manifest = simulated.versions[name_of(NEW)].manifest
        assert manifest is not None
        simulated.change(NEW, signature=signed_manifest(manifest, signer))

    return attack


def sign_manifest_as_promotion(simulated: SimulatedRegistry) -> None:
    """The publisher's genuine signature over the manifest, given for another purpose."""
    manifest = simulated.versions[name_of(NEW)].manifest
    assert manifest is not None
    simulated.change(NEW, signature=key("publisher").sign(manifest, PayloadType.PROMOTION))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (lambda simulated: simulated.change(NEW, signature=None), "SIGNATURE_MISSING"),
        (resign_manifest("stranger"), "SIGNATURE_INVALID"),
        (resign_manifest("promoter"), "KEY_NOT_ALLOWED"),
        (sign_manifest_as_promotion, "SIGNATURE_INVALID"),
    ],
)
async def test_r29_a_forged_manifest_is_refused(world: World, attack: Attack, reason: str) -> None:
    """Not signed, by nobody who may, or for something else."""
    await world.check_refused(attack, reason)


async def test_r29_a_publisher_of_other_models_is_refused(world: World) -> None:
    """And one of this model is not."""
    others = trust_root(publishers=[publisher(models=["asr-*"])])
    await check_starts_not(world.pod(roots=trust_roots(others)), "KEY_NOT_ALLOWED")
    own = trust_root(publishers=[publisher(models=["asr-*", MODEL])])
    assert await world.pod(roots=trust_roots(own)).start() == NEW


async def test_r29_a_promoter_of_other_channels_is_refused(world: World) -> None:
    """And one of this channel is not."""
    elsewhere = f"models/{MODEL}/channels/canary"
    others = trust_root(promoters=[promoter(channels=[elsewhere])])
    await check_starts_not(world.pod(roots=trust_roots(others)), "KEY_NOT_ALLOWED")
    own = trust_root(promoters=[promoter(channels=[elsewhere, str(CHANNEL)])])
    assert await world.pod(roots=trust_roots(own)).start() == NEW


async def test_r29_the_registrys_own_key_rolls_back_and_does_nothing_else(world: World) -> None:
    """Who has broken into the registry cannot promote with what lies there."""
    automatic = PromotionKind.AUTOMATIC_ROLLBACK
    world.registry.promote(OLD, kind=automatic, signer="registry")
    assert await world.pod().start() == OLD
    for kind in ONLY_PEOPLE:
        world.registry.history.pop()
        world.registry.promote(OLD, kind=kind, signer="registry")
        await check_starts_not(world.pod(), "KEY_NOT_ALLOWED")


async def test_r29_a_signed_manifest_that_states_no_sizes_is_refused(world: World) -> None:
    """Nothing would bound what is read; whoever signed it."""
    sized = package("3.0.0", model=MODEL)
    world.registry.publish(package("3.0.0", model=MODEL, sizes={}))
    world.registry.promote("3.0.0")
    await check_starts_not(world.pod(), "SIZE_UNSIGNED")
    world.registry.history.pop()
    world.registry.promote(world.registry.publish(sized))
    assert await world.pod().start() == "3.0.0"


# R30, mix and match


def point_elsewhere(simulated: SimulatedRegistry) -> None:
    """The record names the old version; the statement the new one."""
    simulated.corrupt(rollout=simulated.history[0].rollout)


def send_files_of_another(simulated: SimulatedRegistry) -> None:
    """The old version's model, of the same length, as the new one's."""
    simulated.files[name_of(NEW), "model.onnx"] = simulated.files[name_of(OLD), "model.onnx"]


def tell_files_of_another(simulated: SimulatedRegistry) -> None:
    """The old version's list of files, too."""
    send_files_of_another(simulated)
    simulated.change(NEW, files=simulated.versions[name_of(OLD)].files)


def promotion_of_another_channel(simulated: SimulatedRegistry) -> None:
    """A genuine promotion of the same model, to another channel."""
    canary = ChannelName(MODEL, "canary")
    rollout = simulated.history[1].rollout
    first = promotion(channel=canary, rollout=rollout)
    simulated.history = [first, promotion(first, channel=canary, rollout=rollout)]


def statement_of_another_channel(simulated: SimulatedRegistry) -> None:
    """Its statement and signature in the record of this one."""
    genuine = simulated.history[-1]
    promotion_of_another_channel(simulated)
    simulated.corrupt(name=genuine.name)


def sequence_of_another(simulated: SimulatedRegistry) -> None:
    """The old promotion as a new one: only its record says so."""
    old = simulated.history[0]
    simulated.history[1] = old.model_copy(update={"sequence": 2, "name": CHANNEL.promotion(2)})


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (point_elsewhere, "STATEMENT_MISMATCH"),
        (send_files_of_another, "CONTENT_CORRUPT"),
        (tell_files_of_another, "CONTENT_CORRUPT"),
        (promotion_of_another_channel, "STATEMENT_MISMATCH"),
        (statement_of_another_channel, "STATEMENT_MISMATCH"),
        (sequence_of_another, "STATEMENT_MISMATCH"),
    ],
)
async def test_r30_parts_of_several_versions_are_refused(
    world: World, attack: Attack, reason: str
) -> None:
    """Pointer of one version, blob of another: each part vouches for the next by digest."""
    await world.check_refused(attack, reason)


async def test_r30_a_version_of_another_model_is_refused(world: World) -> None:
    """Even where a promoter has signed that."""
    made = package("3.0.0", model="asr")
    world.registry.promote(world.registry.publish(made))
    await check_starts_not(world.pod(), "STATEMENT_INVALID")
    await check_stays(world.warm, "STATEMENT_INVALID")
