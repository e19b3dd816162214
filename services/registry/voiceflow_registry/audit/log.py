"""Writes the audit: what is about to be done, then what came of it.

    intent ─▶ the act ─▶ outcome

Without an intent nothing is done; what is only tried out needs none, and leaves no entry. Where the
outcome is missing (the registry died, or the store did not take it) the entry says OUTCOME_UNKNOWN:
the act may have been done. Both are objects that are created once and never changed or removed.
"""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from voiceflow.catalog.audit import CANCELLED, OUTCOME_UNKNOWN, AuditEntry
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.identity.caller import Caller
from voiceflow.telemetry.metrics import AUDIT_FAILURES
from voiceflow_registry.audit.changes import NOTHING_CHANGED, Change
from voiceflow_registry.audit.keys import EntryId, microseconds_of
from voiceflow_registry.records import AuditRecord, encode
from voiceflow_registry.storage.object_store import ObjectStore, StoreError, create_once

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_LOG = logging.getLogger(__name__)

_AFTER_THE_FACT: Final = frozenset({"STORAGE_UNAVAILABLE", "CONTENT_CORRUPT"})
"""Reasons that leave open whether something was done."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody is about to do.

    Attributes:
        caller: Who.
        method: `PromoteVersion`.
        resource: A well-formed name; empty where it is about all.
        request_id: As the caller chose it; recorded if it is a UUID.
        validate_only: It is only tried out: nothing changes.
    """

    caller: Caller
    method: str
    resource: str = ""
    request_id: str = ""
    validate_only: bool = False


class AuditLog:
    """Writes entries; safe to use from many threads, and many processes on one store.

    Args:
        store: Holds them.
        clock: Tells when deeds were begun.
        retry_after_seconds: What callers are told whose deed could not be recorded.
    """

    def __init__(
        self, store: ObjectStore, clock: Callable[[], datetime], *, retry_after_seconds: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._retry_after_seconds = retry_after_seconds
        self._lock = threading.Lock()
        self._last = 0

    def begin(self, deed: Deed) -> Recording:
        """Records what is about to be done, unless it is only tried out.

        Raises:
            Unavailable: AUDIT_UNAVAILABLE; it must not be done.
        """
        entry_id = self._next()
        entry = _entry(entry_id, deed, allowed=True, refusal_reason=OUTCOME_UNKNOWN)
        if deed.validate_only:
            return Recording(self._store, entry_id, entry, ended=True)
        try:
            create_once(self._store, entry_id.intent_key, encode(AuditRecord(entry=entry)))
        except StoreError as error:
            _LOG.error("%s was not recorded, and not done: %s", deed.method, error)
            raise Unavailable(
                f"{deed.method} cannot be recorded in the audit, so it was not done",
                reason="AUDIT_UNAVAILABLE",
                retry_after_seconds=self._retry_after_seconds,
            ) from error
        return Recording(self._store, entry_id, entry)

    def recorded(
        self, deed: Deed, act: Callable[[], Answer], tell: Callable[[Answer], Change]
    ) -> Answer:
        """Does something between its intent and its outcome.

        Args:
            deed: What it is.
            act: Does it.
            tell: What its answer has changed. Should it fail, the answer stands all the same.

        Raises:
            Unavailable: AUDIT_UNAVAILABLE; it was not done.
        """
        recording = self.begin(deed)
        try:
            answer = act()
        except Exception as error:
            recording.failed(error)
            raise
        recording.done(_told(deed, lambda: tell(answer)))
        return answer

    def recorded_steps(
        self,
        deed: Deed,
        steps: Iterator[Item],
        tell: Callable[[Item], Change | None],
    ) -> Iterator[Item]:
        """As `recorded`, for an act in steps; whoever closes the iterator before its end has left.

        Args:
            deed: What it is.
            steps: Do it; a generator is closed at the end.
            tell: What the step has changed that completes the act; None for the others.
        """
        recording = self.begin(deed)
        with ExitStack() as stack:
            if isinstance(steps, Generator):
                stack.enter_context(closing(steps))
            try:
                for step in steps:
                    change = tell(step)
                    if change is not None:
                        recording.done(change)
                    yield step
            except GeneratorExit:
                recording.left()
                raise
            except Exception as error:
                recording.failed(error)
                raise

    def refused(self, deed: Deed, reason: str) -> None:
        """Records what was refused before it was begun.

        Raises:
            StoreError: It was not recorded.
        """
        entry_id = self._next()
        entry = _entry(entry_id, deed, allowed=False, refusal_reason=reason)
        create_once(self._store, entry_id.outcome_key, encode(AuditRecord(entry=entry)))

    def _next(self) -> EntryId:
        """Later ids of this process are greater, whatever its clock does."""
        with self._lock:
            self._last = max(microseconds_of(self._clock()), self._last + 1)
            return EntryId(self._last, secrets.randbits(64))


class Recording:
    """A deed that was begun; the first thing that is said of its end is recorded.

    Failures to record it are logged and counted, and change nothing else.

    Args:
        store: Holds it.
        entry_id: Which entry.
        entry: As it was begun.
        ended: Nothing that is said of its end is recorded.
    """

    def __init__(
        self, store: ObjectStore, entry_id: EntryId, entry: AuditEntry, *, ended: bool = False
    ) -> None:
        self._store = store
        self._id = entry_id
        self._entry = entry
        self._lock = threading.Lock()
        self._ended = ended

    def done(self, change: Change) -> None:
        """It was done, or had been before."""
        self._end({"refusal_reason": "", "before": change.before, "after": change.after})

    def failed(self, error: BaseException) -> None:
        """It was refused; or it failed, in such a way that it may have been done."""
        if isinstance(error, VoiceFlowError) and error.reason not in _AFTER_THE_FACT:
            self._end({"allowed": False, "refusal_reason": error.reason})
        else:
            self._end({})

    def left(self) -> None:
        """Its caller has left before it was done."""
        self._end({"allowed": False, "refusal_reason": CANCELLED})

    def _end(self, outcome: dict[str, object]) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        entry = self._entry.model_copy(update=outcome)
        try:
            create_once(self._store, self._id.outcome_key, encode(AuditRecord(entry=entry)))
        except Exception:  # noqa: BLE001 - the act's answer stands, and the entry says "unknown"
            AUDIT_FAILURES.add(1, {"method": entry.method})
            _LOG.exception("the outcome of %s, %s, was not recorded", entry.name, entry.method)


def _told(deed: Deed, tell: Callable[[], Change]) -> Change:
    if deed.validate_only:
        return NOTHING_CHANGED
    try:
        return tell()
    except Exception:  # noqa: BLE001 - it is done, and what is answered says so
        _LOG.exception("what %s has changed cannot be told", deed.method)
        return NOTHING_CHANGED


def _entry(entry_id: EntryId, deed: Deed, *, allowed: bool, refusal_reason: str) -> AuditEntry:
    caller = deed.caller
    return AuditEntry(
        name=entry_id.name,
        create_time=entry_id.time,
        principal=caller.principal,
        roles=tuple(sorted(caller.roles)),
        credential=caller.credential,
        peer=caller.peer,
        method=deed.method,
        resource=deed.resource,
        allowed=allowed,
        refusal_reason=refusal_reason,
        request_id=_uuid(deed.request_id),
    )


def _uuid(text: str) -> str:
    """The id; empty for anything else that callers send in its place."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""
