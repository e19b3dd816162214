"""What a bucket can do to its users: refuse, throttle, stall, lose replies, cut and flip bytes."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.fakes.gcs import FakeGcs, Fault, Trouble, serving
from tests.fakes.gcs_bucket import Bucket, Held
from tests.fakes.metrics import counted
from tests.integration.registry.storage.places import GcsPlace
from tests.integration.registry.storage.test_objects import content_of
from voiceflow_registry.storage.gcs import GcsStore
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectCorrupt,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
    create_once,
)
from voiceflow_registry.storage.observed import ObservedStore
from voiceflow_registry.storage.uploads import PIECE_BYTES

_KEY: Final = "a/b"
_LARGE: Final = content_of(2 * PIECE_BYTES + 300_000)
_SHORT_SECONDS: Final = 0.3
"""A timeout that a stalled test waits for."""


def _put(store: ObjectStore) -> object:
    return store.put("new", b"content", if_generation=ABSENT)


def _put_stream(store: ObjectStore) -> object:
    return store.put_stream("new", [b"content"], size_bytes=7)


def _get(store: ObjectStore) -> object:
    return store.get(_KEY)


def _get_stream(store: ObjectStore) -> object:
    return list(store.get_stream(_KEY))


def _info(store: ObjectStore) -> object:
    return store.info(_KEY)


def _list(store: ObjectStore) -> object:
    return list(store.list(""))


def _list_folders(store: ObjectStore) -> object:
    return list(store.list_folders(""))


def _delete(store: ObjectStore) -> object:
    return store.delete("none", if_generation=1)


Act = Callable[[ObjectStore], object]
_ACTS: Final[list[Act]] = [
    _put,
    _put_stream,
    _get,
    _get_stream,
    _info,
    _list,
    _list_folders,
    _delete,
]
every_act = pytest.mark.parametrize("act", _ACTS, ids=lambda act: act.__name__.strip("_"))


@pytest.fixture
def store(gcs: GcsPlace) -> GcsStore:
    """A store with an object, and patience."""
    store = gcs.open()
    store.put(_KEY, b"stands", if_generation=ABSENT)
    return store


@every_act
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_waited_for(fake: FakeGcs, store: GcsStore, act: Act, status: int) -> None:
    """Three refusals that may pass are three more tries, and then success."""
    before = len(fake.seen)
    fake.plan(Fault(Trouble.REFUSE, times=3, status=status))
    act(store)
    assert len(fake.seen) >= before + 4


@every_act
def test_what_is_tried_again_is_counted_for_its_operation(
    fake: FakeGcs, store: GcsStore, act: Act
) -> None:
    """So that somebody sees a bucket that throttles before it refuses for good."""
    of = {"operation": act.__name__.strip("_")}
    before = counted("voiceflow.storage.retries", **of)
    fake.plan(Fault(Trouble.REFUSE, times=2))
    act(ObservedStore(store))
    assert counted("voiceflow.storage.retries", **of) == before + 2


@every_act
def test_what_does_not_pass_is_given_up(
    fake: FakeGcs, store: GcsStore, gcs: GcsPlace, act: Act
) -> None:
    """A refusal for ever is StoreUnavailable, after more than one try."""
    before = len(fake.seen)
    fake.plan(Fault(Trouble.REFUSE, times=None))
    with pytest.raises(StoreUnavailable, match="503"):
        act(gcs.open(retry_seconds=2 * _SHORT_SECONDS))
    assert len(fake.seen) >= before + 2
    fake.heal()
    act(store)


def test_a_hot_object_is_unavailable_in_the_end(
    fake: FakeGcs, store: GcsStore, gcs: GcsPlace
) -> None:
    """A writer that is throttled for ever is told so, and nothing was written."""
    fake.plan(Fault(Trouble.REFUSE, on="insert", times=None, status=429))
    with pytest.raises(StoreUnavailable, match="429"):
        _put(gcs.open(retry_seconds=_SHORT_SECONDS))
    assert store.info("new") is None


@every_act
def test_a_stall_ends_with_its_timeout_and_is_tried_again(
    fake: FakeGcs, store: GcsStore, gcs: GcsPlace, act: Act
) -> None:
    """A request that is never answered is abandoned; the next one is."""
    assert store.info(_KEY)
    fake.plan(Fault(Trouble.STALL))
    act(gcs.open(timeout_seconds=_SHORT_SECONDS))


@every_act
def test_a_stall_for_ever_is_given_up(
    fake: FakeGcs, store: GcsStore, gcs: GcsPlace, act: Act
) -> None:
    """Where nothing is answered, the caller is told so; it does not hang."""
    assert store.info(_KEY)
    fake.plan(Fault(Trouble.STALL, times=None))
    with pytest.raises(StoreUnavailable):
        act(gcs.open(timeout_seconds=_SHORT_SECONDS / 2, retry_seconds=_SHORT_SECONDS))


@every_act
def test_nobody_there_is_unavailable(act: Act) -> None:
    """A connection that is refused is tried again, then StoreUnavailable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    with (
        contextlib.closing(GcsStore("b", endpoint=endpoint, retry_seconds=0.1)) as store,
        pytest.raises(StoreUnavailable),
    ):
        act(store)


