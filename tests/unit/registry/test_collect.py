"""Collection: what it takes, what it spares, and that it never takes what is needed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import (
    PUBLISHER,
    Clock,
    Package,
    Replica,
    ScriptedGates,
    finding,
    package,
    send,
)
from tests.fakes.storage import Crashed, Fault, FaultyStore, Operation
from voiceflow.artifact import digest_of
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import VersionName
from voiceflow.catalog.pods import Collection
from voiceflow.errors import Conflict, InvalidInput, NotAllowedNow, NotFound
from voiceflow.identity.caller import Caller
from voiceflow_registry.collect import Collector
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.records import blob_key
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable

COLLECTOR = Caller("spiffe://test/collector")
DAY = 24 * 3600.0


def collect(
    replica: Replica,
    *,
    validate_only: bool = False,
    grace_seconds: float | None = None,
    maximum_objects: int = 0,
) -> Collection:
    """One call."""
    return replica.collector.collect(
        COLLECTOR,
        validate_only=validate_only,
        grace_seconds=grace_seconds,
        maximum_objects=maximum_objects,
    )


def later(store: ObjectStore, seconds: float, *, grace_seconds: float = DAY) -> Replica:
    """A replica that finds everything so much older."""
    return Replica(
        store,
        clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds),
        grace_seconds=grace_seconds,
    )


def keys(store: ObjectStore, prefix: str = "") -> set[str]:
    """What a store holds."""
    return {info.key for info in store.list(prefix)}


def take_away(replica: Replica, name: VersionName) -> None:
    """Yanks and deletes a version."""
    replica.versions.yank(PUBLISHER, name, reason="x", request_id="", validate_only=False)
    replica.versions.delete(
        PUBLISHER, name, request_id="", validate_only=False, in_use=lambda _: ()
    )


def readable(replica: Replica, what: Package) -> bool:
    """Whether a version's files are all as they were published."""
    return all(
        b"".join(chunk for _, chunk in replica.versions.download(what.name, file, 0).chunks)
        == content
        for file, content in what.files.items()
    )


def test_what_nothing_refers_to_is_taken_once_it_is_old_enough() -> None:
    """Files of a deleted version that no other has, of a refused one, and given-up uploads."""
    store = MemoryStore()
    gates = ScriptedGates()
    replica = Replica(store, gates=gates)
    replica.publish(package("1.0.0", weights=b"one"))
    replica.publish(package("1.1.0", weights=b"two"))
    take_away(replica, package("1.0.0").name)
    gates.failing[Gate.GRAPH] = finding("graph.nodes")
    with pytest.raises(NotAllowedNow):
        replica.publish(package("1.2.0", weights=b"three"))
    session = replica.begin(package("1.3.0", weights=b"four"))
    session.write("model.onnx", 0, b"fo", None)
    session.leave()
    before = keys(store)

    assert not collect(later(store, DAY - 60)).objects
    assert keys(store) == before
    told = collect(later(store, DAY + 60), validate_only=True)
    assert keys(store) == before
    taken = collect(later(store, DAY + 60))
    assert taken == told
    gone = {item.key for item in taken.objects}
    assert gone == before - keys(store)
    assert {key for key in gone if key.startswith("blobs/")} == {
        blob_key(digest_of(content)) for content in (b"one", b"three")
    }
    assert not keys(store, "uploads/")
    assert taken.collected_bytes == sum(item.size_bytes for item in taken.objects)
    assert not taken.more
    assert readable(replica, package("1.1.0", weights=b"two"))
    assert not collect(later(store, 10 * DAY)).objects


def test_versions_histories_policies_and_all_that_tells_of_them_are_never_taken() -> None:
    """However old: records, yanks, deletions, their reports, promotions, policies, reverts."""
    store = MemoryStore()
    replica = Replica(store)
    replica.publish(package("1.0.0"), request_id=str(uuid.uuid4()))
    replica.publish(package("1.1.0"))
    take_away(replica, package("1.0.0").name)
    for key in (
        "history/tones/stable/00000000000000000001.json",
        "policies/tones/stable/00000000000000000001.json",
        "channels/tones/stable.json",
        "reverts/tones/stable/1.json",
    ):
        store.put(key, b"{}", if_generation=0)
    before = keys(store)
    assert not collect(later(store, 10_000 * DAY)).objects
    assert keys(store) == before


def test_reports_on_what_was_never_committed_are_taken() -> None:
    """A publisher that died between report and version leaves one; a version's own stay."""
    store = MemoryStore()

    def dies(operation: Operation) -> Fault | None:
        version = operation.method == "put" and operation.key.startswith("versions/")
        return Fault.CRASH_BEFORE if version else None

    with pytest.raises(Crashed):
        Replica(FaultyStore(store, when=dies)).publish(package())
    assert len(keys(store, "reports/")) == 1
    Replica(store).publish(package("1.1.0", weights=b"w"))
    kept = Replica(store).versions.record(package("1.1.0").name)
    collect(later(store, 2 * DAY))
    assert len(keys(store, "reports/")) == 1
    assert Replica(store).versions.get(package("1.1.0").name, full=False).passed_gates
    assert kept.report.rpartition("/")[2] in next(iter(keys(store, "reports/")))


