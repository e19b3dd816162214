"""What methods refuse to their callers is recorded; whatever happens there, it is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import Clock
from voiceflow.catalog.audit import CANCELLED, OUTCOME_UNKNOWN, AuditEntry, AuditFilter
from voiceflow.errors import Forbidden, InvalidInput, Unavailable
from voiceflow.identity.caller import Caller
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc import access
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.audit.log import AuditLog, Deed
from voiceflow_registry.publishing.publish import UploadSession
from voiceflow_registry.servicer import publishing
from voiceflow_registry.servicer.auditing import Auditing, Method
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.storage.object_store import StoreUnavailable

BOB = Caller("spiffe://test/bob")
CONTEXT = cast(Any, None)


class Store(MemoryStore):
    """A store that is broken or slow, if it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        self.asked.set()
        assert self.open.wait(30)
        if self.broken:
            raise RuntimeError("a defect")
        return super().put(key, content, if_generation=if_generation)


class Desk:
    """Methods that are looked at, and what was recorded of them."""

    def __init__(self, threads: Threads) -> None:
        self.store = Store()
        log = AuditLog(self.store, Clock(), retry_after_seconds=1.0)
        self.auditing = Auditing(log, threads)

    def refusing(self, error: Exception) -> Method:
        """A method that ends so."""

        async def method(_request: Any, _context: Any) -> None:
            raise error

        return self.auditing.observed("GetUpload", method)

    def entries(self) -> list[AuditEntry]:
        """All of them."""
        page = AuditEntries(self.store).list(AuditFilter(), page_size=0, page_token="")
        return list(page.items)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """With a caller who is known."""
    access._CALLER.set(BOB)
    threads = Threads(threads=2, waiting=10, retry_after_seconds=1.0)
    yield Desk(threads)
    await threads.close()


def forbidden(field: str | None = None) -> Forbidden:
    """Not for this caller."""
    return Forbidden("not yours", reason="ROLE_MISSING", field=field)


@pytest.mark.parametrize(
    ("field", "request_", "resource"),
    [
        ("name", pb.GetUploadRequest(name="models/a/versions/1.0.0"), "models/a/versions/1.0.0"),
        ("pod.name", pb.ReportServingRequest(pod=pb.Pod(name="pods/a")), "pods/a"),
        ("name", pb.GetUploadRequest(name="Bearer eyJ secret"), ""),
        ("name", pb.GetUploadRequest(name="a" * 301), ""),
        ("report_number", pb.ReportServingRequest(report_number=1), ""),
        ("pod", pb.ReportServingRequest(pod=pb.Pod(name="pods/a")), ""),
        ("nothing", pb.GetUploadRequest(), ""),
        (None, pb.GetUploadRequest(name="models/a"), ""),
        ("name", None, ""),
    ],
)
async def test_the_field_at_fault_names_the_resource(
    desk: Desk, field: str | None, request_: Any, resource: str
) -> None:
    """If it holds a name; else nothing that a caller sent is written down."""
    with pytest.raises(Forbidden):
        await desk.refusing(forbidden(field))(request_, CONTEXT)
    (entry,) = desk.entries()
    assert (entry.method, entry.resource, entry.principal) == (
        "GetUpload",
        resource,
        BOB.principal,
    )


async def test_other_errors_of_reading_are_not_recorded(desk: Desk) -> None:
    """Nobody was refused for who he is."""
    wrong = InvalidInput("wrong", reason="NAME_INVALID")
    with pytest.raises(InvalidInput):
        await desk.refusing(wrong)(pb.GetUploadRequest(), CONTEXT)
    assert desk.entries() == []


async def test_a_defect_of_the_audit_does_not_change_the_answer(desk: Desk) -> None:
    """It is refused as it was."""
    desk.store.broken = True
    with pytest.raises(Forbidden):
        await desk.refusing(forbidden())(pb.GetUploadRequest(), CONTEXT)


async def test_who_leaves_is_recorded_all_the_same(desk: Desk) -> None:
    """Or hanging up in time would keep a name out of the audit, though all threads are busy."""
    desk.store.open.clear()
    busy = [
        asyncio.ensure_future(desk.refusing(forbidden())(pb.GetUploadRequest(), CONTEXT))
        for _ in range(2)
    ]
    await asyncio.to_thread(desk.store.asked.wait, 30)
    leaving = asyncio.ensure_future(desk.refusing(forbidden())(pb.GetUploadRequest(), CONTEXT))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    desk.store.open.set()
    for task in busy:
        with pytest.raises(Forbidden):
            await task
    await desk.auditing._threads.close()
    assert len(desk.entries()) == 3


class Session:
    """An upload that cannot keep what came."""

    def leave(self) -> None:
        """The store is away."""
        raise StoreUnavailable("away")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, CANCELLED),
        (asyncio.CancelledError(), CANCELLED),
        (grpc.aio.UsageError(), CANCELLED),
        (Unavailable("later", reason="SHUTTING_DOWN"), "SHUTTING_DOWN"),
        (RuntimeError("a defect"), OUTCOME_UNKNOWN),
    ],
    ids=str,
)
async def test_a_stream_that_is_left_has_an_end_though_nothing_could_be_kept(
    desk: Desk, error: BaseException | None, reason: str
) -> None:
    """Of its caller, of the server, or of a defect."""
    recording = desk.auditing.log.begin(Deed(BOB, "PublishVersion"))
    stream = publishing._Stream(cast(UploadSession, Session()), recording)
    with pytest.raises(StoreUnavailable):
        stream.leave(error)
    assert desk.entries()[0].refusal_reason == reason
