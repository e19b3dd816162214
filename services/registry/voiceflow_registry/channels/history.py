"""Numbered records without gap: a channel's promotions, a channel's policies.

Record n + 1 is created once, and only by who has read record n; so there is neither gap nor fork,
and the newest record is found by probing forward from any sequence that was ever reached.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from voiceflow.catalog.names import ChannelName
from voiceflow_registry.channels.etags import sequence_of
from voiceflow_registry.records import PolicyRecord, PromotionRecord, Request, decode, encode
from voiceflow_registry.requests import RequestIndex, same_request
from voiceflow_registry.storage.object_store import (
    ObjectMissing,
    ObjectStore,
    create_once,
)

Entry = TypeVar("Entry", PromotionRecord, PolicyRecord)

_KEPT_ENTRIES: Final = 1024


class History(Generic[Entry]):
    """The entries of one kind, of all channels; safe to use from many threads and processes.

    Every method may raise StoreUnavailable, and ContentCorrupt for an entry that is not as it was
    stored.

    Args:
        store: Holds them.
        kind: Their type.
        key: Where the entry of a channel and sequence is.
        hint: A sequence that a channel may have reached, for a process that knows of none: it need
            not be the newest, nor even be there. 0: from the beginning.
    """

    def __init__(
        self,
        store: ObjectStore,
        kind: type[Entry],
        key: Callable[[ChannelName, int], str],
        *,
        hint: Callable[[ChannelName], int] = lambda _: 0,
    ) -> None:
        self._store = store
        self._kind: type[Entry] = kind
        self._key = key
        self._hint = hint
        self._requests = RequestIndex(store)
        self._lock = threading.Lock()
        self._reached: dict[ChannelName, int] = {}
        self._entries: dict[str, Entry] = {}

    def newest(self, name: ChannelName) -> Entry | None:
        """The entry of highest sequence at some moment during this call; None if there is none."""
        low = self._known(name)
        step = 1
        while self.reached(name, low + step):
            low += step
            step *= 2
        high = low + step  # not there; low is, unless it is 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.reached(name, middle) else (low, middle)
        if not low:
            return None
        self._remember(name, low)
        return self.at(name, low)

    def reached(self, name: ChannelName, sequence: int) -> bool:
        """Whether an entry of this sequence stands."""
        return self._store.info(self._key(name, sequence)) is not None

    def at(self, name: ChannelName, sequence: int) -> Entry | None:
        """The entry of a sequence; None if it is not reached yet."""
        key = self._key(name, sequence)
        with self._lock:
            if key in self._entries:
                return self._entries[key]
        entry = self._read(key)
        if entry is not None:
            self._keep(key, entry)
        return entry

    def after(self, name: ChannelName, sequence: int) -> Iterator[Entry]:
        """The entries that follow a sequence, in order, until there are no more."""
        while (entry := self.at(name, sequence + 1)) is not None:
            yield entry
            sequence += 1

    def before(self, name: ChannelName, sequence: int) -> Iterator[Entry]:
        """The entries before a sequence that was reached, newest first."""
        for earlier in range(sequence - 1, 0, -1):
            if (entry := self.at(name, earlier)) is not None:
                yield entry

    def answered(
        self, name: ChannelName, request: Request, etag: str, newest: Entry | None
    ) -> Entry | None:
        """The entry that this very request has made before; None if it is new.

        The index tells. Should it be lost: a request that names an etag can have made only the
        entry right after it.

        Args:
            name: The channel.
            request: Who asks, and for what.
            etag: That the request names; empty: the state before the first entry.
            newest: As just read.

        Raises:
            InvalidInput: REQUEST_ID_REUSED.
        """
        if not request.request_id:
            return None
        key = self._requests.find(request)
        if key is not None:
            entry = self._read(key)
            return entry if entry is not None and same_request(request, entry.request) else None
        if newest is not None and same_request(request, newest.request):
            return newest
        sequence = sequence_of(etag) if etag else 0
        following = None if sequence is None else self.at(name, sequence + 1)
        if following is not None and same_request(request, following.request):
            return following
        return None

    def append(self, name: ChannelName, entry: Entry) -> Entry | None:
        """Writes an entry as the one of its sequence, unless somebody else has.

        Args:
            name: The channel.
            entry: Its sequence is one more than that of the newest entry.

        Returns:
            The entry that this request has made, now or in a try whose reply was lost; None if
            another request was first.

        Raises:
            InvalidInput: REQUEST_ID_REUSED.
            StoreUnavailable: Whether it was written is not known; it may yet be.
        """
        key = self._key(name, entry.sequence)
        self._requests.note(entry.request, key)
        content = encode(entry)
        stands = create_once(self._store, key, content)
        found = entry if stands == content else decode(self._kind, stands, key)
        self._keep(key, found)
        self._remember(name, entry.sequence)
        if found is not entry and not same_request(entry.request, found.request):
            return None
        return found

    def _known(self, name: ChannelName) -> int:
        """A sequence that the history has surely reached."""
        with self._lock:
            sequence = self._reached.get(name)
        if sequence is None:
            sequence = self._hint(name)
        # The store may have been set back to an older copy.
        return sequence if sequence > 0 and self.reached(name, sequence) else 0

    def _remember(self, name: ChannelName, sequence: int) -> None:
        with self._lock:
            self._reached[name] = max(sequence, self._reached.get(name, 0))

    def _read(self, key: str) -> Entry | None:
        try:
            return decode(self._kind, self._store.get(key).content, key)
        except ObjectMissing:
            return None

    def _keep(self, key: str, entry: Entry) -> None:
        with self._lock:
            self._entries[key] = entry
            while len(self._entries) > _KEPT_ENTRIES:
                del self._entries[next(iter(self._entries))]
