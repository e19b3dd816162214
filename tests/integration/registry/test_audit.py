"""Who did, or was refused, what: written by the real registry for callers who are known."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.access import DOMAIN, Access, Grant, Way
from tests.fakes.identity import token
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import counted
from tests.fakes.publishing import ScriptedGates, finding, package
from tests.fakes.registry import begin, call, chunk, eventually, failure, promotion, running, whole
from tests.fakes.storage import Fault, FaultyStore, Operation
from voiceflow.artifact import digest_of
from voiceflow.catalog.audit import CANCELLED, OUTCOME_UNKNOWN
from voiceflow.catalog.gates import Gate
from voiceflow.errors import Forbidden, Unauthenticated, Unavailable
from voiceflow.identity.certificates import fingerprint, principal_of
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow_registry.app import App
from voiceflow_registry.audit.allowance import BURST
from voiceflow_registry.storage.object_store import ObjectStore

MODEL = "models/tones"
V100, V110 = (f"{MODEL}/versions/{version}" for version in ("1.0.0", "1.1.0"))
STABLE = f"{MODEL}/channels/stable"
FIRST, SECOND = (package(version, weights=version.encode()) for version in ("1.0.0", "1.1.0"))

ALICE, PETE, PROMOTER, OPERATOR, COLLECTOR, READER, POD, STRANGER = (
    f"{DOMAIN}/{who}"
    for who in (
        "publisher/alice",
        "publisher/pete",
        "promoter/one",
        "operator/one",
        "collector/one",
        "reader/one",
        "pod/a",
        "stranger/one",
    )
)
GRANTS = [
    Grant(ALICE, ["publisher"], models=["tones"]),
    Grant(PETE, ["publisher"], models=["other"]),
    Grant(PROMOTER, ["promoter", "validator"]),
    Grant(OPERATOR, ["operator"]),
    Grant(COLLECTOR, ["collector"]),
    Grant(READER, ["reader"]),
    Grant(POD, ["client"], pods=["a", "b"]),
]


@dataclass(frozen=True)
class Place:
    """A registry over mTLS.

    Attributes:
        app: It.
        access: Makes connections.
        store: Its store.
        gates: Its gates.
    """

    app: App
    access: Access
    store: MemoryStore
    gates: ScriptedGates

    def stub(self, principal: str | None) -> pb_grpc.ModelRegistryStub:
        """A connection of a caller."""
        return pb_grpc.ModelRegistryStub(self.access.channel(self.app.server.address, principal))

    async def do(self, principal: str, method: str, request: Any) -> Any:
        """What a caller is answered."""
        return await call(getattr(self.stub(principal), method), request)

    async def refused(self, principal: str, method: str, request: Any, reason: str) -> None:
        """A call that ends with a reason."""
        error = await failure(getattr(self.stub(principal), method), request)
        assert error.reason == reason, error

    async def entries(self, **where: Any) -> list[pb.AuditEntry]:
        """What an operator is told, newest first."""
        request = pb.ListAuditEntriesRequest(filter=pb.AuditFilter(**where))
        return list((await self.do(OPERATOR, "ListAuditEntries", request)).entries)

    async def entry(self, **where: Any) -> pb.AuditEntry:
        """The only one of these."""
        (entry,) = await self.entries(**where)
        return entry

    async def publish(self) -> None:
        """Two versions."""
        for what in (FIRST, SECOND):
            await self.do(ALICE, "PublishVersion", whole(what))


@asynccontextmanager
async def placed(
    folder: Path,
    faulty: Callable[[MemoryStore], ObjectStore] = lambda store: store,
    **settings: Any,
) -> AsyncIterator[Place]:
    """A registry whose callers show certificates."""
    store, gates = MemoryStore(), ScriptedGates()
    async with (
        Access(folder, Way.CERTIFICATE, GRANTS) as access,
        running(faulty(store), gates, **access.settings(), **settings) as (app, _),
    ):
        yield Place(app, access, store, gates)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A registry with room for what it is asked."""
    async with placed(tmp_path, collection_grace_seconds=1e-6) as made:
        yield made


