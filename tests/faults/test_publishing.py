"""Publishing, yanking, deleting and collecting while everything that can die does.

What was acknowledged is there afterwards, once; what was not can be tried again under the same
request id and then is. R1-R4 and R17-R19 stand beside the acts, in tests/unit/registry.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import PUBLISHER, Package, Replica, package
from tests.fakes.storage import Crashed, Fault, FaultyStore
from voiceflow.catalog.versions import Version, VersionState
from voiceflow.errors import AlreadyExists, NotAllowedNow, NotFound
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable

SMALL_PARTS = PublishLimits(part_bytes=16)
FAULTS = [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOSE_REPLY, Fault.REFUSE, Fault.REPEAT]

Act = Callable[[ObjectStore, str], Version]


def replica(store: ObjectStore) -> Replica:
    """A replica that keeps small parts."""
    return Replica(store, limits=SMALL_PARTS)


def publish(what: Package) -> Act:
    """Publishing a version."""

    def act(store: ObjectStore, request_id: str) -> Version:
        published = replica(store).publish(what, request_id=request_id)
        assert not published.already_published, "the same request gets the first answer"
        return published.version

    return act


def yank(what: Package) -> Act:
    """Yanking a version."""

    def act(store: ObjectStore, request_id: str) -> Version:
        return replica(store).versions.yank(
            PUBLISHER, what.name, reason="x", request_id=request_id, validate_only=False
        )

    return act


def delete(what: Package) -> Act:
    """Deleting a version."""

    def act(store: ObjectStore, request_id: str) -> Version:
        return replica(store).versions.delete(
            PUBLISHER, what.name, request_id=request_id, validate_only=False, in_use=lambda _: ()
        )

    return act


def done(store: ObjectStore, *acts: Act) -> None:
    """Does acts, each as a request of its own."""
    for act in acts:
        act(store, str(uuid.uuid4()))


def collect(store: ObjectStore) -> None:
    """Collects everything, however young."""
    replica(store).collector.collect(
        PUBLISHER, validate_only=False, grace_seconds=None, maximum_objects=0
    )


def assert_readable(store: ObjectStore, what: Package) -> None:
    """A version's record and files are those that were sent."""
    versions = replica(store).versions
    assert versions.get(what.name, full=True).manifest == what.manifest
    for file, content in what.files.items():
        chunks = versions.download(what.name, file, 0).chunks
        assert b"".join(chunk for _, chunk in chunks) == content


FIRST = package("1.0.0", weights=bytes(range(100)))
SHARING = package("1.1.0", weights=bytes(range(100)), golden=b"other golden")

