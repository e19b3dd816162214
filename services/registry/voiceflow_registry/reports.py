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
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
)

_LAST_MILLISECOND: Final = 2**48 - 1


def new_run(now: datetime, request: Request) -> str:
    """An id for a run; ids of later runs sort first, as far as the clocks of replicas agree.

    Its second half names who asked, so that a retry finds its report without reading them all.
    """
    milliseconds = int(now.timestamp() * 1000)
    return f"{_LAST_MILLISECOND - milliseconds:012x}-{_asked(request) or secrets.token_hex(8)}"


class Reports:
    """The reports of every manifest that was ever run.

    Args:
        store: Holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, manifest_digest: Digest, run: str, record: ReportRecord) -> None:
        """Stores a report under an id of `new_run`; again, if its reply was lost."""
        key = _key(manifest_digest, run)
        content = encode(record)
        try:
            self._store.put(key, content, if_generation=ABSENT)
        except PreconditionFailed:
            if self._store.get(key).content != content:
                raise

    def find(self, manifest_digest: Digest, run: str) -> ReportRecord | None:
        """The report of one run; None if there is none."""
        key = _key(manifest_digest, run)
        try:
            return decode(ReportRecord, self._store.get(key).content, key)
        except ObjectMissing:
            return None

    def of(self, manifest_digest: Digest, *, after: str = "") -> Iterator[tuple[str, ReportRecord]]:
        """Every run and its report, newest first, beginning after a run."""
        for run in self._runs(manifest_digest, after):
            record = self.find(manifest_digest, run)
            if record is not None:
                yield run, record

    def made_by(
        self, manifest_digest: Digest, request: Request
    ) -> Iterator[tuple[str, ReportRecord]]:
        """Runs that a caller asked for under this request id, newest first."""
        asked = _asked(request)
        if not asked:
            return
        for run in self._runs(manifest_digest, ""):
            if run.endswith(f"-{asked}"):
                record = self.find(manifest_digest, run)
                if record is not None:
                    yield run, record

    def passed(self, manifest_digest: Digest) -> tuple[Gate, ...]:
        """Gates that have passed in any run, in their order."""
        passed = {
            result.gate
            for _, record in self.of(manifest_digest)
            for result in record.report.gates
            if result.outcome is Outcome.PASSED
        }
        return tuple(gate for gate in Gate if gate in passed)

    def _runs(self, manifest_digest: Digest, after: str) -> Iterator[str]:
        prefix = report_prefix(manifest_digest)
        start = f"{prefix}{after}.json" if after else ""
        for info in self._store.list(prefix, start_after=start):
            yield info.key.removeprefix(prefix).removesuffix(".json")


def _key(manifest_digest: Digest, run: str) -> str:
    return f"{report_prefix(manifest_digest)}{run}.json"


def _asked(request: Request) -> str:
    if not request.request_id:
        return ""
    who = f"{request.principal} {request.request_id}"
    return hashlib.sha256(who.encode()).hexdigest()[:16]