def brief(entries: Sequence[pb.AuditEntry]) -> list[tuple[str, ...]]:
    """Who did what with which outcome."""
    return [
        (
            entry.principal.removeprefix(f"{DOMAIN}/").partition("/")[0],
            entry.method,
            entry.resource.removeprefix(f"{MODEL}/")
            .removeprefix("versions/")
            .removeprefix("channels/"),
            "done" if entry.allowed and not entry.refusal_reason else entry.refusal_reason,
            entry.before,
            entry.after,
        )
        for entry in entries
    ]


async def test_every_change_has_an_entry_that_says_who_did_what(place: Place) -> None:
    """Each method that changes something, newest first, with what it changed."""
    await place.publish()
    (*_, last) = await place.do(PROMOTER, "ValidateVersion", pb.ValidateVersionRequest(name=V110))
    first = promotion(STABLE, V100)
    etag = (await place.do(PROMOTER, "PromoteVersion", first)).channel.etag
    second = promotion(STABLE, V110, etag=etag)
    second.rollout.canary.pin.version = V100
    second.rollout.canary.percentage = 5
    etag = (await place.do(PROMOTER, "PromoteVersion", second)).channel.etag
    back = pb.RollbackChannelRequest(channel=STABLE, etag=etag, to_sequence=1)
    await place.do(OPERATOR, "RollbackChannel", back)
    asked = pb.GetChannelPolicyRequest(name=f"{STABLE}/policy")
    etag = (await place.do(READER, "GetChannelPolicy", asked)).policy.etag
    policy = pb.ChannelPolicy(name=f"{STABLE}/policy", allow_prereleases=True)
    await place.do(
        OPERATOR, "UpdateChannelPolicy", pb.UpdateChannelPolicyRequest(policy=policy, etag=etag)
    )
    await place.do(ALICE, "YankVersion", pb.YankVersionRequest(name=V110, reason="flickers"))
    await place.do(OPERATOR, "DeleteVersion", pb.DeleteVersionRequest(name=V110))
    collected = await place.do(COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest())
    entries = await place.entries()
    ran = f"validations/{last.report.name.rpartition('/')[2]} passed"
    gone = f"{len(collected.objects)} objects removed"
    trial = "1.1.0, canary 1.0.0 at 5 %"
    assert brief(entries) == [
        ("collector", "CollectGarbage", "", "done", "", gone),
        ("operator", "DeleteVersion", "1.1.0", "done", "yanked", "deleted"),
        ("publisher", "YankVersion", "1.1.0", "done", "published", "yanked"),
        ("operator", "UpdateChannelPolicy", "stable/policy", "done", "policy 0", "policy 1"),
        ("operator", "RollbackChannel", "stable", "done", trial, "1.0.0"),
        ("promoter", "PromoteVersion", "stable", "done", "1.0.0", trial),
        ("promoter", "PromoteVersion", "stable", "done", "", "1.0.0"),
        ("promoter", "ValidateVersion", "1.1.0", "done", "", ran),
        ("publisher", "PublishVersion", "1.1.0", "done", "", digest_of(SECOND.manifest)),
        ("publisher", "PublishVersion", "1.0.0", "done", "", digest_of(FIRST.manifest)),
    ]  # fmt: skip
    names = [entry.name for entry in entries]
    assert names == sorted(names, reverse=True)
    shown = certificate_of(place, PROMOTER)
    assert entries[-3].credential == shown
    assert list(entries[-3].roles) == ["promoter", "validator"]
    assert "127.0.0.1:" in entries[-3].peer


def certificate_of(place: Place, principal: str) -> str:
    """The fingerprint of the certificate that a caller shows."""
    pems = [path.read_bytes() for path in place.access.folder.glob("*.pem")]
    (shown,) = [pem for pem in pems if b"KEY" not in pem and principal_of(pem) == principal]
    return fingerprint(shown)