def test_pods_long_gone_are_forgotten() -> None:
    """Not before an hour, however short the grace."""
    store = MemoryStore()
    store.put("pods/pod-a.json", b"{}", if_generation=0)
    assert not collect(later(store, 3500, grace_seconds=0.0)).objects
    assert [item.key for item in collect(later(store, 3700, grace_seconds=0.0)).objects] == [
        "pods/pod-a.json"
    ]


def test_holds_that_a_crash_left_are_taken_once_their_place_is() -> None:
    """One whose promotion may yet be written stays, however old; so does one that is young."""
    store = MemoryStore()
    for sequence in (1, 2):
        hold = f"holds/tones/1.0.0-rc.1/stable/{sequence:020}-1f2e"
        store.put(hold, b"{}", if_generation=0)
    store.put("history/tones/stable/00000000000000000001.json", b"{}", if_generation=0)
    assert not collect(later(store, DAY - 60)).objects
    assert [item.key for item in collect(later(store, DAY + 60)).objects] == [
        "holds/tones/1.0.0-rc.1/stable/00000000000000000001-1f2e"
    ]
    assert len(keys(store, "holds/")) == 1


def test_an_upload_is_spared_as_long_as_somebody_goes_on_with_it() -> None:
    """With all its parts, and the old files of others that it need not send."""
    store = MemoryStore()
    replica = Replica(store)
    replica.publish(package("1.0.0", weights=b"held"))
    replica.publish(package("1.0.1", weights=b"not held"))
    for version in ("1.0.0", "1.0.1"):
        take_away(replica, package(version).name)
    what = package("1.1.0", weights=b"held", golden=b"new golden")
    session = replica.begin(what)
    session.write("golden.npz", 0, b"new", None)
    session.leave()
    clock = Clock(datetime.now(UTC) + timedelta(seconds=120))
    collector = Collector(store, replica.versions, clock, grace_seconds=60.0, upload_seconds=DAY)
    taken = collector.collect(COLLECTOR, validate_only=False, grace_seconds=None, maximum_objects=0)
    assert {item.key for item in taken.objects} == {
        blob_key(digest_of(b"not held")),
        blob_key(digest_of(b"golden")),
    }
    session = replica.begin(what)
    replica.send_rest(session, what)
    session.finish()
    assert readable(replica, what)


def test_an_upload_is_given_up_when_it_was_said_to_be() -> None:
    """Neither a shorter grace nor what the caller asks for takes it before."""
    store = MemoryStore()
    replica = Replica(store, limits=PublishLimits(upload_seconds=DAY))
    session = replica.begin(package())
    session.write("model.onnx", 0, b"weig", None)
    session.leave()
    expire_time = replica.publishing.upload(PUBLISHER, package().upload).expire_time
    for seconds, expected in ((-60, 0), (60, 2)):
        clock = Clock(expire_time + timedelta(seconds=seconds))
        collector = Collector(
            store, replica.versions, clock, grace_seconds=60.0, upload_seconds=DAY
        )
        taken = collector.collect(
            COLLECTOR, validate_only=False, grace_seconds=0.0, maximum_objects=0
        )
        assert len(taken.objects) == expected


def test_no_more_objects_are_taken_than_asked_for() -> None:
    """`more` says whether any are left."""
    store = MemoryStore()
    replica = Replica(store)
    for number in range(5):
        blob = b"%d" % number
        store.put(blob_key(digest_of(blob)), blob, if_generation=0)
    taken = []
    for expected in (True, True, False):
        collection = collect(replica, maximum_objects=2)
        assert collection.more is expected
        taken += [item.key for item in collection.objects]
    assert len(set(taken)) == len(taken) == 5
    assert not keys(store, "condemned/")


@pytest.mark.parametrize(
    ("field", "act"),
    [
        ("maximum_objects", lambda replica: collect(replica, maximum_objects=-1)),
        ("grace_period", lambda replica: collect(replica, grace_seconds=-1.0)),
        ("grace_period", lambda replica: collect(replica, grace_seconds=float("nan"))),
    ],
)
def test_negative_numbers_are_refused(field: str, act: Callable[[Replica], object]) -> None:
    """With the field at fault."""
    with pytest.raises(InvalidInput) as caught:
        act(Replica(MemoryStore()))
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", field)


