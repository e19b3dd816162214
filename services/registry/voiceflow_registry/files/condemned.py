"""Lets collection remove what nothing refers to while others begin to refer to it.

No store can remove an object on the condition that no other object refers to it. So a collection
says beforehand what it is about to remove, and whoever makes a new reference looks there after:

    collection: propose the objects → read all references → decide on those without → remove them
    publishing: write the reference → read what is condemned → break or escape it

Each side writes before it reads, so one of the two sees the other. A proposal that names what a new
reference needs is broken by removing it, whereupon its collection cannot decide. What is decided
on may be removed at any time, but in that generation alone: the publisher, who has the content,
removes it itself and writes it anew. Nobody was told yet that the reference stands, so nothing that
was acknowledged is ever without its object.

No clock takes part. What a collection that died has left is finished or broken by the next one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from voiceflow_registry.records import (
    CONDEMNED_PREFIX,
    CondemnedObject,
    CondemnedRecord,
    condemned_key,
    decode,
    encode,
)
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands in the store."""

    key: str
    generation: int


class Condemned:
    """What collections are about to remove.

    Args:
        store: Holds it.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def propose(self, objects: Collection[CondemnedObject]) -> Proposal:
        """Says what may be removed; references are read after this."""
        key = condemned_key(uuid.uuid4().hex)
        record = CondemnedRecord(decided=False, objects=tuple(objects))
        try:
            return Proposal(key, self._store.put(key, encode(record), if_generation=ABSENT))
        except PreconditionFailed:  # a reply was lost: nobody else has this key
            return Proposal(key, self._store.get(key).generation)

    def decide(self, proposal: Proposal, objects: Collection[CondemnedObject]) -> bool:
        """Settles what of a proposal is removed; False if it was broken, and nothing may be."""
        content = encode(CondemnedRecord(decided=True, objects=tuple(objects)))
        try:
            self._store.put(proposal.key, content, if_generation=proposal.generation)
        except PreconditionFailed:
            with suppress(ObjectMissing):  # a reply may have been lost
                return self._store.get(proposal.key).content == content
            return False
        return True

    def finish(self) -> Iterator[CondemnedObject]:
        """Removes what was decided on, by whichever collection, and breaks what was proposed.

        Gives each object that it has removed.
        """
        for key, generation, record in self._all():
            if record.decided:
                for item in record.objects:
                    with suppress(PreconditionFailed):  # it has escaped
                        if self._store.delete(item.key, if_generation=item.generation):
                            yield item
            with suppress(PreconditionFailed):
                self._store.delete(key, if_generation=generation)

    def escape(self, keys: Collection[str]) -> dict[str, int]:
        """After a reference to these objects was written: which of them may yet be removed.

        Returns:
            The generation that is condemned, by key. Its owner must remove it and write it anew.
        """
        condemned: dict[str, int] = {}
        for key, generation, record in self._all():
            named = {item.key: item.generation for item in record.objects if item.key in keys}
            if named and not record.decided and self._break(key, generation):
                continue
            if named:
                condemned |= self._now_decided(key, keys)
        return condemned

    def _break(self, key: str, generation: int) -> bool:
        try:
            self._store.delete(key, if_generation=generation)
        except PreconditionFailed:
            return False
        return True

    def _now_decided(self, key: str, keys: Collection[str]) -> dict[str, int]:
        """What a record that is decided names; a record that is gone has done what it could."""
        try:
            record = decode(CondemnedRecord, self._store.get(key).content, key)
        except ObjectMissing:
            return {}
        return {item.key: item.generation for item in record.objects if item.key in keys}

    def _all(self) -> Iterator[tuple[str, int, CondemnedRecord]]:
        for info in self._store.list(CONDEMNED_PREFIX):
            with suppress(ObjectMissing):
                stored = self._store.get(info.key)
                yield info.key, stored.generation, decode(CondemnedRecord, stored.content, info.key)
