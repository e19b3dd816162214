"""What tests of the filesystem store start as processes of their own.

    python -m tests.integration.registry.storage.processes race ROOT PROCESSES
    python -m tests.integration.registry.storage.processes increment ROOT PROCESSES TIMES
    python -m tests.integration.registry.storage.processes kill ROOT ACT
    python -m tests.integration.registry.storage.processes write ROOT
    python -m tests.integration.registry.storage.processes stream KIND WHERE SIZE_BYTES

Each says on its output, in JSON, what was found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.integration.registry.storage.places import system_calls
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.gcs import GcsStore
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectStore,
    PreconditionFailed,
    create_once,
)

KEY: Final = "history/diarizer/stable/1.json"
OLD: Final = b"old" * 20_000
NEW: Final = b"new" * 30_000


def race(root: Path, processes: int) -> None:
    """All create one key at once; each says what stands then."""
    _say(_together(processes, lambda number: _create(root, number)))


def increment(root: Path, processes: int, times: int) -> None:
    """All add to one number by compare and set."""
    FilesystemStore(root).put(KEY, b"0", if_generation=ABSENT)
    _together(processes, lambda _: _add(root, times))
    _say(int(FilesystemStore(root).get(KEY).content))


def kill(root: Path, act: str) -> None:
    """Kills a writer before and after every system call that counts, and looks at what is left."""
    found = []
    for after in (False, True):
        number = 0
        while True:
            place = root / f"{act}-{number}-{after}"
            died = _killed(place, act, number, after=after)
            found.append([died, *_left(place)])
            if not died:
                break
            number += 1
    _say(found)


def write(root: Path) -> None:
    """Writes object after object, and says so of each."""
    store = FilesystemStore(root)
    number = 0
    while True:
        store.put(f"log/{number:06}", b"%06d" % number * 1000, if_generation=ABSENT)
        _say(number)
        number += 1


def stream(kind: str, where: str, size_bytes: int) -> None:
    """Writes and reads a large object, and says how much memory that took at most."""
    if kind == "filesystem":
        store: ObjectStore = FilesystemStore(Path(where))
    else:
        store = GcsStore("models", endpoint=where)
    chunk = bytes(1 << 20)

    def chunks() -> Iterator[bytes]:
        for _ in range(size_bytes // len(chunk)):
            yield bytes(chunk)

    store.put("warm", b"", if_generation=ABSENT)
    tracemalloc.start()
    store.put_stream("large", chunks(), size_bytes=size_bytes)
    read_bytes = sum(len(piece) for piece in store.get_stream("large"))
    _say([read_bytes, tracemalloc.get_traced_memory()[1]])


def _create(root: Path, number: int) -> str:
    return create_once(FilesystemStore(root), KEY, b"writer %d" % number).decode()


def _add(root: Path, times: int) -> str:
    store = FilesystemStore(root)
    added = 0
    while added < times:
        read = store.get(KEY)
        try:
            store.put(KEY, b"%d" % (int(read.content) + 1), if_generation=read.generation)
        except PreconditionFailed:
            continue
        added += 1
    return ""


def _together(processes: int, act: Callable[[int], str]) -> list[str]:
    """Runs it in as many processes, let go at one moment; what each gave."""
    gate, opener = os.pipe()
    answers = []
    for number in range(processes):
        answer, given = os.pipe()
        if os.fork() == 0:
            os.close(opener)
            os.read(gate, 1)
            os.write(given, act(number).encode())
            os._exit(0)
        os.close(given)
        answers.append(answer)
    os.close(opener)
    said = [os.read(answer, 1000).decode() for answer in answers]
    for _ in range(processes):
        assert os.wait()[1] == 0
    return said


def _killed(place: Path, act: str, number: int, *, after: bool) -> bool:
    """Whether a writer was killed at that call; False: it had fewer to make."""
    store = FilesystemStore(place)
    generation = store.put(KEY, OLD, if_generation=ABSENT) if act in {"replace", "delete"} else 0
    child = os.fork()
    if child == 0:
        with system_calls(number, lambda: os.kill(os.getpid(), signal.SIGKILL), after=after):
            _act(FilesystemStore(place), act, generation)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in {0, signal.SIGKILL}
    return status != 0


def _act(store: ObjectStore, act: str, generation: int) -> None:
    if act == "stream":
        store.put_stream(KEY, [NEW[:50_000], NEW[50_000:]], size_bytes=len(NEW))
    elif act == "delete":
        store.delete(KEY, if_generation=generation)
    else:
        store.put(KEY, NEW, if_generation=generation)


def _left(place: Path) -> list[object]:
    """What stands, whether the store is still good for everything, and what it has forgotten."""
    store = FilesystemStore(place)
    info = store.info(KEY)
    stands = store.get(KEY).content if info else b""
    names = {OLD: "old", NEW: "new", b"": "nothing"}
    listed = [found.key for found in store.list("")] == ([KEY] if info else [])
    again = store.put(KEY, OLD, if_generation=info.generation if info else ABSENT)
    usable = listed and store.delete(KEY, if_generation=again)
    leftovers = len(list((place / "making").iterdir()))
    return [names.get(stands, "half"), usable, leftovers]


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "race":
        race(Path(arguments[0]), int(arguments[1]))
    elif command == "increment":
        increment(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    elif command == "kill":
        kill(Path(arguments[0]), arguments[1])
    elif command == "write":
        write(Path(arguments[0]))
    else:
        stream(arguments[0], arguments[1], int(arguments[2]))
