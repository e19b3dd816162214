"""The audit's log: an intent before the act, an outcome after it, and what goes wrong between."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import counted
from tests.fakes.publishing import START, Clock
from tests.fakes.storage import Crashed, Fault, FaultyStore
from voiceflow.catalog.audit import CANCELLED, OUTCOME_UNKNOWN, AuditEntry, AuditFilter
from voiceflow.errors import Conflict, ContentCorrupt, NotFound, Unavailable
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow_registry.audit.changes import NOTHING_CHANGED, Change
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.audit.log import AuditLog, Deed
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable

ALICE = Caller(
    "spiffe://test/alice",
    frozenset({CallerRole.PROMOTER, CallerRole.OPERATOR}),
    credential="sha256:ab",
    peer="ipv4:10.0.0.1:1",
)
REQUEST_ID = "00000000-0000-4000-8000-000000000001"
DEED = Deed(ALICE, "PromoteVersion", "models/tones/channels/stable", REQUEST_ID)
CHANGE = Change("1.3.0", "1.4.0")


@dataclass
class Desk:
    """A log over a store, and what it told.

    Attributes:
        inner: The store behind the faults.
        faults: By operation.
        did: What acts did.
    """

    inner: MemoryStore = field(default_factory=MemoryStore)
    faults: dict[int, Fault] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    did: list[str] = field(default_factory=list)

    def log(self) -> AuditLog:
        """As one process has it."""
        store: ObjectStore = FaultyStore(self.inner, self.faults)
        return AuditLog(store, self.clock, retry_after_seconds=3.0)

    def act(self) -> str:
        """Does something."""
        self.did.append("it")
        return "answer"

    def entries(self) -> list[AuditEntry]:
        """All that was recorded, newest first."""
        return list(AuditEntries(self.inner).list(AuditFilter(), page_size=0, page_token="").items)

    def entry(self) -> AuditEntry:
        """The only one."""
        (entry,) = self.entries()
        return entry


def told(answer: str) -> Change:
    """What the act has changed."""
    assert answer == "answer"
    return CHANGE


def test_an_entry_says_who_did_what_and_what_changed() -> None:
    """Principal, roles, credential, address, method, resource, before and after."""
    desk = Desk()
    assert desk.log().recorded(DEED, desk.act, told) == "answer"
    entry = desk.entry()
    assert entry == AuditEntry(
        name=entry.name,
        create_time=START,
        principal="spiffe://test/alice",
        roles=("operator", "promoter"),
        credential="sha256:ab",
        peer="ipv4:10.0.0.1:1",
        method="PromoteVersion",
        resource="models/tones/channels/stable",
        allowed=True,
        before="1.3.0",
        after="1.4.0",
        request_id=REQUEST_ID,
    )
    assert entry.name.startswith("auditEntries/")


def test_while_it_is_under_way_its_outcome_is_unknown() -> None:
    """The intent can be read before the act is done."""
    desk = Desk()
    seen: list[AuditEntry] = []

    def act() -> str:
        seen.append(desk.entry())
        return "answer"

    desk.log().recorded(DEED, act, told)
    assert (seen[0].allowed, seen[0].refusal_reason) == (True, OUTCOME_UNKNOWN)
    assert seen[0].name == desk.entry().name


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.LOSE_REPLY])
def test_r44_what_cannot_be_recorded_is_not_done(fault: Fault) -> None:
    """The intent is not known to stand: UNAVAILABLE, to be tried again, and nothing is done."""
    desk = Desk(faults={1: fault})
    with pytest.raises(Unavailable) as caught:
        desk.log().recorded(DEED, desk.act, told)
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("AUDIT_UNAVAILABLE", 3.0)
    assert desk.did == []


def test_a_write_that_the_adapter_repeats_is_its_own() -> None:
    """The intent that stands there already is this very one."""
    desk = Desk(faults={1: Fault.REPEAT, 3: Fault.REPEAT})
    desk.log().recorded(DEED, desk.act, told)
    assert desk.entry().after == "1.4.0"


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.LOSE_REPLY])
def test_r44_an_outcome_that_is_not_written_leaves_the_answer(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done is answered; log and metric say that its entry lacks the outcome."""
    before = counted("voiceflow.audit.failures", method="PromoteVersion")
    desk = Desk(faults={2: fault})
    with caplog.at_level(logging.ERROR):
        assert desk.log().recorded(DEED, desk.act, told) == "answer"
    assert "was not recorded" in caplog.text
    assert counted("voiceflow.audit.failures", method="PromoteVersion") - before == 1
    known = fault is Fault.LOSE_REPLY  # it was written, though nobody knew
    assert desk.entry().refusal_reason == ("" if known else OUTCOME_UNKNOWN)
    assert desk.entry().allowed