@every_act
@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_is_not_allowed_is_not_tried_again(
    fake: FakeGcs, store: GcsStore, act: Act, status: int
) -> None:
    """A refusal for good is StoreUnavailable at once, with what the server said."""
    before = len(fake.seen)
    fake.plan(Fault(Trouble.REFUSE, times=None, status=status))
    with pytest.raises(StoreUnavailable, match=r"models.*(Try again|credentials)"):
        act(store)
    assert len(fake.seen) <= before + 3


@every_act
def test_a_bucket_that_is_gone_is_unavailable(fake: FakeGcs, store: GcsStore, act: Act) -> None:
    """It is not mistaken for objects that are missing."""
    del fake.buckets["models"]
    with pytest.raises(StoreUnavailable, match="bucket does not exist"):
        act(store)


def test_a_lost_reply_to_a_create_is_read_back(fake: FakeGcs, store: GcsStore) -> None:
    """The retry of a write that was committed says that the object exists: it is one's own."""
    fake.plan(Fault(Trouble.LOSE_REPLY, on="insert"))
    assert create_once(store, "new", b"mine") == b"mine"
    assert create_once(store, "new", b"theirs") == b"mine"
    fake.plan(Fault(Trouble.LOSE_REPLY, on="insert"))
    with pytest.raises(PreconditionFailed):
        store.put("newer", b"mine", if_generation=ABSENT)


def test_a_lost_reply_to_a_delete_says_that_nothing_was_there(
    fake: FakeGcs, store: GcsStore
) -> None:
    """The object is gone, which is what was asked for."""
    found = store.info(_KEY)
    assert found
    fake.plan(Fault(Trouble.LOSE_REPLY, on="delete"))
    assert not store.delete(_KEY, if_generation=found.generation)
    assert store.info(_KEY) is None


_CHUNKS: Final = ["first", "second", "last"]


@pytest.mark.parametrize(
    ("trouble", "chunk"),
    [
        *((Trouble.LOSE_REPLY, chunk) for chunk in _CHUNKS),
        *((Trouble.REFUSE, chunk) for chunk in _CHUNKS),
        (Trouble.STALL, "second"),
        (Trouble.STALL_AFTER, "last"),
        (Trouble.CUT, "last"),
    ],
)
def test_an_upload_goes_on_where_the_server_is(
    fake: FakeGcs, gcs: GcsPlace, trouble: Trouble, chunk: str
) -> None:
    """A chunk that fails, or whose reply is lost, is not guessed about: the server is asked."""
    store = gcs.open(timeout_seconds=1.0)
    fake.plan(Fault(trouble, on="chunk", skip=_CHUNKS.index(chunk)))
    generation = store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    read = store.get("new")
    assert (read.content == _LARGE, read.generation) == (True, generation)
    asked = [seen.headers["content-range"] for seen in fake.seen if seen.operation == "chunk"]
    assert f"bytes */{len(_LARGE)}" in asked
    assert len([seen for seen in fake.seen if seen.operation == "begin"]) == 1


def test_a_server_that_keeps_less_than_it_was_sent_gets_the_rest(
    fake: FakeGcs, store: GcsStore
) -> None:
    """The range in its answer counts, not what was sent."""
    fake.plan(*(Fault(Trouble.KEEP_LESS, on="chunk") for _ in range(3)))
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    assert store.get("new").content == _LARGE


