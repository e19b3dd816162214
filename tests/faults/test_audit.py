"""R44: audit writes fail, or the registry dies between an intent, its act and the outcome.

What is not recorded is not done; what was done is recorded, at least as begun; and an entry never
says that something was refused that was done, or done that was not.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import Package, ScriptedGates, package
from tests.fakes.registry import begin, chunk, promotion, whole
from tests.fakes.storage import Crashed, Fault, FaultyStore, Operation
from voiceflow.catalog.audit import OUTCOME_UNKNOWN, AuditEntry, AuditFilter
from voiceflow.errors import NotFound, Unavailable, VoiceFlowError
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc import access
from voiceflow.rpc.security import Security
from voiceflow_registry.app import assemble
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.servicer import RegistryServicer
from voiceflow_registry.settings import Settings
from voiceflow_registry.storage.object_store import ObjectStore

MODEL = "models/tones"
V100, V110, V120 = (f"{MODEL}/versions/{version}" for version in ("1.0.0", "1.1.0", "1.2.0"))
YOUNG, OLD, FRESH = (f"{MODEL}/channels/{channel}" for channel in ("young", "old", "fresh"))
NEXT = package("1.3.0", weights=b"weights of 1.3.0")
GARBAGE = f"blobs/sha256/{'0' * 64}"

BOB = Caller("spiffe://test/bob", frozenset(CallerRole), models=("*",), pods=("*",))
FAULTS = [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOSE_REPLY, Fault.REFUSE, Fault.REPEAT]

Requests = Any
"""A request, or the requests of a stream."""


@dataclass
class Call:
    """The transport's side of one call, which nobody cuts."""

    replies: list[Any] = field(default_factory=list)

    async def write(self, reply: Any) -> None:
        """Takes a reply."""
        self.replies.append(reply)

    async def read(self) -> Any:
        """There is no more to come."""
        return grpc.aio.EOF

    async def send_initial_metadata(self, metadata: Any) -> None:
        """Takes it."""


async def ask(store: ObjectStore, method: str, request: Requests) -> Any:
    """What one replica, that lives no longer than this, answers.

    Raises:
        VoiceFlowError: Its error.
        Crashed: It died.
    """
    settings: dict[str, Any] = {
        "collection_grace_seconds": 1e-6,
        "demanded_gates": "manifest",
        "threads": 2,
    }
    app = assemble(
        Settings(**settings),
        store,
        ScriptedGates(),
        security=Security.development(),
        has_evaluation_set=False,
    )
    try:
        return await _ask(app.servicer, method, request)
    finally:
        await app.close()


async def _ask(servicer: RegistryServicer, method: str, request: Requests) -> Any:
    access._CALLER.set(BOB)
    if method == "PublishVersion":
        request = _stream(servicer, request)
    call = Call()
    answer = await getattr(servicer, method)(request, call)
    return call.replies if answer is None else answer


async def _stream(
    servicer: RegistryServicer, sent: Sequence[pb.PublishVersionRequest] | Package
) -> AsyncIterator[pb.PublishVersionRequest]:
    """These requests; of a package, what the registry does not have yet."""
    if not isinstance(sent, Package):
        for one in sent:
            yield one
        return
    yield begin(sent, request_id=ID)
    try:
        request = pb.GetUploadRequest(name=str(sent.upload))
        upload = (await servicer.GetUpload(request, Call())).upload  # type: ignore[arg-type]
    except NotFound:  # it is published
        return
    for file in upload.files:
        rest = sent.files[file.file][file.received_bytes :]
        if rest and not file.complete:
            yield chunk(file.file, file.received_bytes, rest)


ID = str(uuid.uuid4())


@dataclass(frozen=True)
class Act:
    """A call that changes something.

    Attributes:
        method: Its name.
        request: Of its first try.
        commits: Below which keys it changes something when it is done.
        after: What its entry says then; None: anything.
        again: Of its second try; None: the same.
    """

    method: str
    request: Callable[[Seed], Requests]
    commits: str
    after: str | None = None
    again: Requests = None

    def __str__(self) -> str:
        return self.method