def test_an_outcome_that_is_not_written_leaves_the_refusal() -> None:
    """The error of the act is raised, not that of its record."""
    desk = Desk(faults={2: Fault.REFUSE})

    def act() -> str:
        raise Conflict("no", reason="ETAG_STALE")

    with pytest.raises(Conflict):
        desk.log().recorded(DEED, act, told)


def test_what_was_refused_says_why() -> None:
    """The reason of the error, and nothing changed."""
    desk = Desk()

    def act() -> str:
        raise NotFound("no such version", reason="VERSION_NOT_FOUND")

    with pytest.raises(NotFound):
        desk.log().recorded(DEED, act, told)
    entry = desk.entry()
    assert (entry.allowed, entry.refusal_reason) == (False, "VERSION_NOT_FOUND")
    assert (entry.before, entry.after) == ("", "")


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("gone"),
        ContentCorrupt("broken", reason="CONTENT_CORRUPT"),
        Unavailable("gone", reason="STORAGE_UNAVAILABLE"),
        RuntimeError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_that_may_come_after_the_fact_is_no_refusal(error: Exception) -> None:
    """Nobody knows whether it was done, and the entry does not pretend to."""
    desk = Desk()

    def act() -> str:
        raise error

    with pytest.raises(type(error)):
        desk.log().recorded(DEED, act, told)
    assert (desk.entry().allowed, desk.entry().refusal_reason) == (True, OUTCOME_UNKNOWN)


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_r44_a_crash_leaves_an_entry_of_whatever_was_begun(fault: Fault) -> None:
    """Before the intent: nothing was done, nothing is there. Later: at least that it was begun."""
    for operation in (1, 2):
        desk = Desk(faults={operation: fault})
        with pytest.raises(Crashed):
            desk.log().recorded(DEED, desk.act, told)
        assert bool(desk.did) <= bool(desk.entries())
        assert desk.did == ([] if operation == 1 else ["it"])