SCENES: dict[str, tuple[tuple[Act, ...], Act, Package, int]] = {
    "publish": ((), publish(FIRST), FIRST, 1),
    "publish-what-is-held": ((publish(FIRST),), publish(SHARING), SHARING, 2),
    "publish-what-is-orphaned": (
        (publish(FIRST), yank(FIRST), delete(FIRST)),
        publish(SHARING),
        SHARING,
        2,
    ),
    "yank": ((publish(FIRST),), yank(FIRST), FIRST, 1),
    "delete": ((publish(FIRST), yank(FIRST)), delete(FIRST), FIRST, 1),
}
"""What went before, the act, the version that it is about, and how many there are in the end."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("scene", SCENES)
def test_r22_r23_an_act_that_dies_at_any_operation_is_done_by_trying_again(
    scene: str, fault: Fault
) -> None:
    """Before and after each operation, its reply lost, refused, or given twice."""
    before, act, what, count = SCENES[scene]
    for number in range(1, 300):
        store = MemoryStore()
        done(store, *before)
        request_id = str(uuid.uuid4())
        faulty = FaultyStore(store, {number: fault})
        first = None
        with suppress(Crashed, StoreUnavailable):
            first = act(faulty, request_id)
        if fault is Fault.REPEAT:
            assert first is not None, "a reply that an adapter lost and asked for again"
        collect(store)  # beside: it must take nothing that the retry, or the version, needs
        again = act(store, request_id)
        assert first is None or first == again, "the same request gets the first answer"
        assert again == replica(store).versions.get(what.name, full=again.manifest is not None)
        if scene != "delete":
            assert_readable(store, what)
        else:
            assert again.state is VersionState.DELETED
        for prefix in ("uploads/", "condemned/"):
            assert not list(store.list(prefix)), number
        assert len(list(store.list("versions/"))) == count
        if len(faulty.operations) < number:
            return
    raise AssertionError("the act never came to an end")


@pytest.mark.parametrize("fault", [Fault.CRASH_AFTER, Fault.LOSE_REPLY])
def test_r1_a_stream_cut_at_any_operation_goes_on_from_what_was_told(fault: Fault) -> None:
    """What GetUpload told of before the cut is never told of less afterwards."""
    for number in range(1, 100):
        store = MemoryStore()
        faulty = FaultyStore(store, {number: fault})
        told = 0
        with suppress(Crashed, StoreUnavailable):
            session = replica(faulty).begin(FIRST)
            for offset in range(0, 96, 8):
                session.write("model.onnx", offset, FIRST.files["model.onnx"][offset:][:8], None)
                upload = replica(store).publishing.upload(PUBLISHER, FIRST.upload)
                assert upload.files[0].received_bytes >= told
                told = upload.files[0].received_bytes
        with suppress(NotFound):
            upload = replica(store).publishing.upload(PUBLISHER, FIRST.upload)
            assert upload.files[0].received_bytes >= told
        done(store, publish(FIRST))
        assert_readable(store, FIRST)
        if len(faulty.operations) < number:
            return
    raise AssertionError("the stream never came to an end")


VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "1.2.0-rc.1"])
CONTENTS = st.sampled_from([b"", b"short", bytes(range(60))])
PLACES = st.none() | st.tuples(st.integers(1, 60), st.sampled_from(FAULTS))
Place = tuple[int, Fault] | None
DEAD = (Crashed, StoreUnavailable)


class Registry(RuleBasedStateMachine):
    """Publishers, operators and collectors on one store, each of which may die at any operation.

    What is known here is what was acknowledged, and what may stand without having been.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.published: dict[str, Package] = {}
        self.tried: dict[str, list[Package]] = {}
        self.yanked: set[str] = set()
        self.deleted: set[str] = set()
        self.perhaps_deleted: set[str] = set()

    def _at(self, place: Place) -> Replica:
        return replica(FaultyStore(self.store, {place[0]: place[1]} if place else {}))

    @rule(version=VERSIONS, weights=CONTENTS, golden=CONTENTS, size=st.integers(1, 70), at=PLACES)
    def send_some(self, version: str, weights: bytes, golden: bytes, size: int, at: Place) -> None:
        """A stream sends some of each file that is not there, and is cut."""
        what = package(version, weights=weights, golden=golden)
        with suppress(AlreadyExists, *DEAD):
            publisher = self._at(at)
            session = publisher.begin(what)
            for file in publisher.publishing.upload(PUBLISHER, what.upload).files:
                part = what.files[file.file][file.received_bytes :][:size]
                if part and not file.complete:
                    session.write(file.file, file.received_bytes, part, None)
            session.leave()

    @rule(version=VERSIONS, weights=CONTENTS, golden=CONTENTS, at=PLACES)
    def publish(self, version: str, weights: bytes, golden: bytes, at: Place) -> None:
        """A publisher publishes, or goes on with what was sent."""
        what = package(version, weights=weights, golden=golden)
        self.tried.setdefault(version, []).append(what)
        try:
            published = self._at(at).publish(what)
        except AlreadyExists:
            standing = self._at(None).versions.record(what.name)
            assert standing.manifest != what.manifest
        except DEAD:
            pass
        else:
            assert published.version.manifest == what.manifest
            assert self.published.setdefault(version, what) == what

    @rule(version=VERSIONS, at=PLACES)
    def yank(self, version: str, at: Place) -> None:
        """An operator yanks."""
        with suppress(NotFound, *DEAD):
            self._at(at).versions.yank(
                PUBLISHER,
                package(version).name,
                reason="x",
                request_id="",
                validate_only=False,
            )
            self.yanked.add(version)

    @rule(version=VERSIONS, at=PLACES)
    def delete(self, version: str, at: Place) -> None:
        """An operator deletes."""
        with suppress(NotFound, NotAllowedNow, *DEAD):
            self.perhaps_deleted.add(version)
            self._at(at).versions.delete(
                PUBLISHER,
                package(version).name,
                request_id="",
                validate_only=False,
                in_use=lambda _: (),
            )
            self.deleted.add(version)

    @rule(at=PLACES)
    def collect(self, at: Place) -> None:
        """A collector takes whatever it may."""
        with suppress(*DEAD):
            self._at(at).collector.collect(
                PUBLISHER, validate_only=False, grace_seconds=None, maximum_objects=0
            )

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        """Versions are what they were, and readable until deleted; yanked and deleted stays so."""
        versions = replica(self.store).versions
        for version, what in self.published.items():
            if version in self.perhaps_deleted:
                state = versions.state(what.name)
                assert state is VersionState.DELETED or version not in self.deleted
                if state is VersionState.DELETED:
                    continue
            assert_readable(self.store, what)
        for version in self.yanked:
            assert versions.state(package(version).name) is not VersionState.PUBLISHED

    @invariant()
    def nothing_is_there_that_nobody_made(self) -> None:
        """Each version once, with the bytes of somebody who tried to publish it."""
        for info in self.store.list("versions/"):
            version = info.key.rpartition("/")[2].removesuffix(".json")
            record = replica(self.store).versions.record(package(version).name)
            assert record.manifest in {what.manifest for what in self.tried[version]}


Registry.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestRegistry = Registry.TestCase
TestRegistry.__doc__ = (
    "Nothing acknowledged is lost or doubled, whoever dies at whatever operation."
)


def test_r22_publishers_that_are_killed_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Real processes on a real folder, killed at every operation and in the midst of some."""
    shared_memory = Path("/dev/shm")  # noqa: S108 - kills do not need a disk to be slow
    with ExitStack() as stack:
        root = tmp_path
        if shared_memory.is_dir():
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shared_memory)))
        process = subprocess.run(
            [sys.executable, "-m", "tests.faults.publisher_process", str(root)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    said = [json.loads(line) for line in process.stdout.splitlines()]
    assert [one["act"] for one in said] == ["publish", "yank", "delete", "collect"]
    for one in said:
        assert one["operations"] > 5
        assert not one["wrong"]
