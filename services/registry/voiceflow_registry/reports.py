"""What the gates saw, as it is stored: one immutable report a run, below its manifest's digest."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from voiceflow.artifact import Digest
from voiceflow.catalog.gates import Gate, Outcome
from voiceflow_registry.records import ReportRecord, Request, decode, encode, report_prefix
from voiceflow_registry.storage.object_store import ObjectMissing, ObjectStore, create_once

_LAST_MILLISECOND: Final = 2**48 - 1


def new_run(now: datetime, request: Request) -> str:
    """An id for a run; ids of later runs sort first, as far as the clocks of replicas agree.

    Its second half names who asked, so that a retry finds its report without reading them all.
    """
    milliseconds = int(now.timestamp() * 1000)
    return f"{_LAST_MILLISECOND - milliseconds:012x}-{_asked(request) or secrets.token_hex(8)}"


def report_key(record: ReportRecord) -> str:
    """Where a report with a name is."""
    return _key(record.report.manifest_digest, record.report.name.rpartition("/")[2])


def placed(record: ReportRecord, key: str) -> ReportRecord:
    """The same report, named as the one whose place is this key."""
    parent = record.report.name.rpartition("/")[0]
    run = key.rpartition("/")[2].removesuffix(".json")
    report = record.report.model_copy(update={"name": f"{parent}/{run}"})
    return record.model_copy(update={"report": report})


class Reports:
    """The reports on every manifest that was ever run.

    Args:
        store: Holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, record: ReportRecord) -> ReportRecord:
        """Stores a report under its name; doing it again does no harm.

        Returns:
            What stands there: another report if the same request was run twice in one moment.
        """
        key = report_key(record)
        return decode(ReportRecord, create_once(self._store, key, encode(record)), key)

    def find(self, manifest_digest: Digest, run: str) -> ReportRecord | None:
        """The report of one run; None if there is none."""
        return self.at(_key(manifest_digest, run))

    def at(self, key: str) -> ReportRecord | None:
        """The report under a key; None if there is none."""
        try:
            return decode(ReportRecord, self._store.get(key).content, key)
        except ObjectMissing:
            return None

    def of(self, manifest_digest: Digest, *, after: str = "") -> Iterator[tuple[str, ReportRecord]]:
        """Every run and its report, newest first, beginning after a run."""
        for run in self._runs(manifest_digest):
            record = self.find(manifest_digest, run) if run > after else None
            if record is not None:
                yield run, record

    def made_by(self, manifest_digest: Digest, request: Request) -> ReportRecord | None:
        """The oldest report that a caller asked for under this request id; None without one."""
        asked = _asked(request)
        runs = [run for run in self._runs(manifest_digest) if asked and run.endswith(f"-{asked}")]
        return self.find(manifest_digest, runs[-1]) if runs else None

    def passed(self, manifest_digest: Digest) -> tuple[Gate, ...]:
        """Gates that have passed in any run, in their order."""
        passed = {
            result.gate
            for _, record in self.of(manifest_digest)
            for result in record.report.gates
            if result.outcome is Outcome.PASSED
        }
        return tuple(gate for gate in Gate if gate in passed)

    def _runs(self, manifest_digest: Digest) -> Iterator[str]:
        prefix = report_prefix(manifest_digest)
        for info in self._store.list(prefix):
            yield info.key.removeprefix(prefix).removesuffix(".json")


def _key(manifest_digest: Digest, run: str) -> str:
    return f"{report_prefix(manifest_digest)}{run}.json"


def _asked(request: Request) -> str:
    if not request.request_id:
        return ""
    who = f"{request.principal} {request.request_id}"
    return hashlib.sha256(who.encode()).hexdigest()[:16]
