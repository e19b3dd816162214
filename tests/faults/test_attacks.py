"""Attacks of a registry on pods: none moves a pod, and each is told for what it is.

In the manner of the tests of python-tuf: a simulated registry, honest but for one attack. Every
test of an attack also shows that the same registry without it is accepted: by another pod at the
same time, and by the attacked ones once it is over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.publishing import package
from tests.fakes.simulated_registry import (
    MODEL,
    NOW,
    Answer,
    Attack,
    Chunks,
    Pod,
    Sent,
    SimulatedRegistry,
    chunk,
    honest_chunks,
    serving,
)
from tests.fakes.trust import (
    CHANNEL,
    ONLY_PEOPLE,
    history,
    key,
    promoter,
    promotion,
    publisher,
    registry,
    signed_manifest,
    signed_root,
    signed_statement,
    trust_root,
    trust_roots,
)
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import PromotionKind, VersionPin
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.versions import VersionFile
from voiceflow.errors import Untrusted, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoots, read_trust_roots, write_chain
from voiceflow.trust.trusted import MAXIMUM_FIRST_SEQUENCE, MAXIMUM_JUMP

OLD, NEW = "1.0.0", "2.0.0"
MONTH = timedelta(days=30)


@dataclass
class World:
    """A registry, and the pods that ask it.

    Attributes:
        registry: Has promoted the old version, and then the new one.
        address: Of the registry.
        warm: A pod that serves the old version.
        disk: Where pods have their folders.
    """

    registry: SimulatedRegistry
    address: str
    warm: Pod
    disk: Path

    def pod(self, **more: Any) -> Pod:
        """A pod that has never started."""
        fresh = self.disk / str(len(list(self.disk.iterdir())))
        fresh.mkdir()
        return Pod(fresh, self.address, **more)

    async def check_refused(self, attack: Attack, reason: str) -> None:
        """Checks that an attack moves nobody, and that without it everybody moves."""
        assert await self.pod().start() == NEW
        cold = self.pod()
        with self.registry.attacked(attack):
            await check_starts_not(cold, reason)
            await check_stays(self.warm, reason)
        for pod in (cold, self.warm):
            assert await pod.start() == NEW
            assert pod.alarms.raised == {}


async def check_starts_not(pod: Pod, reason: str) -> None:
    """Checks that a pod that holds nothing does not start, and keeps nothing that it could load."""
    with pytest.raises(VoiceFlowError) as caught:
        await pod.start()
    assert caught.value.reason == reason, caught.value
    assert [path.name for path in pod.fetched() if path.name == "manifest.json"] == []


async def check_stays(pod: Pod, reason: str, serving: str = OLD) -> None:
    """Checks that a pod goes on with what it held, and sounds an alarm."""
    held = pod.remembers().held
    assert await pod.start() == serving
    assert pod.alarms.raised["registry"].reason == reason, pod.alarms.raised
    assert pod.remembers().held == held


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An honest registry, and a pod that is one promotion behind."""
    simulated = SimulatedRegistry()
    simulated.promote(OLD)
    async with serving(simulated) as address:
        (tmp_path / "warm").mkdir()
        warm = Pod(tmp_path / "warm", address)
        assert await warm.start() == OLD
        simulated.promote(NEW)
        yield World(simulated, address, warm, tmp_path)


# ------------------------------------------------------------------ R27: damage and endless data


def flip(simulated: SimulatedRegistry, name: str = "model.onnx") -> None:
    """One bit of a file, with checksums that fit what is sent."""
    at = f"models/{MODEL}/versions/{NEW}", name
    simulated.files[at] = simulated.files[at][:-1] + bytes([simulated.files[at][-1] ^ 1])


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "README.md"])
async def test_r27_a_flipped_bit_is_refused(world: World, name: str) -> None:
    """In whichever file: its digest is in the signed manifest."""
    await world.check_refused(lambda simulated: flip(simulated, name), "CONTENT_CORRUPT")


