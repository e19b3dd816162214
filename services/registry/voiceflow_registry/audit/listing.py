"""Reads the audit, newest entries first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from itertools import groupby
from typing import Final

from voiceflow.catalog.audit import AuditEntry, AuditFilter
from voiceflow.catalog.values import Page
from voiceflow_registry.audit.keys import (
    AUDIT_PREFIX,
    INTENT,
    OUTCOME,
    EntryId,
    before,
    microseconds_of,
)
from voiceflow_registry.paging import MORE, More, page_of
from voiceflow_registry.records import AuditRecord, decode
from voiceflow_registry.storage.object_store import ObjectInfo, ObjectStore

READ_AT_ONCE: Final = 500
"""Once so many entries were read, a page ends at the next one that is not asked for."""


class AuditEntries:
    """The entries of all replicas on one store.

    Args:
        store: Holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def list(self, where: AuditFilter, *, page_size: int, page_token: str) -> Page[AuditEntry]:
        """Entries, newest first; those that are written meanwhile are on no later page.

        A page may be shorter than asked for, even empty, and not the last one.

        Raises:
            InvalidInput: FIELD_INVALID, PAGE_TOKEN_INVALID.
            ContentCorrupt: An entry is not as it was written.
        """

        def after(stem: str) -> Iterator[tuple[str, AuditEntry | More]]:
            for read, (entry_id, key) in enumerate(self._found(where, stem), 1):
                entry = decode(AuditRecord, self._store.get(key).content, key).entry
                if _is_wanted(entry, where):
                    yield entry_id.stem, entry
                elif read >= READ_AT_ONCE:
                    yield entry_id.stem, MORE
                    return

        return page_of(after, query=_query(where), page_size=page_size, page_token=page_token)

    def _found(self, where: AuditFilter, stem: str) -> Iterator[tuple[EntryId, str]]:
        """Ids of entries within the times, after a stem, and where to read what they say."""
        if stem and EntryId.of_stem(stem) is None:  # no token of ours
            return
        start_after = max(
            f"{AUDIT_PREFIX}{stem}{OUTCOME}" if stem else "",
            before(where.end_time) if where.end_time is not None else "",
        )
        oldest = microseconds_of(where.start_time) if where.start_time is not None else 0
        infos = self._store.list(AUDIT_PREFIX, start_after=start_after)
        for found, written in groupby(infos, key=_stem):
            entry_id = EntryId.of_stem(found)
            if entry_id is None:
                continue
            if entry_id.microseconds < oldest:
                return
            *_, newest = written  # the outcome, if there is one
            yield entry_id, newest.key


def _stem(info: ObjectInfo) -> str:
    return info.key.removeprefix(AUDIT_PREFIX).removesuffix(OUTCOME).removesuffix(INTENT)


def _is_wanted(entry: AuditEntry, where: AuditFilter) -> bool:
    if where.refused_only and entry.allowed:
        return False
    if where.principal not in {"", entry.principal} or where.method not in {"", entry.method}:
        return False
    below = f"{where.resource}/"
    return where.resource in {"", entry.resource} or entry.resource.startswith(below)


def _query(where: AuditFilter) -> dict[str, object]:
    times = {
        name: time and time.astimezone(UTC).isoformat()
        for name, time in (("start_time", where.start_time), ("end_time", where.end_time))
    }
    return {"list": "audit", "where": where.model_dump(mode="json") | times}