@dataclass(frozen=True)
class Seed:
    """A store with something of everything in it.

    Attributes:
        store: Not to be changed.
        etags: Of its channels.
        entries: What was recorded until then.
    """

    store: MemoryStore
    etags: dict[str, str]
    entries: frozenset[str]

    def copy(self) -> MemoryStore:
        """A store of one's own."""
        made = MemoryStore()
        made._objects = dict(self.store._objects)
        made._keys = list(self.store._keys)
        made._generation = self.store._generation
        return made

    def told(self, store: ObjectStore) -> list[AuditEntry]:
        """What was recorded since, newest first."""
        page = AuditEntries(store).list(AuditFilter(), page_size=1000, page_token="")
        return [entry for entry in page.items if entry.name not in self.entries]


LEFT = pb.ReportServingRequest(
    pod=pb.Pod(name="pods/a", channel=OLD, start_time=Timestamp(seconds=1)),
    report_number=1,
    reverts=[
        pb.Revert(
            name=f"{OLD}/reverts/{ID}",
            pod="pods/a",
            sequence=2,
            from_version=pb.VersionPin(version=V110),
            role=pb.ROLE_PRIMARY,
            cause=pb.Revert.CAUSE_NON_FINITE,
            revert_time=Timestamp(seconds=1),
        )
    ],
)

ACTS = [
    Act(
        "PublishVersion",
        lambda _: whole(NEXT, request_id=ID),
        "versions/",
        again=NEXT,
    ),
    Act(
        "ValidateVersion",
        lambda _: pb.ValidateVersionRequest(name=V100, request_id=ID),
        "reports/",
    ),
    Act(
        "YankVersion",
        lambda _: pb.YankVersionRequest(name=V100, reason="flickers", request_id=ID),
        "yanks/",
    ),
    Act(
        "DeleteVersion",
        lambda _: pb.DeleteVersionRequest(name=V120, request_id=ID),
        "deletions/",
    ),
    Act(
        "PromoteVersion",
        lambda seed: promotion(YOUNG, V110, etag=seed.etags[YOUNG], request_id=ID),
        "history/",
        after="1.1.0",
    ),
    Act(
        "RollbackChannel",
        lambda seed: pb.RollbackChannelRequest(channel=OLD, etag=seed.etags[OLD], request_id=ID),
        "history/",
        after="1.0.0",
    ),
    Act(
        "UpdateChannelPolicy",
        lambda seed: pb.UpdateChannelPolicyRequest(
            policy=pb.ChannelPolicy(name=f"{FRESH}/policy", allow_prereleases=True),
            etag=seed.etags[FRESH],
            request_id=ID,
        ),
        "policies/",
    ),
    Act(
        "ReportServing",
        lambda _: LEFT,
        "reverts/",
        after="1 revert of pods/a",
    ),
    Act(
        "CollectGarbage",
        lambda _: pb.CollectGarbageRequest(request_id=ID),
        "blobs/",
    ),
]

all_acts = pytest.mark.parametrize("act", ACTS, ids=str)


def test_r44_every_method_that_is_recorded_is_tried() -> None:
    """All that stand in the contract as changing something by request, or by what pods report."""
    changing = {
        method.name
        for method in pb.DESCRIPTOR.services_by_name["ModelRegistry"].methods
        if "validate_only" in method.input_type.fields_by_name
    } | {"PublishVersion", "ValidateVersion", "ReportServing"}
    assert {act.method for act in ACTS} == changing


_SEEDS: list[Seed] = []


@pytest.fixture
async def seed() -> Seed:
    """The same for all, made once."""
    if not _SEEDS:
        store = MemoryStore()
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            made = package(version, weights=version.encode())
            await ask(store, "PublishVersion", whole(made))
        yank = pb.YankVersionRequest(name=V120, reason="slow")
        await ask(store, "YankVersion", yank)
        etags: dict[str, str] = {}
        for channel, primary in ((YOUNG, V100), (OLD, V100), (OLD, V110)):
            wish = promotion(channel, primary, etag=etags.get(channel, ""))
            etags[channel] = (await ask(store, "PromoteVersion", wish)).channel.etag
        asked = pb.GetChannelPolicyRequest(name=f"{FRESH}/policy")
        etags[FRESH] = (await ask(store, "GetChannelPolicy", asked)).policy.etag
        store.put(GARBAGE, b"left over", if_generation=0)
        page = AuditEntries(store).list(AuditFilter(), page_size=1000, page_token="")
        names = frozenset(entry.name for entry in page.items)
        assert len(names) == 7
        _SEEDS.append(Seed(store, etags, names))
    return _SEEDS[0]


