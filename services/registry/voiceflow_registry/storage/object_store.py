"""The port to object storage: whole objects, written under a condition.

Every write names the generation that it expects: 0 for an object that must not exist yet. That one
condition is all that the registry's guarantees stand on; an adapter without it is no adapter.
Calls block; callers that must not block run them in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

ABSENT: Final = 0
"""Generation of an object that does not exist."""


class StoreError(Exception):
    """Base of what a store raises on purpose."""


class PreconditionFailed(StoreError):
    """The object's generation is not the expected one; nothing was changed.

    After a reply was lost an adapter that tries again may raise this although its own first try
    was committed: `create_once` reads back.
    """


class ObjectMissing(StoreError):
    """There is no such object."""


class StoreUnavailable(StoreError):
    """The store does not answer, or refuses for now, and trying again did not help in time.

    Whether a write took place is not known.
    """


class ObjectCorrupt(StoreError):
    """The bytes read are not those that were written."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object without its content.

    Attributes:
        key: `blobs/sha256/…`.
        size_bytes: Length of the content.
        generation: Changes with every write of the key; never 0.
        create_time: When this generation was written, by the store's clock.
    """

    key: str
    size_bytes: int
    generation: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A whole small object."""

    content: bytes
    generation: int


class ObjectStore(Protocol):
    """A store of immutable objects under keys such as `history/diarizer/stable/0….json`.

    Keys are parts of `A-Z a-z 0-9 . _ -`, joined by slashes, at most 512 characters; no part is
    empty, `.`, `..` or longer than 255 characters (`voiceflow_registry.storage.keys`). A store that
    has `a/b` is never asked to hold `a` or `a/b/c`: a filesystem could not. Every method may raise
    StoreUnavailable, and ValueError for a bad key; those that give an iterator do so when its first
    item is asked for.
    """

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """Writes a whole object, atomically and durably.

        Args:
            key: Where.
            content: What; some MiB at most.
            if_generation: Of the object that it replaces; `ABSENT`: there must be none.

        Returns:
            The new generation.

        Raises:
            PreconditionFailed: The object has another generation.
            ObjectCorrupt: The store took something else for it, which was removed again.
        """

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """Writes a large object that must not exist yet, in memory that does not grow with it.

        Args:
            key: Where.
            chunks: Its content, in pieces of any length; what they raise is raised, and nothing
                is left.
            size_bytes: How long all chunks are together; anything else is a ValueError.

        Returns:
            The new generation.

        Raises:
            PreconditionFailed: It exists.
            ObjectCorrupt: The store took something else for it, which was removed again.
        """

    def get(self, key: str) -> StoredObject:
        """Reads a whole small object.

        Raises:
            ObjectMissing: There is none.
            ObjectCorrupt: What came is not what the store's checksum says, where it keeps one.
        """

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """Reads a large object from an offset on, in chunks of at most 1 MiB.

        All chunks are of one generation. An offset at the end gives none, one beyond it is a
        ValueError.

        Raises:
            ObjectMissing: There is none, or it was removed or replaced meanwhile.
            ObjectCorrupt: Fewer or more bytes came than the object has, or, read from its start,
                not those that the store's checksum says, where it keeps one.
        """

    def info(self, key: str) -> ObjectInfo | None:
        """The object without its content; None if there is none."""

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """Objects whose key begins with a prefix, in order of key (by code point).

        Args:
            prefix: Any beginning of a key; it need not end at a slash.
            start_after: Only keys greater than this one.
            limit: At most so many.
        """

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """The distinct next parts below a prefix, in order, without listing what they hold.

        Args:
            prefix: Ends with a slash: `versions/`.
            start_after: Only parts greater than this one.
        """

    def delete(self, key: str, *, if_generation: int) -> bool:
        """Removes an object.

        Returns:
            False if it was not there.

        Raises:
            PreconditionFailed: It has another generation.
        """


def create_once(store: ObjectStore, key: str, content: bytes) -> bytes:
    """Creates an object that only one writer can create, and tells who did.

    Args:
        store: The store.
        key: Where; nothing else may ever write or remove it.
        content: What; different for every two writers that must not be mistaken for each other.

    Returns:
        What stands there now: `content` itself if this writer made it, though a reply may have been
        lost on the way, else what another writer put there first.
    """
    try:
        store.put(key, content, if_generation=ABSENT)
    except PreconditionFailed:
        return store.get(key).content
    return content