def test_what_cannot_be_told_does_not_undo_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Reading what stood before may fail when all is done."""
    desk = Desk()

    def tell(_: str) -> Change:
        raise StoreUnavailable("gone")

    with caplog.at_level(logging.ERROR):
        assert desk.log().recorded(DEED, desk.act, tell) == "answer"
    entry = desk.entry()
    assert (entry.allowed, entry.refusal_reason, entry.after) == (True, "", "")
    assert "cannot be told" in caplog.text


def test_what_is_only_tried_out_leaves_nothing_in_the_store() -> None:
    """Whatever comes of it: nothing changes, and trying costs nobody anything."""
    desk = Desk()
    trial = Deed(ALICE, "YankVersion", validate_only=True)
    assert desk.log().recorded(trial, desk.act, lambda _: pytest.fail("told")) == "answer"

    def act() -> str:
        raise Conflict("no", reason="ETAG_STALE")

    with pytest.raises(Conflict):
        desk.log().recorded(trial, act, told)
    desk.log().begin(trial).left()
    assert desk.did == ["it"]
    assert list(desk.inner.list("")) == []


def test_what_callers_send_for_an_id_is_recorded_only_if_it_is_one() -> None:
    """Else anything at all, of any length, could be put into the store."""
    desk = Desk()
    log = desk.log()
    log.recorded(Deed(ALICE, "A", request_id="Bearer secret"), desk.act, told)
    log.recorded(Deed(ALICE, "B", request_id="{" + REQUEST_ID.upper() + "}"), desk.act, told)
    assert [entry.request_id for entry in desk.entries()] == [REQUEST_ID, ""]


def test_later_entries_have_greater_names_though_the_clock_goes_back() -> None:
    """Two of one microsecond too."""
    desk = Desk()
    log = desk.log()
    for _ in range(3):
        log.recorded(DEED, desk.act, told)
    desk.clock.forward(-3600.0)
    log.refused(DEED, "ROLE_MISSING")
    names = [entry.name for entry in desk.entries()]
    assert names == sorted(names, reverse=True)
    assert len(set(names)) == 4
    assert desk.entries()[0].refusal_reason == "ROLE_MISSING"
    assert desk.entries()[0].create_time == START + timedelta(microseconds=3)


def test_a_refusal_is_one_object() -> None:
    """Nothing was begun, so that there is no intent."""
    desk = Desk()
    desk.log().refused(DEED, "ROLE_MISSING")
    assert (desk.entry().allowed, desk.entry().refusal_reason) == (False, "ROLE_MISSING")
    assert len(list(desk.inner.list("audit/"))) == 1


def test_the_first_thing_said_of_an_end_stands() -> None:
    """A caller who leaves when all is done has left nothing undone."""
    desk = Desk()
    recording = desk.log().begin(DEED)
    recording.done(CHANGE)
    recording.left()
    recording.failed(RuntimeError())
    assert (desk.entry().refusal_reason, desk.entry().after) == ("", "1.4.0")


def test_what_is_said_later_does_not_stand_in_for_what_could_not_be_written() -> None:
    """It was done, nobody could write that down, and its caller left: unknown, not cancelled."""
    desk = Desk(faults={2: Fault.REFUSE})
    recording = desk.log().begin(DEED)
    recording.done(CHANGE)
    recording.left()
    assert (desk.entry().allowed, desk.entry().refusal_reason) == (True, OUTCOME_UNKNOWN)


def steps(done: list[str], error: Exception | None = None) -> Iterator[str]:
    """An act in three steps."""
    try:
        yield "one"
        yield "two"
        if error is not None:
            raise error
        yield "answer"
    finally:
        done.append("closed")


def completed(step: str) -> Change | None:
    """The last step completes the act."""
    return CHANGE if step == "answer" else None


def test_an_act_in_steps_is_recorded_when_it_is_complete() -> None:
    """Its outcome stands before its last step is told."""
    desk, done = Desk(), list[str]()
    running = desk.log().recorded_steps(DEED, steps(done), completed)
    assert desk.entries() == [], "nothing is done before the first step is asked for"
    assert next(running) == "one"
    assert desk.entry().refusal_reason == OUTCOME_UNKNOWN
    assert list(running) == ["two", "answer"]
    assert (desk.entry().after, done) == ("1.4.0", ["closed"])


def test_whoever_leaves_an_act_in_steps_has_cancelled_it() -> None:
    """The steps are closed, and the entry says so."""
    desk, done = Desk(), list[str]()
    act = steps(done)  # held here too, so that nothing but the log closes it
    running = desk.log().recorded_steps(DEED, act, completed)
    next(running)
    running.close()  # type: ignore[attr-defined] # a generator
    entry = desk.entry()
    assert (entry.allowed, entry.refusal_reason) == (False, CANCELLED)
    assert done == ["closed"]


def test_an_act_in_steps_may_be_refused() -> None:
    """As any other."""
    desk, done = Desk(), list[str]()
    refused = NotFound("no", reason="VERSION_NOT_FOUND")
    with pytest.raises(NotFound):
        list(desk.log().recorded_steps(DEED, steps(done, refused), completed))
    assert desk.entry().refusal_reason == "VERSION_NOT_FOUND"


def test_r44_an_act_in_steps_that_cannot_be_recorded_takes_none() -> None:
    """AUDIT_UNAVAILABLE instead of the first step."""
    desk, done = Desk(faults={1: Fault.REFUSE}), list[str]()
    with pytest.raises(Unavailable):
        next(desk.log().recorded_steps(DEED, steps(done), completed))
    assert done == []


def test_nothing_changed_is_told_as_nothing() -> None:
    """Both texts are empty."""
    desk = Desk()
    desk.log().recorded(DEED, desk.act, lambda _: NOTHING_CHANGED)
    assert (desk.entry().before, desk.entry().after) == ("", "")


def test_times_are_told_in_utc() -> None:
    """Whatever zone the clock has."""
    desk = Desk()
    desk.log().refused(DEED, "X")
    assert desk.entry().create_time == datetime(2026, 1, 1, tzinfo=UTC)