def test_an_upload_whose_begin_is_lost_is_begun_again(fake: FakeGcs, store: GcsStore) -> None:
    """The first upload is never used, and makes no object."""
    fake.plan(Fault(Trouble.LOSE_REPLY, on="begin"))
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    assert store.get("new").content == _LARGE


def test_an_upload_that_the_server_forgot_is_unavailable(fake: FakeGcs, store: GcsStore) -> None:
    """Nothing is there then, and the caller may begin again."""

    def chunks() -> Iterator[bytes]:
        yield _LARGE[: PIECE_BYTES + 1]
        fake.forget_uploads()
        yield _LARGE[PIECE_BYTES + 1 :]

    with pytest.raises(StoreUnavailable, match="Upload not found"):
        store.put_stream("new", chunks(), size_bytes=len(_LARGE))
    assert store.info("new") is None


def test_a_large_object_made_meanwhile_stands(fake: FakeGcs, store: GcsStore) -> None:
    """Who finishes second is told so, though both began when there was none."""

    def chunks() -> Iterator[bytes]:
        yield _LARGE[: PIECE_BYTES + 1]
        store.put("new", b"faster", if_generation=ABSENT)
        yield _LARGE[PIECE_BYTES + 1 :]

    with pytest.raises(PreconditionFailed):
        store.put_stream("new", chunks(), size_bytes=len(_LARGE))
    assert store.get("new").content == b"faster"
    assert fake.unfinished_uploads() == 0


def test_an_upload_that_ends_early_is_cancelled(fake: FakeGcs, store: GcsStore) -> None:
    """The server is told, and keeps nothing of it."""
    with pytest.raises(ValueError, match="announced"):
        store.put_stream("new", [_LARGE], size_bytes=len(_LARGE) + 1)
    assert fake.unfinished_uploads() == 0


@pytest.mark.parametrize("status", [503, 403])
def test_errors_do_not_tell_the_address_of_an_upload(
    fake: FakeGcs, gcs: GcsPlace, status: int
) -> None:
    """Whoever knows it could write: it is in no message, nor in what caused it."""
    store = gcs.open(timeout_seconds=_SHORT_SECONDS, retry_seconds=_SHORT_SECONDS)
    for trouble in (Trouble.REFUSE, Trouble.STALL, Trouble.LOSE_REPLY):
        fake.plan(Fault(trouble, on="chunk", times=None, status=status))
        with pytest.raises(StoreUnavailable) as raised:
            store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
        fake.heal()
        assert "upload_id" not in _told(raised.value)


def test_a_server_that_goes_away_does_not_tell_the_address_either() -> None:
    """A connection that cannot be made is refused with its address in the library's words."""
    with contextlib.ExitStack() as stack:
        fake = stack.enter_context(serving())
        fake.add_bucket("models")

        def chunks() -> Iterator[bytes]:
            yield _LARGE[: PIECE_BYTES + 1]
            # And what is left of the connections to it.
            stack.close()
            bucket.close()
            yield _LARGE[PIECE_BYTES + 1 :]

        bucket = GcsStore("models", endpoint=fake.endpoint, retry_seconds=_SHORT_SECONDS)
        with contextlib.closing(bucket), pytest.raises(StoreUnavailable) as raised:
            bucket.put_stream("new", chunks(), size_bytes=len(_LARGE))
    assert "upload_id" not in _told(raised.value)


def test_a_cut_read_is_gone_on_with(fake: FakeGcs, store: GcsStore) -> None:
    """What is missing of a reply is asked for; the whole is checked."""
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    fake.plan(Fault(Trouble.CUT, on="media"))
    assert store.get("new").content == _LARGE
    fake.plan(*(Fault(Trouble.CUT, on="media", skip=2 * number) for number in range(3)))
    assert b"".join(store.get_stream("new", offset=5)) == _LARGE[5:]
    for seen in fake.seen:
        # All of one generation, whatever happens between two requests.
        if seen.operation == "media" and "range" in seen.headers:
            assert "generation" in seen.query


def test_a_short_read_is_noticed(fake: FakeGcs, store: GcsStore) -> None:
    """A reply that ends early without saying so is corrupt, or the rest is asked for."""
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    fake.plan(Fault(Trouble.SHORTEN, on="media"))
    with pytest.raises((ObjectCorrupt, StoreUnavailable)):
        store.get("new")
    fake.heal()
    fake.plan(Fault(Trouble.SHORTEN, on="media"))
    assert b"".join(store.get_stream("new")) == _LARGE