async def test_r27_a_partial_file_is_never_loaded(world: World) -> None:
    """A stream that ends too early leaves nothing to be served; what came is gone on with."""

    async def half(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
        async for reply in honest_chunks(file, content[: len(content) // 2], offset):
            yield reply

    cold = world.pod()
    with world.registry.attacked(lambda simulated: setattr(simulated, "chunks", half)):
        await check_starts_not(cold, "DOWNLOAD_CUT")
        assert await world.warm.start() == OLD
    before = world.registry.sent_bytes
    assert await cold.start() == NEW
    whole = sum(file.size_bytes for file in world.registry.versions[_name(NEW)].files)
    assert world.registry.sent_bytes - before <= whole - 50_000


def overrunning(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """Ends with a chunk that is longer than what is left."""
    return honest_chunks(file, content + b"more", offset)


async def only_more(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """Megabytes without end, from the first chunk on."""
    while True:
        yield chunk(bytes(1 << 20), offset, file)
        offset += 1 << 20


async def nothing_without_end(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """Chunks of nothing, which never reach the end of the file."""
    yield chunk(b"", offset, file)
    while True:
        yield chunk(b"", offset)


async def larger_than_signed(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """States another size with the first chunk than the signed manifest does."""
    yield chunk(content[:1000], offset, file.model_copy(update={"size_bytes": 1 << 40}))


async def no_messages(_file: VersionFile, _: bytes, _offset: int) -> AsyncIterator[Sent]:
    """Bytes that no message has."""
    while True:
        yield b"\xff" * 1000


async def one_great_message(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """A single message of 100 MB."""
    yield chunk(bytes(100_000_000), offset, file)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        (overrunning, "CONTENT_CORRUPT"),
        (only_more, "CONTENT_CORRUPT"),
        (nothing_without_end, "CONTENT_CORRUPT"),
        (larger_than_signed, "CONTENT_CORRUPT"),
        (one_great_message, "RESOURCE_EXHAUSTED"),
        (no_messages, "CONTENT_CORRUPT"),
    ],
)
async def test_r27_endless_data_is_refused(world: World, chunks: Chunks, reason: str) -> None:
    """However it is offered: no more is kept than the manifest's size, which is signed."""
    await world.check_refused(lambda simulated: setattr(simulated, "chunks", chunks), reason)


async def test_r27_of_endless_data_no_byte_beyond_the_signed_size_is_written(world: World) -> None:
    """And what comes over the wire is bounded, although the registry would send for ever."""

    async def forever(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
        async for reply in honest_chunks(file, content, offset):
            yield reply
        end = len(content)
        while True:
            yield chunk(bytes(1 << 20), end)
            end += 1 << 20

    world.registry.chunks = forever
    async with cutting_proxy(world.address) as (proxy, address):
        pod = world.pod()
        pod.address = address
        assert await pod.start() == NEW  # the right bytes came first; the rest was not read
        assert proxy.passed_bytes < _IN_FLIGHT_BYTES
    sizes = {file.file: file.size_bytes for file in world.registry.versions[_name(NEW)].files}
    assert {path.name: path.stat().st_size for path in pod.fetched() if path.name in sizes} == sizes


async def test_r27_of_a_great_answer_next_to_nothing_is_read(world: World) -> None:
    """The size of a message stands before it: one of 100 MB is refused there."""

    def great(simulated: SimulatedRegistry) -> None:
        simulated.answers["GetVersion"] = answering(bytes(100_000_000))

    async with cutting_proxy(world.address) as (proxy, address):
        pod = world.pod()
        pod.address = address
        with world.registry.attacked(great):
            await check_starts_not(pod, "RESOURCE_EXHAUSTED")
        assert proxy.passed_bytes < _IN_FLIGHT_BYTES
        assert await pod.start() == NEW


async def test_r27_an_endless_history_is_given_up(world: World) -> None:
    """Page after page with nothing on it, and always one more."""
    empty = pb.ListChannelHistoryResponse(next_page_token="more")  # noqa: S106 no secret
    cold = world.pod()
    with world.registry.attacked(
        lambda simulated: simulated.answers.update(ListChannelHistory=answering(empty))
    ):
        await check_stays(world.warm, "HISTORY_ENDLESS")
    assert await world.warm.start() == NEW
    assert await cold.start() == NEW


async def test_r27_a_manifest_beyond_its_bound_is_refused(world: World) -> None:
    """Even one that the promotion pins: it is not read as a manifest at all."""
    manifest = b" " * (1024 * 1024 + 1)
    simulated = world.registry
    simulated.publish("3.0.0")
    pin = VersionPin(version=_name("3.0.0"), manifest_digest=digest_of(manifest))
    simulated.promote(pin)
    simulated.change("3.0.0", manifest=manifest)
    await check_starts_not(world.pod(), "CONTENT_CORRUPT")
    await check_stays(world.warm, "CONTENT_CORRUPT")


@pytest.mark.parametrize("method", ["ListChannelHistory", "GetVersion"])
async def test_r27_an_answer_that_is_none_is_refused(world: World, method: str) -> None:
    """Bytes that no message has."""
    garbage = answering(b"\xff" * 1000)
    await world.check_refused(
        lambda simulated: simulated.answers.update({method: garbage}), "MESSAGE_UNDECODABLE"
    )


# ------------------------------------------------------------------ R28: replayed manifests


def replay_manifest(simulated: SimulatedRegistry) -> None:
    """The old version's manifest and its signature, both genuine, as the new one's."""
    old = simulated.versions[_name(OLD)]
    simulated.change(NEW, manifest=old.manifest, signature=old.signature)


def replay_manifest_and_digest(simulated: SimulatedRegistry) -> None:
    """The same, with the digest that belongs to it."""
    replay_manifest(simulated)
    digest = simulated.versions[_name(OLD)].manifest_digest
    simulated.change(NEW, manifest_digest=digest, files=simulated.versions[_name(OLD)].files)


def replay_version(simulated: SimulatedRegistry) -> None:
    """The old version's whole record, when asked for the new one."""
    simulated.versions[_name(NEW)] = simulated.versions[_name(OLD)]


def replay_signature(simulated: SimulatedRegistry) -> None:
    """The old manifest's signature beside the new manifest."""
    simulated.change(NEW, signature=simulated.versions[_name(OLD)].signature)


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
    old = simulated.versions[_name(OLD)]
    simulated.versions[_name("3.0.0")] = old.model_copy(update={"name": _name("3.0.0")})
    pin = VersionPin(version=_name("3.0.0"), manifest_digest=old.manifest_digest)
    simulated.promote(pin)
    await check_starts_not(world.pod(), "STATEMENT_MISMATCH")
    await check_stays(world.warm, "STATEMENT_MISMATCH")


# ------------------------------------------------------------------ R29: forged signatures


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
        manifest = simulated.versions[_name(NEW)].manifest
        assert manifest is not None
        simulated.change(NEW, signature=signed_manifest(manifest, signer))

    return attack


def sign_manifest_as_promotion(simulated: SimulatedRegistry) -> None:
    """The publisher's genuine signature over the manifest, given for another purpose."""
    manifest = simulated.versions[_name(NEW)].manifest
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


# ------------------------------------------------------------------ R30: mix and match


def point_elsewhere(simulated: SimulatedRegistry) -> None:
    """The record names the old version; the statement the new one."""
    simulated.corrupt(rollout=simulated.history[0].rollout)


def send_files_of_another(simulated: SimulatedRegistry) -> None:
    """The old version's model, of the same length, as the new one's."""
    simulated.files[_name(NEW), "model.onnx"] = simulated.files[_name(OLD), "model.onnx"]


def tell_files_of_another(simulated: SimulatedRegistry) -> None:
    """The old version's list of files, too."""
    send_files_of_another(simulated)
    simulated.change(NEW, files=simulated.versions[_name(OLD)].files)


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


# ------------------------------------------------------------------ R31: rollback and freeze


async def test_r31_a_rollback_to_an_older_history_is_refused(world: World) -> None:
    """What a pod has seen cannot be unseen; only a new promotion goes back."""
    assert await world.warm.start() == NEW
    with world.registry.attacked(lambda simulated: simulated.history.pop()):
        await check_stays(world.warm, "SEQUENCE_BEHIND", serving=NEW)
    world.registry.promote(OLD, kind=PromotionKind.ROLLBACK)
    assert await world.warm.start() == OLD
    assert world.warm.alarms.raised == {}


async def test_r31_a_history_that_is_gone_is_refused(world: World) -> None:
    """A registry that knows nothing is not believed either."""
    with world.registry.attacked(lambda simulated: simulated.history.clear()):
        await check_starts_not(world.pod(), "CHANNEL_NOT_FOUND")
        await check_stays(world.warm, "CHANNEL_NOT_FOUND")
    empty = answering(pb.ListChannelHistoryResponse())
    await world.check_refused(
        lambda simulated: simulated.answers.update(ListChannelHistory=empty), "CHAIN_BROKEN"
    )


async def test_r31_nobody_moves_to_a_promotion_that_has_expired(world: World) -> None:
    """So a registry cannot go on offering what was replaced long ago."""
    world.registry.history.pop()
    world.registry.promote(NEW, expire_time=NOW + MONTH)
    assert await world.pod().start() == NEW
    late = NOW + MONTH
    await check_starts_not(world.pod(now=late), "PROMOTION_EXPIRED")
    world.warm.now = late
    await check_stays(world.warm, "PROMOTION_EXPIRED")
    world.registry.promote("3.0.0", expire_time=late + MONTH)
    assert await world.warm.start() == "3.0.0"


async def test_r31_a_frozen_pod_sounds_an_alarm_and_goes_on(world: World) -> None:
    """Expiry unloads nothing: not while it runs, not at a restart, not without the registry."""
    world.registry.promote("3.0.0", expire_time=NOW + MONTH)
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        assert pod.alarms.raised == {}
        pod.now += MONTH
        trusted.look()
        assert reasons(pod) == {"promotion": "PROMOTION_EXPIRED"}
    assert await pod.start() == "3.0.0"
    assert reasons(pod) == {"promotion": "PROMOTION_EXPIRED"}
    world.registry.promote("4.0.0", expire_time=NOW + 2 * MONTH)
    assert await pod.start() == "4.0.0"
    assert pod.alarms.raised == {}


async def test_r31_a_registry_that_never_answers_holds_nobody_up(world: World) -> None:
    """A pod that holds a package goes on with it."""

    async def never(_request: Any, _context: Any) -> None:
        await asyncio.Event().wait()

    with world.registry.attacked(
        lambda simulated: simulated.answers.update(ListChannelHistory=never)
    ):
        assert await world.warm.start() == OLD
    assert await world.warm.start() == NEW


# ------------------------------------------------------------------ R32: fast-forward and forks


def jump(to_sequence: int) -> Attack:
    """A promotion far ahead, which a promoter has signed."""

    def attack(simulated: SimulatedRegistry) -> None:
        simulated.promote(NEW, sequence=to_sequence)

    return attack


@pytest.mark.parametrize("sequence", [2**63 - 1, MAXIMUM_FIRST_SEQUENCE + 1])
async def test_r32_a_fast_forward_is_refused(world: World, sequence: int) -> None:
    """It would leave no room for any other; pods that were offered it go on with the next."""
    await world.check_refused(jump(sequence), "SEQUENCE_TOO_FAR")


async def test_r32_a_first_promotion_may_be_the_millionth(world: World) -> None:
    """A pod that knows nothing begins anywhere up to there."""
    with world.registry.attacked(jump(MAXIMUM_FIRST_SEQUENCE)):
        assert await world.pod().start() == NEW


async def test_r32_a_pod_goes_on_by_a_thousand_promotions_and_no_more(world: World) -> None:
    """And reads no more of a history than leads on."""
    steps = history(MAXIMUM_JUMP + 2, rollout=world.registry.history[1].rollout)
    pod, late = world.pod(), world.pod()
    world.registry.history = steps[:1]
    assert await pod.start() == await late.start() == NEW
    world.registry.history = steps
    await check_stays(late, "SEQUENCE_TOO_FAR", serving=NEW)
    world.registry.history = steps[:-1]
    assert await pod.start() == NEW
    assert pod.remembers().trusted.sequence == MAXIMUM_JUMP + 1


@pytest.mark.parametrize("missing", [1, 2, 3])
async def test_r32_a_gap_in_the_history_is_refused(world: World, missing: int) -> None:
    """Every promotion since the trusted one must be there."""
    for _ in range(3):
        world.registry.promote(NEW)
    with world.registry.attacked(lambda simulated: simulated.history.pop(missing)):
        await check_stays(world.warm, "CHAIN_BROKEN")
    assert await world.warm.start() == NEW


async def test_r32_a_forked_history_is_refused(world: World) -> None:
    """What was trusted is part of all that follows; a promoter who forks it moves nobody."""
    fork = history(2, rollout=world.registry.history[1].rollout, reason="another", expire_time=None)
    fork[0] = promotion(rollout=world.registry.history[1].rollout)
    fork[1] = promotion(fork[0], rollout=world.registry.history[1].rollout)
    with world.registry.attacked(lambda simulated: setattr(simulated, "history", fork)):
        await check_stays(world.warm, "CHAIN_BROKEN")
    with world.registry.attacked(lambda simulated: setattr(simulated, "history", fork[:1])):
        await check_stays(world.warm, "SEQUENCE_FORKED")
    assert await world.warm.start() == NEW
    assert await world.warm.start() == NEW  # the same promotion again is no fork


# ------------------------------------------------------------------ R34: keys and trust roots


def with_second_root(**more: Any) -> TrustRoots:
    """The first trust root, and a version 2."""
    return trust_roots(trust_root(), trust_root(version=2, **more))


PUBLISHER_REVOKED = with_second_root(publishers=[publisher(status=KeyStatus.REVOKED)])
PROMOTER_REVOKED = with_second_root(promoters=[promoter(status=KeyStatus.REVOKED), registry()])


@pytest.mark.parametrize("roots", [PUBLISHER_REVOKED, PROMOTER_REVOKED])
async def test_r34_nothing_of_a_revoked_key_is_loaded(world: World, roots: TrustRoots) -> None:
    """Neither fetched nor from the cache, with the registry or without it."""
    pod = world.pod()
    assert await pod.start() == NEW
    await check_starts_not(world.pod(roots=roots), "KEY_REVOKED")
    pod.roots = roots
    for address in (world.address, "127.0.0.1:1"):
        pod.address = address
        with pytest.raises(VoiceFlowError) as caught:
            await pod.start()
        if address == world.address or roots is PROMOTER_REVOKED:
            assert caught.value.reason == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("roots", "subject"), [(PUBLISHER_REVOKED, "manifest"), (PROMOTER_REVOKED, "promotion")]
)
async def test_r34_a_key_that_is_revoked_meanwhile_sounds_an_alarm(
    world: World, roots: TrustRoots, subject: str
) -> None:
    """What is served goes on being served until somebody promotes another version."""
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        trusted.look()
        assert pod.alarms.raised == {}
        pod.roots = roots
        trusted.look()
        assert reasons(pod) == {subject: "KEY_REVOKED"}


async def test_r34_keys_are_rotated_without_anybody_losing_trust(world: World) -> None:
    """What the retired keys signed holds, and what the new ones sign, without a restart."""
    rotated = with_second_root(
        publishers=[publisher(status=KeyStatus.RETIRED), publisher("publisher-2")],
        promoters=[promoter(status=KeyStatus.RETIRED), promoter("promoter-2"), registry()],
    )
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        pod.roots = rotated
        trusted.look()
        assert pod.alarms.raised == {}
        pin = world.registry.publish("3.0.0", signer="publisher-2")
        world.registry.promote(pin, signer="promoter-2")
        await pod.find(trusted)
    assert await pod.start() == "3.0.0"
    assert pod.remembers().trusted.root_version == 2
    await check_starts_not(world.pod(), "SIGNATURE_INVALID")  # of the old trust root


async def test_r34_an_older_trust_root_is_refused(world: World) -> None:
    """A pod that has seen a version does not go back before it, or to another of its number."""
    pod = world.pod(roots=with_second_root())
    assert await pod.start() == NEW
    pod.roots = trust_roots()
    await check_refuses_root(pod, "ROOT_BEHIND")
    pod.roots = with_second_root(expire_time=NOW + MONTH)
    await check_refuses_root(pod, "ROOT_INVALID")
    pod.roots = trust_roots(*(trust_root(version=number) for number in (1, 2, 3)))
    assert await pod.start() == NEW


async def test_r34_an_older_trust_root_under_a_running_pod_sounds_an_alarm(world: World) -> None:
    """And the newer one stays in force."""
    pod = world.pod(roots=with_second_root())
    with pod.trusting() as trusted:
        await pod.find(trusted)
        pod.roots = trust_roots()
        trusted.look()
        assert reasons(pod) == {"trust root": "ROOT_BEHIND"}
        pod.roots = with_second_root()
        trusted.look()
        assert pod.alarms.raised == {}


FIRST, SECOND, THIRD = (trust_root(version=number) for number in (1, 2, 3))
OTHERS = trust_root(version=2, root_keys=["root-4", "root-5"])


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ([signed_root(FIRST), signed_root(THIRD)], "ROOT_GAP"),
        ([signed_root(SECOND)], "ROOT_GAP"),
        ([signed_root(FIRST), signed_root(SECOND, ["root-1"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(OTHERS, ["root-4", "root-5"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(SECOND, ["promoter", "publisher"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(OTHERS, ["root-1", "root-2"])], "ROOT_NOT_SIGNED"),
    ],
)
def test_r34_a_trust_root_that_the_one_before_does_not_vouch_for_is_refused(
    tmp_path: Path, chain: Sequence[Any], reason: str
) -> None:
    """Versions left out, too few signatures, those of strangers, or none of its own keys."""
    path = tmp_path / "trust-root.json"
    path.write_bytes(write_chain(chain))
    with pytest.raises(Untrusted) as caught:
        read_trust_roots(path)
    assert caught.value.reason == reason
    others = signed_root(OTHERS, ["root-1", "root-2", "root-4", "root-5"])
    path.write_bytes(write_chain([signed_root(FIRST), others]))
    assert read_trust_roots(path).newest.version == 2


async def test_r34_an_expired_trust_root_sounds_an_alarm_and_goes_on(world: World) -> None:
    """Nobody is left without service because somebody forgot to sign."""
    pod = world.pod(roots=trust_roots(trust_root(expire_time=NOW + MONTH)))
    assert await pod.start() == NEW
    assert pod.alarms.raised == {}
    pod.now += MONTH
    world.registry.promote("3.0.0")
    assert await pod.start() == "3.0.0"
    assert reasons(pod) == {"trust root": "ROOT_EXPIRED"}


# ------------------------------------------------------------------ R40: clocks


@pytest.mark.parametrize("days", [-30, 30])
async def test_r40_a_wrong_clock_unloads_nothing_and_goes_back_to_nothing(
    world: World, days: int
) -> None:
    """Sequences order, clocks do not: 30 days off, a pod serves on, and refuses what is older."""
    week = timedelta(days=7)
    world.registry.promote("3.0.0", expire_time=NOW + week)
    pod = world.pod()
    assert await pod.start() == "3.0.0"
    pod.now += timedelta(days=days)
    assert await pod.start() == "3.0.0"
    assert reasons(pod) == ({"promotion": "PROMOTION_EXPIRED"} if days > 0 else {})
    with world.registry.attacked(lambda simulated: simulated.history.pop()):
        await check_stays(pod, "SEQUENCE_BEHIND", serving="3.0.0")
    world.registry.promote("4.0.0", expire_time=NOW + 2 * MONTH)
    assert await pod.start() == "4.0.0"
    assert pod.alarms.raised == {}
    pod.now = NOW
    assert await pod.start() == "4.0.0"


def reasons(pod: Pod) -> dict[str, str]:
    """The alarms that stand, by subject."""
    return {subject: alarm.reason for subject, alarm in pod.alarms.raised.items()}


async def check_refuses_root(pod: Pod, reason: str) -> None:
    """Checks that a pod does not start with its trust root, and remembers a newer one."""
    remembered = pod.remembers()
    with pytest.raises(Untrusted) as caught:
        await pod.start()
    assert caught.value.reason == reason
    assert pod.remembers() == remembered


def answering(answer: Any) -> Answer:
    """A method that always answers this."""

    async def method(_request: Any, _context: Any) -> Any:
        return answer

    return method


def _name(version: str) -> str:
    return f"models/{MODEL}/versions/{version}"


_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""More than gRPC reads ahead of whoever reads a stream."""