def held(store: MemoryStore, prefix: str = "") -> dict[str, int]:
    """All objects but those of the audit, with their generations."""
    return {
        info.key: info.generation
        for info in store.list(prefix)
        if not info.key.startswith("audit/")
    }


async def told(store: ObjectStore, act: Act, request: Requests) -> str:
    """How a call ends: `done`, `crashed`, or the reason of its error."""
    try:
        await ask(store, act.method, request)
    except VoiceFlowError as error:
        return error.reason
    except Crashed:
        return "crashed"
    return "done"


@all_acts
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.LOSE_REPLY])
async def test_r44_an_audit_that_cannot_be_written_refuses_the_act(
    seed: Seed, act: Act, fault: Fault
) -> None:
    """AUDIT_UNAVAILABLE, to be tried again, and nothing whatever has changed."""

    def when(operation: Operation) -> Fault | None:
        writes = operation.method.startswith("put") and operation.key.startswith("audit/")
        return fault if writes else None

    inner = seed.copy()
    store = FaultyStore(inner, when=when)
    with pytest.raises(Unavailable) as caught:
        await ask(store, act.method, act.request(seed))
    assert caught.value.reason == "AUDIT_UNAVAILABLE"
    assert caught.value.retry_after_seconds
    assert held(inner) == held(seed.store)
    assert [operation.key.startswith("audit/") for operation in store.operations][-1]


@all_acts
async def test_r44_an_outcome_that_cannot_be_written_does_not_undo_the_act(
    seed: Seed, act: Act
) -> None:
    """The act is answered as done, and its entry says that nobody knows."""

    def when(operation: Operation) -> Fault | None:
        return Fault.REFUSE if operation.key.endswith(".outcome.json") else None

    inner = seed.copy()
    await ask(FaultyStore(inner, when=when), act.method, act.request(seed))
    assert held(inner, act.commits) != held(seed.store, act.commits)
    (entry,) = seed.told(inner)
    assert (entry.allowed, entry.refusal_reason) == (True, OUTCOME_UNKNOWN)


@all_acts
@pytest.mark.parametrize("fault", FAULTS)
async def test_r44_whatever_goes_wrong_entries_say_what_is_so(
    seed: Seed, act: Act, fault: Fault
) -> None:
    """At every single use of the store; then the same request again is carried out, once."""
    before = held(seed.store, act.commits)
    request_id = "" if act.method == "ReportServing" else ID  # a report has its number
    for number in itertools.count(1):
        inner = seed.copy()
        store = FaultyStore(inner, {number: fault})
        outcome = await told(store, act, act.request(seed))
        if len(store.operations) < number:
            assert outcome == "done"
            break
        committed = held(inner, act.commits) != before
        entries = seed.told(inner)
        if not entries:
            assert (outcome, held(inner)) == (outcome, held(seed.store))
            assert outcome != "done", "what is done is recorded"
        for entry in entries:
            assert (entry.method, entry.request_id, entry.principal) == (
                act.method,
                request_id,
                BOB.principal,
            )
            assert entry.allowed or not committed, "what was done is not told as refused"
            if entry.allowed and not entry.refusal_reason:
                assert committed, "what is told as done was done"
        assert len(entries) <= 1
        if outcome == "done":
            assert committed

        if act.method == "CollectGarbage" and committed:
            continue  # nothing is left for the second try
        again = await told(inner, act, act.again or act.request(seed))
        assert again == "done", (number, store.operations[number - 1], outcome)
        newest, *earlier = seed.told(inner)
        assert (newest.allowed, newest.refusal_reason) == (True, "")
        assert act.after in {None, newest.after}
        assert [entry.name for entry in earlier] == [entry.name for entry in entries]
        new = held(inner, act.commits).keys() - before.keys()
        assert len(new) == (0 if act.commits == "blobs/" else 1), "it was done once"


@all_acts
async def test_r44_nothing_is_read_or_written_between_intent_and_commit_unrecorded(
    seed: Seed, act: Act
) -> None:
    """The intent stands before the first write of anything, the outcome comes last."""
    store = FaultyStore(seed.copy())
    await ask(store, act.method, act.request(seed))
    writes = [operation.key for operation in store.operations if _writes(operation)]
    assert writes[0].endswith(".intent.json")
    assert writes[-1].endswith(".outcome.json")
    assert sum(key.startswith("audit/") for key in writes) == 2


def _writes(operation: Operation) -> bool:
    return operation.method in {"put", "put_stream", "delete"}
