"""Keys of the audit, and its list: newest first, in pages that later entries do not disturb."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import START, Clock
from tests.fakes.storage import FaultyStore
from voiceflow.catalog.audit import AuditEntry, AuditFilter
from voiceflow.errors import ContentCorrupt, InvalidInput
from voiceflow.identity.caller import Caller
from voiceflow_registry import paging
from voiceflow_registry.audit import listing
from voiceflow_registry.audit.changes import NOTHING_CHANGED
from voiceflow_registry.audit.keys import EntryId, before
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.audit.log import AuditLog, Deed
from voiceflow_registry.storage.keys import is_key
from voiceflow_registry.storage.object_store import ObjectInfo

IDS = st.builds(EntryId, st.integers(0, 10**16 - 1), st.integers(0, 2**64 - 1))
HOUR = timedelta(hours=1)


class Desk:
    """An audit of some days: every six hours, by turns, alice promotes and bob is refused."""

    def __init__(self, count: int = 12) -> None:
        self.store = MemoryStore()
        self.clock = Clock()
        self.log = AuditLog(self.store, self.clock, retry_after_seconds=1.0)
        for number in range(count):
            self.write(number)
            self.clock.forward(6 * 3600.0)

    def write(self, number: int) -> None:
        """One more entry, about version 1.number.0 of one of two models."""
        model = ("tones", "tones-2")[number % 2]
        resource = f"models/{model}/versions/1.{number}.0"
        if number % 2:
            self.log.refused(
                Deed(Caller("spiffe://test/bob"), "GetUpload", resource), "ROLE_MISSING"
            )
        else:
            deed = Deed(Caller("spiffe://test/alice"), "YankVersion", resource)
            self.log.recorded(deed, lambda: None, lambda _: NOTHING_CHANGED)

    def all(self, where: AuditFilter | None = None, *, page_size: int = 0) -> list[int]:
        """What each entry is about, page after page."""
        found: list[int] = []
        token = ""
        while True:
            page = AuditEntries(self.store).list(
                where or AuditFilter(), page_size=page_size, page_token=token
            )
            found += [number(entry) for entry in page.items]
            token = page.next_page_token
            if not token:
                return found


def number(entry: AuditEntry) -> int:
    """What an entry is about."""
    return int(entry.resource.split(".")[1])


@given(IDS, IDS)
def test_keys_come_newest_first_and_names_oldest_first(one: EntryId, other: EntryId) -> None:
    """Whatever times and nonces; days stand in folders of their own."""
    if one == other:
        return
    assert (one < other) == (one.name < other.name)
    assert (one < other) == (one.intent_key > other.intent_key)
    assert (one < other) == (one.intent_key > other.outcome_key)
    assert one.intent_key < one.outcome_key
    same_day = one.time.date() == other.time.date()
    assert same_day == (one.stem.split("/")[0] == other.stem.split("/")[0])


@given(IDS)
def test_a_key_can_be_read_again(entry_id: EntryId) -> None:
    """And is a key that every store takes."""
    assert EntryId.of_stem(entry_id.stem) == entry_id
    assert is_key(entry_id.intent_key)
    assert is_key(entry_id.outcome_key)


@pytest.mark.parametrize(
    "stem", ["", "x", "979555/0", "979555/9982328640000000-000000000000000", "../../history/x"]
)
def test_what_is_no_stem_is_not_read_as_one(stem: str) -> None:
    """Tokens can be forged."""
    assert EntryId.of_stem(stem) is None


def test_a_stem_in_another_days_folder_is_none() -> None:
    """The day follows from the time."""
    stem = EntryId(10**15, 1).stem
    assert EntryId.of_stem(stem) is not None
    assert EntryId.of_stem(f"000000{stem[6:]}") is None


@given(IDS, st.integers(0, 10**15))
def test_before_a_time_come_exactly_the_earlier_ones(entry_id: EntryId, microseconds: int) -> None:
    """To the microsecond."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert (entry_id.outcome_key > before(time)) == (entry_id.microseconds < microseconds)


@pytest.mark.parametrize("page_size", [1, 2, 5, 12, 0])
def test_entries_come_newest_first_each_once(page_size: int) -> None:
    """In pages of any size."""
    assert Desk().all(page_size=page_size) == list(range(11, -1, -1))