def test_a_grace_period_longer_than_time_spares_everything() -> None:
    """The registry's own holds where less is asked for."""
    store = MemoryStore()
    store.put(blob_key(digest_of(b"x")), b"x", if_generation=0)
    assert not collect(later(store, 50 * DAY), grace_seconds=float("inf")).objects
    assert not collect(later(store, DAY / 2), grace_seconds=0.0).objects
    assert collect(later(store, 2 * DAY), grace_seconds=0.0).objects


class Interrupted:
    """A store during whose operation n something else happens."""

    def __init__(self, store: ObjectStore, number: int, act: Callable[[], object]) -> None:
        self.done = False

        def at(_: Operation) -> None:
            if len(self.store.operations) == number:
                self.done = True
                act()

        self.store = FaultyStore(store, when=at)


def _orphaned() -> tuple[MemoryStore, Package]:
    """A store with the files of a deleted version, and a package that needs the same files."""
    store = MemoryStore()
    replica = Replica(store)
    replica.publish(package("1.0.0"))
    take_away(replica, package("1.0.0").name)
    return store, package("1.1.0")


def test_r45_a_collection_at_any_moment_of_publishing_takes_nothing_that_is_needed() -> None:
    """The files are old, unreferenced and not sent again: all of them are there in the end."""
    for number in range(1, 200):
        store, what = _orphaned()
        beside = Replica(store)
        racing = Interrupted(store, number, partial(collect, beside))
        _published_by_retries(Replica(racing.store), what)
        assert readable(Replica(store), what), number
        assert not collect(Replica(store)).objects or readable(Replica(store), what)
        if not racing.done:
            return
    raise AssertionError("publishing never came to an end")


def test_r45_a_version_published_at_any_moment_of_a_collection_keeps_its_files() -> None:
    """Whatever the collection had read before: what it has decided on escapes it."""
    for number in range(1, 200):
        store, what = _orphaned()
        racing = Interrupted(store, number, partial(_published_by_retries, Replica(store), what))
        collect(Replica(racing.store))
        if not racing.done:
            return
        assert readable(Replica(store), what), number
        assert not keys(store, "condemned/"), number
    raise AssertionError("the collection never came to an end")


def test_r45_a_collection_that_stalls_for_ever_so_long_takes_nothing_published_since() -> None:
    """It decides, sleeps, and wakes after the version and another collection came and went."""
    for number in range(1, 200):
        store, what = _orphaned()

        def meanwhile(store: ObjectStore = store, what: Package = what) -> None:
            collect(Replica(store))
            _published_by_retries(Replica(store), what)
            collect(Replica(store))

        racing = Interrupted(store, number, meanwhile)
        collect(Replica(racing.store))
        if not racing.done:
            return
        assert readable(Replica(store), what), number


def _published_by_retries(replica: Replica, what: Package) -> None:
    """Publishes as a client does that begins again where it is told to."""
    for _ in range(5):
        try:
            replica.publish(what)
        except (Conflict, InvalidInput, NotFound):
            continue
        return
    raise AssertionError("publishing never came through")


@pytest.mark.parametrize(
    "fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOSE_REPLY, Fault.REPEAT]
)
def test_r22_a_collection_that_dies_at_any_operation_is_finished_by_the_next(fault: Fault) -> None:
    """Whoever publishes the same files in between has them."""
    for number in range(1, 200):
        store, what = _orphaned()
        faulty = FaultyStore(store, {number: fault})
        with suppress(Crashed, StoreUnavailable):
            collect(Replica(faulty))
        _published_by_retries(Replica(store), what)
        collect(Replica(store))
        assert readable(Replica(store), what), number
        assert not keys(store, "condemned/"), number
        if len(faulty.operations) < number:
            return
    raise AssertionError("the collection never came to an end")


def test_r45_a_file_that_vanished_after_the_commit_is_put_back() -> None:
    """As long as nobody was told of the version, its publisher has the bytes."""
    store, what = _orphaned()
    blob = blob_key(digest_of(what.files["model.onnx"]))

    def vanish(operation: Operation) -> None:
        if operation.method == "list" and operation.key == "condemned/":
            info = store.info(blob)
            if info is not None:
                store.delete(blob, if_generation=info.generation)

    Replica(FaultyStore(store, when=vanish)).publish(what)
    assert readable(Replica(store), what)


def test_a_version_whose_file_is_lost_is_mended_by_publishing_it_again() -> None:
    """The same bytes are answered with the record that exists, and what is missing is taken in."""
    store = MemoryStore()
    replica = Replica(store)
    what = package()
    replica.publish(what)
    info = store.info(blob_key(digest_of(what.files["model.onnx"])))
    assert info is not None
    store.delete(info.key, if_generation=info.generation)
    session = replica.begin(what)
    with pytest.raises(InvalidInput) as caught:
        session.finish()
    assert caught.value.reason == "UPLOAD_INCOMPLETE"
    session = replica.begin(what)
    send(session, "model.onnx", what.files["model.onnx"])
    assert session.finish().already_published
    assert readable(replica, what)