async def test_a_token_is_told_by_its_id_and_stands_nowhere(tmp_path: Path) -> None:
    """The entry names the token that was shown; no object of the store holds it."""
    store = MemoryStore()
    async with (
        Access(tmp_path, Way.TOKEN, GRANTS) as access,
        running(store, **access.settings()) as (app, _),
    ):
        shown = token(COLLECTOR, "voiceflow-registry", jti="token-1")
        metadata = (("authorization", f"Bearer {shown}"),)
        stub = pb_grpc.ModelRegistryStub(access.channel(app.server.address, COLLECTOR))
        await stub.CollectGarbage(pb.CollectGarbageRequest(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetModel(pb.GetModelRequest(name=MODEL), metadata=metadata)
    written = [store.get(info.key).content for info in store.list("audit/")]
    assert len(written) == 3
    for content in written:
        assert b"jti:token-1" in content
        for part in shown.split("."):
            assert part.encode() not in content


async def test_what_the_table_refuses_is_recorded_whatever_the_method(place: Place) -> None:
    """Reading too; by somebody with another role, and by somebody with none."""
    await place.refused(READER, "PromoteVersion", promotion(STABLE, V100), "ROLE_MISSING")
    await place.refused(COLLECTOR, "GetModel", pb.GetModelRequest(name=MODEL), "ROLE_MISSING")
    watch = pb.WatchChannelsRequest(channels=[pb.ChannelCursor(channel=STABLE)])
    await place.refused(STRANGER, "WatchChannels", watch, "ROLE_MISSING")
    assert brief(await place.entries(refused_only=True)) == [
        ("stranger", "WatchChannels", "", "ROLE_MISSING", "", ""),
        ("collector", "GetModel", "", "ROLE_MISSING", "", ""),
        ("reader", "PromoteVersion", "", "ROLE_MISSING", "", ""),
    ]


async def test_what_is_anothers_is_refused_and_recorded_once(place: Place) -> None:
    """With the resource that was asked for: a model, an upload, a pod."""
    await place.do(ALICE, "PublishVersion", whole(FIRST))
    yank = pb.YankVersionRequest(name=V100, reason="x")
    await place.refused(PETE, "YankVersion", yank, "ROLE_MISSING")
    await place.refused(PETE, "PublishVersion", whole(SECOND), "ROLE_MISSING")
    upload = f"{V100}/uploads/{'0' * 64}"
    await place.refused(PETE, "GetUpload", pb.GetUploadRequest(name=upload), "ROLE_MISSING")
    validate = pb.ValidateVersionRequest(name=V100)
    await place.refused(PETE, "ValidateVersion", validate, "ROLE_MISSING")
    for report in (
        pb.ReportServingRequest(pod=pod("pods/c"), report_number=1),
        left("pods/c"),
    ):
        await place.refused(POD, "ReportServing", report, "POD_NOT_CALLER")
    assert brief(await place.entries(refused_only=True)) == [
        *2 * [("pod", "ReportServing", "pods/c", "POD_NOT_CALLER", "", "")],
        ("publisher", "ValidateVersion", "1.0.0", "ROLE_MISSING", "", ""),
        ("publisher", "GetUpload", f"1.0.0/uploads/{'0' * 64}", "ROLE_MISSING", "", ""),
        ("publisher", "PublishVersion", "1.1.0", "ROLE_MISSING", "", ""),
        ("publisher", "YankVersion", "1.0.0", "ROLE_MISSING", "", ""),
    ]  # fmt: skip


async def test_what_an_act_refuses_is_recorded_once(place: Place) -> None:
    """By policy, by state, or since something is wrong with the request."""
    await place.publish()
    asked = pb.GetChannelPolicyRequest(name=f"{STABLE}/policy")
    etag = (await place.do(READER, "GetChannelPolicy", asked)).policy.etag
    policy = pb.ChannelPolicy(name=f"{STABLE}/policy", promoters=[f"{DOMAIN}/promoter/other"])
    await place.do(
        OPERATOR, "UpdateChannelPolicy", pb.UpdateChannelPolicyRequest(policy=policy, etag=etag)
    )
    await place.refused(PROMOTER, "PromoteVersion", promotion(STABLE, V100), "POLICY_FORBIDS")
    await place.refused(
        OPERATOR, "DeleteVersion", pb.DeleteVersionRequest(name=V100), "VERSION_NOT_YANKED"
    )
    await place.refused(
        COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest(request_id="x"), "FIELD_INVALID"
    )
    missing = f"{MODEL}/versions/9.0.0"
    yank = pb.YankVersionRequest(name=missing)
    await place.refused(OPERATOR, "YankVersion", yank, "FIELD_REQUIRED")
    other = package("1.0.0", weights=b"others")
    await place.refused(ALICE, "PublishVersion", whole(other), "VERSION_EXISTS")
    await place.refused(ALICE, "PublishVersion", [begin(package("1.2.0"))], "UPLOAD_INCOMPLETE")
    await place.refused(
        PROMOTER,
        "ValidateVersion",
        pb.ValidateVersionRequest(name=missing),
        "VERSION_NOT_FOUND",
    )
    assert brief(await place.entries(refused_only=True)) == [
        ("promoter", "ValidateVersion", "9.0.0", "VERSION_NOT_FOUND", "", ""),
        ("publisher", "PublishVersion", "1.2.0", "UPLOAD_INCOMPLETE", "", ""),
        ("publisher", "PublishVersion", "1.0.0", "VERSION_EXISTS", "", ""),
        ("operator", "YankVersion", "9.0.0", "FIELD_REQUIRED", "", ""),
        ("collector", "CollectGarbage", "", "FIELD_INVALID", "", ""),
        ("operator", "DeleteVersion", "1.0.0", "VERSION_NOT_YANKED", "", ""),
        ("promoter", "PromoteVersion", "stable", "POLICY_FORBIDS", "", ""),
    ]


async def test_what_is_only_tried_out_leaves_no_entry(place: Place) -> None:
    """Done or refused for what it says: nobody fills the store for ever by trying."""
    await place.publish()
    held = len(list(place.store.list("")))
    third = package("1.2.0")
    await place.do(ALICE, "PublishVersion", whole(third, validate_only=True))
    incomplete = [begin(third, validate_only=True)]
    await place.refused(ALICE, "PublishVersion", incomplete, "UPLOAD_INCOMPLETE")
    await place.do(PROMOTER, "PromoteVersion", promotion(STABLE, V100, validate_only=True))
    stale = promotion(STABLE, V100, etag="stale", validate_only=True)
    await place.refused(PROMOTER, "PromoteVersion", stale, "ETAG_STALE")
    yank = pb.YankVersionRequest(name=V110, reason="x", validate_only=True)
    await place.do(ALICE, "YankVersion", yank)
    await place.do(COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest(validate_only=True))
    assert len(list(place.store.list(""))) == held


async def test_whom_a_trial_is_forbidden_is_recorded_once(place: Place) -> None:
    """By what is theirs, by their role, and by what the act itself looks at."""
    await place.publish()
    policy = pb.ChannelPolicy(name=f"{STABLE}/policy", promoters=[f"{DOMAIN}/promoter/other"])
    asked = pb.GetChannelPolicyRequest(name=policy.name)
    etag = (await place.do(READER, "GetChannelPolicy", asked)).policy.etag
    await place.do(
        OPERATOR, "UpdateChannelPolicy", pb.UpdateChannelPolicyRequest(policy=policy, etag=etag)
    )
    wish = promotion(STABLE, V100, validate_only=True)
    await place.refused(PROMOTER, "PromoteVersion", wish, "POLICY_FORBIDS")
    await place.refused(READER, "PromoteVersion", wish, "ROLE_MISSING")
    trial = whole(SECOND, validate_only=True)
    await place.refused(PETE, "PublishVersion", trial, "ROLE_MISSING")
    assert brief(await place.entries(refused_only=True)) == [
        ("publisher", "PublishVersion", "1.1.0", "ROLE_MISSING", "", ""),
        ("reader", "PromoteVersion", "", "ROLE_MISSING", "", ""),
        ("promoter", "PromoteVersion", "stable", "POLICY_FORBIDS", "", ""),
    ]


async def test_doing_again_is_recorded_as_changing_nothing(place: Place) -> None:
    """The same bytes again, a yank of what is yanked, a request sent twice."""
    await place.publish()
    await place.do(ALICE, "PublishVersion", whole(FIRST))
    wish = promotion(STABLE, V100, request_id=str(uuid.uuid4()))
    for _ in range(2):
        await place.do(PROMOTER, "PromoteVersion", wish)
    yank = pb.YankVersionRequest(name=V110, reason="x")
    for _ in range(2):
        await place.do(ALICE, "YankVersion", yank)
    entries = (await place.entries())[:-2]
    assert all(entry.allowed and not entry.refusal_reason for entry in entries)
    assert [(entry.method, entry.before, entry.after) for entry in entries] == [
        ("YankVersion", "", ""),
        ("YankVersion", "published", "yanked"),
        ("PromoteVersion", "", "1.0.0"),
        ("PromoteVersion", "", "1.0.0"),
        ("PublishVersion", "", ""),
    ]
    assert entries[2].request_id == entries[3].request_id == wish.request_id


async def test_who_is_not_known_leaves_no_entry(tmp_path: Path) -> None:
    """Anyone at all could fill the store."""
    store = MemoryStore()
    async with (
        Access(tmp_path, Way.TOKEN, GRANTS) as access,
        running(store, **access.settings()) as (app, _),
    ):
        stub = pb_grpc.ModelRegistryStub(access.channel(app.server.address, None))
        error = await failure(stub.CollectGarbage, pb.CollectGarbageRequest())
        assert isinstance(error, Unauthenticated)
    assert list(store.list("")) == []


async def test_a_request_that_names_nothing_leaves_no_entry(place: Place) -> None:
    """What callers send for a name is not written down."""
    yank = pb.YankVersionRequest(name="Bearer secret", reason="x")
    await place.refused(OPERATOR, "YankVersion", yank, "NAME_INVALID")
    assert await place.entries() == []


async def test_who_asks_on_and_on_fills_no_store(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The first refusals of each caller are recorded, the rest logged and counted."""
    before = counted("voiceflow.audit.dropped", why="too many")
    stub = place.stub(READER)
    request = pb.CollectGarbageRequest()
    with caplog.at_level(logging.WARNING):
        for _ in range(BURST + 30):
            assert isinstance(await failure(stub.CollectGarbage, request), Forbidden)
        assert len(await place.entries(principal=READER)) == BURST
        assert caplog.text.count("one of many") == 30
        assert counted("voiceflow.audit.dropped", why="too many") - before == 30
    await place.refused(STRANGER, "CollectGarbage", request, "ROLE_MISSING")
    assert len(await place.entries(principal=STRANGER)) == 1


async def test_who_asks_on_and_on_for_what_is_anothers_fills_no_store(place: Place) -> None:
    """What a method refuses counts as well."""
    stub = place.stub(PETE)
    yank = pb.YankVersionRequest(name=V100, reason="x")
    for _ in range(BURST + 10):
        assert isinstance(await failure(stub.YankVersion, yank), Forbidden)
    assert len(await place.entries(principal=PETE)) == BURST


async def test_a_refusal_that_cannot_be_recorded_is_a_refusal_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller hears ROLE_MISSING, the operator's log that the entry is missing."""

    def when(operation: Operation) -> Fault | None:
        return Fault.REFUSE if operation.method == "put" else None

    before = counted("voiceflow.audit.dropped", why="failed")
    async with placed(tmp_path, lambda store: FaultyStore(store, when=when)) as place:
        with caplog.at_level(logging.ERROR):
            await place.refused(
                READER, "CollectGarbage", pb.CollectGarbageRequest(), "ROLE_MISSING"
            )
        assert "not recorded: ROLE_MISSING" in caplog.text
        assert counted("voiceflow.audit.dropped", why="failed") - before == 1


async def test_only_operators_read_the_audit(place: Place) -> None:
    """Everybody else is refused, and that is recorded too."""
    for who in (ALICE, PROMOTER, COLLECTOR, READER, POD):
        await place.refused(who, "ListAuditEntries", pb.ListAuditEntriesRequest(), "ROLE_MISSING")
    assert len(await place.entries(method="ListAuditEntries")) == 5


async def test_a_publisher_who_leaves_has_cancelled(place: Place) -> None:
    """A stream that is cut half-way has an entry from its begin on, and an end."""
    stream = place.stub(ALICE).PublishVersion()
    await stream.write(begin(FIRST))
    await stream.write(chunk("model.onnx", 0, FIRST.files["model.onnx"]))
    entry = await newest(place, method="PublishVersion")
    assert (entry.allowed, entry.refusal_reason) == (True, OUTCOME_UNKNOWN)
    stream.cancel()
    entry = await newest(place, refused_only=True)
    assert (entry.method, entry.resource, entry.refusal_reason) == (
        "PublishVersion",
        V100,
        CANCELLED,
    )
    await place.do(ALICE, "PublishVersion", whole(FIRST))


async def gone(place: Place) -> None:
    """Waits until the registry knows that nobody is there any more."""

    async def look() -> bool:
        return place.app.servicer._presence._count == 0

    await eventually(look)


async def newest(place: Place, **where: Any) -> pb.AuditEntry:
    """The newest of these, once there is one."""
    return (await eventually(lambda: place.entries(**where)))[0]


class Slow:
    """A store whose next intent waits for somebody.

    Attributes:
        inside: It waits.
        go_on: It need not any more.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        if key.endswith(".intent.json"):
            self.inside.set()
            assert self.go_on.wait(30)
        return self._store.put(key, content, if_generation=if_generation)


async def test_a_publisher_who_leaves_at_the_begin_has_an_end_too(tmp_path: Path) -> None:
    """Though nobody waits for what is being begun."""
    stores: list[Slow] = []

    def slow(store: MemoryStore) -> Slow:
        stores.append(Slow(store))
        return stores[0]

    async with placed(tmp_path, slow) as place:
        (store,) = stores
        stream = place.stub(ALICE).PublishVersion(iter(whole(FIRST)))
        await asyncio.to_thread(store.inside.wait, 30)
        stream.cancel()
        with suppress(asyncio.CancelledError):
            await stream
        await gone(place)
        store.go_on.set()
        assert (await newest(place, refused_only=True)).refusal_reason == CANCELLED


async def test_a_publisher_who_leaves_in_the_gates_has_an_end_that_is_so(place: Place) -> None:
    """The version is not committed, and the entry says so."""
    inside, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(gate: Gate) -> None:
        if gate is Gate.GRAPH:
            loop.call_soon_threadsafe(inside.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

    place.gates.before = wait
    stream = place.stub(ALICE).PublishVersion(iter(whole(FIRST)))
    async with asyncio.timeout(30):
        await inside.wait()
    stream.cancel()
    with suppress(asyncio.CancelledError):
        await stream
    await gone(place)
    go_on.set()
    entry = await newest(place, refused_only=True)
    assert entry.refusal_reason == CANCELLED
    models = await place.do(READER, "ListModels", pb.ListModelsRequest())
    assert not models.models


async def test_a_stream_that_says_nothing_is_cut_and_recorded(tmp_path: Path) -> None:
    """UPLOAD_IDLE."""
    async with placed(tmp_path, publish_idle_seconds=0.05) as place:
        stream = place.stub(ALICE).PublishVersion()
        await stream.write(begin(FIRST))
        with pytest.raises(grpc.aio.AioRpcError):
            await stream
        entry = await place.entry(refused_only=True)
        assert (entry.method, entry.refusal_reason) == ("PublishVersion", "UPLOAD_IDLE")


async def test_who_leaves_a_validation_has_cancelled_it(place: Place) -> None:
    """No report is stored, and the entry says why."""
    await place.publish()
    inside, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(_: Gate) -> None:
        loop.call_soon_threadsafe(inside.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

    place.gates.before = wait
    run = place.stub(PROMOTER).ValidateVersion(pb.ValidateVersionRequest(name=V100))
    async with asyncio.timeout(30):
        await inside.wait()
    run.cancel()
    await gone(place)
    go_on.set()
    entry = await newest(place, refused_only=True)
    assert (entry.method, entry.refusal_reason) == ("ValidateVersion", CANCELLED)


async def test_a_validation_that_fails_is_a_result(place: Place) -> None:
    """It is told as failed, and was not refused."""
    await place.publish()
    place.gates.failing = {Gate.GRAPH: finding("graph.too-many")}
    await place.do(PROMOTER, "ValidateVersion", pb.ValidateVersionRequest(name=V100))
    entry = await place.entry(method="ValidateVersion")
    assert entry.allowed
    assert entry.after.endswith(" failed")


def pod(name: str) -> pb.Pod:
    """What a pod says of itself."""
    start = Timestamp()
    start.GetCurrentTime()
    return pb.Pod(name=name, channel=STABLE, start_time=start)


async def follow(place: Place) -> None:
    """Promotes twice on a channel that two pods can roll back."""
    asked = pb.GetChannelPolicyRequest(name=f"{STABLE}/policy")
    etag = (await place.do(READER, "GetChannelPolicy", asked)).policy.etag
    fleet = pb.FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50)
    policy = pb.ChannelPolicy(name=f"{STABLE}/policy", fleet_rollback=fleet)
    request = pb.UpdateChannelPolicyRequest(policy=policy, etag=etag)
    await place.do(OPERATOR, "UpdateChannelPolicy", request)
    etag = ""
    for version in (V100, V110):
        wish = promotion(STABLE, version, etag=etag)
        etag = (await place.do(PROMOTER, "PromoteVersion", wish)).channel.etag


def left(name: str) -> pb.ReportServingRequest:
    """A pod says that it has left the newest version."""
    own = pod(name)
    revert = pb.Revert(
        name=f"{STABLE}/reverts/{uuid.uuid4()}",
        pod=name,
        sequence=2,
        from_version=pb.VersionPin(version=V110),
        to_version=pb.VersionPin(version=V100),
        role=pb.ROLE_PRIMARY,
        cause=pb.Revert.CAUSE_NON_FINITE,
        revert_time=own.start_time,
    )
    return pb.ReportServingRequest(pod=own, report_number=1, reverts=[revert])


async def test_what_the_registry_rolls_back_itself_is_recorded_as_its_own(place: Place) -> None:
    """By `voiceflow:registry`, from what did not hold to what did; and whose reports led to it."""
    await place.publish()
    await follow(place)
    for name in ("pods/a", "pods/b"):
        await place.do(POD, "ReportServing", left(name))
    assert brief(await place.entries(method="ReportServing", resource=STABLE)) == [
        ("pod", "ReportServing", "stable", "done", "", "1 revert of pods/b"),
        ("pod", "ReportServing", "stable", "done", "", "1 revert of pods/a"),
    ]
    quiet = pb.ReportServingRequest(pod=left("pods/a").pod, report_number=2)
    await place.do(POD, "ReportServing", quiet)
    assert len(await place.entries(method="ReportServing")) == 2, "reverts alone are recorded"
    entry = await place.entry(principal="voiceflow:registry")
    assert brief([entry]) == [
        ("voiceflow:registry", "RollbackChannel", "stable", "done", "1.1.0", "1.0.0")
    ]
    assert (list(entry.roles), entry.credential, entry.peer) == ([], "", "")


async def test_a_rollback_of_its_own_that_cannot_be_recorded_is_not_committed(
    tmp_path: Path,
) -> None:
    """R44: the pod's report is answered with AUDIT_UNAVAILABLE, so that it comes again."""
    away = False

    def when(operation: Operation) -> Fault | None:
        return Fault.REFUSE if away and operation.key.startswith("audit/") else None

    async with placed(tmp_path, lambda store: FaultyStore(store, when=when)) as place:
        await place.publish()
        await follow(place)
        await place.do(POD, "ReportServing", left("pods/a"))
        report = left("pods/b")
        away = True
        error = await failure(place.stub(POD).ReportServing, report)
        assert isinstance(error, Unavailable)
        assert error.reason == "AUDIT_UNAVAILABLE"
        away = False
        history = pb.ListChannelHistoryRequest(parent=STABLE)
        assert len((await place.do(READER, "ListChannelHistory", history)).promotions) == 2
        await place.do(POD, "ReportServing", report)
        assert len((await place.do(READER, "ListChannelHistory", history)).promotions) == 3


async def test_collection_takes_no_entry(place: Place) -> None:
    """However old, and whatever else it takes."""
    await place.publish()
    await place.refused(READER, "CollectGarbage", pb.CollectGarbageRequest(), "ROLE_MISSING")
    await place.do(ALICE, "YankVersion", pb.YankVersionRequest(name=V110, reason="x"))
    await place.do(OPERATOR, "DeleteVersion", pb.DeleteVersionRequest(name=V110))
    before = [info.key for info in place.store.list("audit/")]
    collected = await place.do(COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest())
    assert collected.objects
    assert not [one for one in collected.objects if one.key.startswith("audit/")]
    after = {info.key for info in place.store.list("audit/")}
    assert after >= set(before)


async def test_pages_are_read_one_after_another(place: Place) -> None:
    """Each entry once, though more are written meanwhile."""
    for _ in range(5):
        await place.do(COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest())
    expected = [entry.name for entry in await place.entries()]
    seen: list[str] = []
    request = pb.ListAuditEntriesRequest(page_size=2)
    while True:
        page = await place.do(OPERATOR, "ListAuditEntries", request)
        seen += [entry.name for entry in page.entries]
        await place.do(COLLECTOR, "CollectGarbage", pb.CollectGarbageRequest())
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == expected


async def test_the_entries_of_all_replicas_are_one_list() -> None:
    """Whichever was asked."""
    store = MemoryStore()
    async with running(store) as (_, one), running(store) as (_, other):
        await call(one.CollectGarbage, pb.CollectGarbageRequest())
        await call(other.CollectGarbage, pb.CollectGarbageRequest())
        listed = [
            [entry.name for entry in (await call(stub.ListAuditEntries, EVERYTHING)).entries]
            for stub in (one, other)
        ]
        assert listed[0] == listed[1]
        assert len(listed[0]) == 2


EVERYTHING = pb.ListAuditEntriesRequest()


async def test_without_identity_callers_are_told_by_their_host() -> None:
    """In development whoever comes may do everything, and is recorded all the same."""
    async with running() as (_, registry):
        await call(registry.CollectGarbage, pb.CollectGarbageRequest())
        (entry,) = (await call(registry.ListAuditEntries, EVERYTHING)).entries
        assert (entry.principal, entry.credential) == ("host:127.0.0.1", "")
        assert len(entry.roles) == 7