def test_what_is_written_meanwhile_is_on_no_later_page() -> None:
    """And nothing else is left out or comes twice."""
    desk = Desk()
    entries = AuditEntries(desk.store)
    page = entries.list(AuditFilter(), page_size=4, page_token="")
    seen = [number(entry) for entry in page.items]
    while page.next_page_token:
        desk.write(100 + len(seen))
        desk.clock.forward(1.0)
        page = entries.list(AuditFilter(), page_size=4, page_token=page.next_page_token)
        seen += [number(entry) for entry in page.items]
    assert seen == list(range(11, -1, -1))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (AuditFilter(principal="spiffe://test/alice"), [10, 8, 6, 4, 2, 0]),
        (AuditFilter(principal="spiffe://test/ali"), []),
        (AuditFilter(method="GetUpload"), [11, 9, 7, 5, 3, 1]),
        (AuditFilter(refused_only=True), [11, 9, 7, 5, 3, 1]),
        (AuditFilter(resource="models/tones"), [10, 8, 6, 4, 2, 0]),
        (AuditFilter(resource="models/tones-2/versions/1.3.0"), [3]),
        (AuditFilter(resource="models/tones/versions/1.1"), []),
        (AuditFilter(principal="spiffe://test/alice", refused_only=True), []),
        (AuditFilter(start_time=START + 54 * HOUR), [11, 10, 9]),
        (AuditFilter(end_time=START + 12 * HOUR), [1, 0]),
        (AuditFilter(start_time=START + 24 * HOUR, end_time=START + 48 * HOUR), [7, 6, 5, 4]),
        (AuditFilter(start_time=START + 48 * HOUR, end_time=START + 24 * HOUR), []),
        (AuditFilter(end_time=datetime(1900, 1, 1, tzinfo=UTC)), []),
        (AuditFilter(start_time=datetime(9000, 1, 1, tzinfo=UTC)), []),
        (AuditFilter(end_time=datetime(9000, 1, 1, tzinfo=UTC)), list(range(11, -1, -1))),
        (AuditFilter(start_time=datetime(1, 1, 1, tzinfo=UTC)), list(range(11, -1, -1))),
    ],
    ids=str,
)
def test_filters_narrow_the_list(where: AuditFilter, expected: list[int]) -> None:
    """All that are set must hold; times are half-open, and a resource is whole parts of a name."""
    desk = Desk()
    assert desk.all(where) == expected
    assert desk.all(where, page_size=1) == expected


class Counting(FaultyStore):
    """Counts the objects that it lists.

    Attributes:
        listed: So many.
    """

    listed = 0

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port."""
        for info in super().list(prefix, start_after=start_after, limit=limit):
            self.listed += 1
            yield info


def test_times_are_pruned_before_anything_is_read() -> None:
    """Of all entries those within the times are read, and one more key is looked at."""
    desk = Desk(40)
    store = Counting(desk.store)
    where = AuditFilter(start_time=START + 24 * HOUR, end_time=START + 48 * HOUR)
    page = AuditEntries(store).list(where, page_size=0, page_token="")
    assert len(page.items) == 4
    assert [operation.method for operation in store.operations] == ["list", *["get"] * 4]
    assert store.listed == 2 + 2 * 2 + 1, "two refusals, two deeds, and the next one's first"


def test_a_token_that_was_made_up_goes_on_nowhere() -> None:
    """Whoever knows how tokens are made gets no list from a place of their choice."""
    desk = Desk()
    for place in ("0", "audit", "\ud800", "000000/../../history"):
        forged = paging._write(place, listing._query(AuditFilter()))
        page = AuditEntries(desk.store).list(AuditFilter(), page_size=2, page_token=forged)
        assert (page.items, page.next_page_token) == ([], "")


def test_a_page_that_finds_little_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call reads so many entries, and the next one goes on; nothing is left out."""
    monkeypatch.setattr(listing, "READ_AT_ONCE", 5)
    desk = Desk(23)
    where = AuditFilter(resource="models/tones/versions/1.2.0")
    store = FaultyStore(desk.store)
    first = AuditEntries(store).list(where, page_size=10, page_token="")
    assert (first.items, bool(first.next_page_token)) == ([], True)
    assert sum(operation.method == "get" for operation in store.operations) == 5
    assert desk.all(where) == [2]
    assert desk.all(AuditFilter(refused_only=True), page_size=3) == list(range(21, 0, -2))


@pytest.mark.parametrize(
    "other",
    [
        AuditFilter(),
        AuditFilter(principal="spiffe://test/bob"),
        AuditFilter(method="YankVersion", start_time=START),
        AuditFilter(method="YankVersion", refused_only=True),
    ],
    ids=str,
)
def test_a_token_belongs_to_its_filters(other: AuditFilter) -> None:
    """With others it is refused."""
    desk = Desk()
    entries = AuditEntries(desk.store)
    page = entries.list(AuditFilter(method="YankVersion"), page_size=2, page_token="")
    with pytest.raises(InvalidInput) as caught:
        entries.list(other, page_size=2, page_token=page.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_one_moment_is_one_query_in_every_zone() -> None:
    """The token of 12:00 UTC goes on with 14:00 in Paris."""
    desk = Desk()
    entries = AuditEntries(desk.store)
    there = START.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+02:00").tzinfo)
    page = entries.list(AuditFilter(start_time=START), page_size=2, page_token="")
    more = entries.list(AuditFilter(start_time=there), page_size=2, page_token=page.next_page_token)
    assert [number(entry) for entry in more.items] == [9, 8]


def test_an_entry_that_was_tampered_with_is_not_told() -> None:
    """Its digest does not fit."""
    desk = Desk(1)
    info = list(desk.store.list("audit/"))[-1]
    stored = desk.store.get(info.key)
    forged = stored.content.replace(b"alice", b"carol")
    desk.store.put(info.key, forged, if_generation=stored.generation)
    with pytest.raises(ContentCorrupt):
        desk.all()


def test_days_stand_in_folders() -> None:
    """So that none of them grows for ever, and the newest comes first."""
    desk = Desk()
    days = list(desk.store.list_folders("audit/"))
    assert len(days) == 3
    assert all(earlier < later for earlier, later in pairwise(days))
