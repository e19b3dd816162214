"""Publishers in processes of their own, which are killed.

    python -m tests.faults.publisher_process ROOT

Publishes into a folder, yanks, deletes and collects, each act in a child that is killed: before
each operation on the store in turn, which is also after the one before, and at moments that fall
into the midst of one. After each kill the act is tried again in a new child, and what stands is
looked at. Says one line of JSON for each act: before how many operations it was killed, and what
was wrong.

    {"act": "publish", "operations": 61, "wrong": []}
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.fakes.publishing import PUBLISHER, Package, Replica, package
from tests.fakes.storage import FaultyStore, Operation
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import VoiceFlowError
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.object_store import ObjectStore

LIMITS = PublishLimits(part_bytes=1000)
MIDST_KILLS = 25

Act = Callable[[ObjectStore, Package, str], None]
"""Does something about a version, under a request id; acknowledges by returning."""


def publish(store: ObjectStore, what: Package, request_id: str) -> None:
    """Publishes it; again under the same id, it is the first answer that comes."""
    if Replica(store, limits=LIMITS).publish(what, request_id=request_id).already_published:
        raise AssertionError("another request has published it")


def yank(store: ObjectStore, what: Package, request_id: str) -> None:
    """Yanks it."""
    Replica(store).versions.yank(
        PUBLISHER, what.name, reason="x", request_id=request_id, validate_only=False
    )


def delete(store: ObjectStore, what: Package, request_id: str) -> None:
    """Deletes it."""
    Replica(store).versions.delete(
        PUBLISHER, what.name, request_id=request_id, validate_only=False, in_use=lambda _: ()
    )


def collect(store: ObjectStore, _: Package, request_id: str) -> None:
    """Collects what deleted versions have left."""
    Replica(store).collector.collect(
        PUBLISHER,
        validate_only=False,
        grace_seconds=None,
        maximum_objects=0,
        request_id=request_id,
    )


ACTS: tuple[tuple[Act, VersionState], ...] = (
    (publish, VersionState.PUBLISHED),
    (yank, VersionState.YANKED),
    (delete, VersionState.DELETED),
    (collect, VersionState.DELETED),
)
"""Each is done to a version to which all before it were; the state that it has then."""


def main(root: Path) -> None:
    """Kills every act wherever it can be killed."""
    for number, (act, state) in enumerate(ACTS):
        kept = package("0.1.0", weights=b"kept")
        what = package("1.0.0", weights=random.Random(0).randbytes(2500))
        operations, wrong = 0, []
        for attempt, moment in enumerate(_moments()):
            open_store = partial(FilesystemStore, root / act.__name__ / str(attempt))
            publish(open_store(), kept, str(uuid.uuid4()))
            for earlier, _ in ACTS[:number]:
                earlier(open_store(), what, str(uuid.uuid4()))
            request_id = str(uuid.uuid4())
            acknowledged = _in_child(lambda: act(moment(open_store()), what, request_id))  # noqa: B023
            operations += not acknowledged and attempt >= MIDST_KILLS
            if not _in_child(lambda: act(open_store(), what, request_id)):  # noqa: B023
                wrong.append(f"{act.__name__} of {what.name} cannot be tried again")
            wrong += _wrong_with(open_store(), what, state, collected=act is collect)
            wrong += _wrong_with(open_store(), kept, VersionState.PUBLISHED, collected=False)
            if acknowledged and attempt >= MIDST_KILLS:
                break
        said = {"act": act.__name__, "operations": operations, "wrong": wrong}
        sys.stdout.write(json.dumps(said) + "\n")


def _moments() -> Iterator[Callable[[ObjectStore], ObjectStore]]:
    """When to die: at any time, then before operation 1, 2, 3 and so on."""
    for number in range(MIDST_KILLS):
        yield partial(_dying_within, random.Random(number).uniform(0.0005, 0.04))
    for number in itertools.count(1):
        yield partial(_dying_before, number)


def _dying_within(seconds: float, store: ObjectStore) -> ObjectStore:
    # Nobody handles this signal: it ends the process wherever it is, within a write or a sync.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return store


def _dying_before(number: int, store: ObjectStore) -> ObjectStore:
    def die(_: Operation) -> None:
        if len(faulty.operations) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    faulty = FaultyStore(store, when=die)
    return faulty


def _in_child(act: Callable[[], None]) -> bool:
    """Whether an act was acknowledged by a process that did it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:  # noqa: BLE001 - its status says all
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _wrong_with(
    store: ObjectStore, what: Package, state: VersionState, *, collected: bool
) -> Iterator[str]:
    """What is not as it must be once an act on a version has been tried again."""
    replica = Replica(store)
    try:
        if replica.versions.get(what.name, full=True).manifest != what.manifest:
            yield f"{what.name} is another"
        if replica.versions.state(what.name) is not state:
            yield f"{what.name} is {replica.versions.state(what.name)}"
        if state is not VersionState.DELETED:
            for file, content in what.files.items():
                chunks = replica.versions.download(what.name, file, 0).chunks
                if b"".join(chunk for _, chunk in chunks) != content:
                    yield f"{what.name} has another {file}"
    except VoiceFlowError as error:
        yield str(error)
    for prefix in ("uploads/", "condemned/"):
        for info in store.list(prefix):
            yield f"{info.key} is left"
    if collected and len(list(store.list("blobs/"))) != 3:  # those of the one that was kept
        yield "files of deleted versions are left"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