def test_a_flipped_bit_on_the_way_is_noticed(fake: FakeGcs, store: GcsStore) -> None:
    """Neither a whole object nor all of a stream is given that is not what was stored."""
    fake.plan(Fault(Trouble.FLIP, on="media"))
    with pytest.raises(ObjectCorrupt, match="CRC32C"):
        store.get(_KEY)
    assert store.get(_KEY).content == b"stands"
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    for skip in range(3):
        fake.plan(Fault(Trouble.FLIP, on="media", skip=skip))
        assert len(_read_until_corrupt(store)) < len(_LARGE)


def test_a_flipped_bit_in_the_bucket_is_noticed(fake: FakeGcs, store: GcsStore) -> None:
    """What the bucket itself has spoiled is not given either."""
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    for name in [f"{store._prefix}new", f"{store._prefix}{_KEY}"]:
        fake.buckets["models"].corrupt(name)
    with pytest.raises(ObjectCorrupt):
        store.get(_KEY)
    assert len(_read_until_corrupt(store)) < len(_LARGE)


def test_a_replaced_object_ends_its_stream(store: GcsStore) -> None:
    """A stream never goes on with another generation."""
    generation = store.put("new", _LARGE, if_generation=ABSENT)
    stream = store.get_stream("new")
    next(stream)
    store.put("new", _LARGE, if_generation=generation)
    with pytest.raises(ObjectMissing):
        list(stream)


def test_an_upload_that_the_server_says_little_of_is_read_back(
    fake: FakeGcs, store: GcsStore
) -> None:
    """What stands is told apart from what another made of the key meanwhile."""
    fake.plan(Fault(Trouble.SAY_LITTLE, on="chunk", skip=2))
    generation = store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    info = store.info("new")
    assert info
    assert info.generation == generation
    fake.plan(Fault(Trouble.SAY_LITTLE, on="insert"))
    assert store.put("new", b"newer", if_generation=generation) == store.get("new").generation


def test_an_upload_that_the_server_says_little_of_may_be_anothers(
    fake: FakeGcs, store: GcsStore
) -> None:
    """What stands is then not what was sent, and the writer is told that something does."""
    fake.buckets["models"] = _Spoiling("models")
    fake.plan(Fault(Trouble.SAY_LITTLE, on="chunk"))
    with pytest.raises(PreconditionFailed, match="exists"):
        store.put_stream("new", [b"mine"], size_bytes=4)


class _Spoiling(Bucket):
    """Stores one bit wrong, and what it says of it fits that."""

    def insert(self, name: str, content: bytes, *rest: Any) -> Held:
        condition, _, *kind = rest
        wrong = bytes([content[0] ^ 1]) + content[1:]
        return super().insert(name, wrong, condition, {}, *kind)


def test_what_was_stored_wrong_is_noticed_and_removed(fake: FakeGcs, store: GcsStore) -> None:
    """A server that does not check what it is sent is found out by what it answers."""
    fake.buckets["models"] = _Spoiling("models")
    with pytest.raises(ObjectCorrupt, match="CRC32C"):
        store.put("new", b"content", if_generation=ABSENT)
    with pytest.raises(ObjectCorrupt, match="CRC32C"):
        store.put_stream("newer", _pieces(), size_bytes=len(_LARGE))
    assert list(store.list("")) == []


def test_no_content_is_sent_unchecked(fake: FakeGcs, store: GcsStore) -> None:
    """The server is told the checksum of everything before it makes an object of it."""
    store.put_stream("new", _pieces(), size_bytes=len(_LARGE))
    last = [seen for seen in fake.seen if seen.operation == "chunk"][-1]
    assert last.headers["x-goog-hash"].startswith("crc32c=")


def _told(error: BaseException | None) -> str:
    """What an error says, and what caused it, and so on."""
    return f"{error}\n{_told(error.__cause__)}" if error else ""


def _pieces() -> Iterator[bytes]:
    for start in range(0, len(_LARGE), 1 << 20):
        yield _LARGE[start : start + (1 << 20)]


def _read_until_corrupt(store: GcsStore) -> bytes:
    read = bytearray()
    chunks = store.get_stream("new")
    with pytest.raises(ObjectCorrupt, match="CRC32C"):
        read.extend(itertools.chain.from_iterable(chunks))
    return bytes(read)
