"""What every store must keep to, each as a check: the one condition, in all that rests on it.

An adapter that ignores the condition fails every one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.fakes.storage import Fault, FaultyStore
from tests.integration.registry.storage.places import Place
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectStore,
    PreconditionFailed,
    create_once,
)

_KEY: Final = "history/diarizer/stable/00000000000000000001.json"
_WRITERS: Final = 16
_INCREMENTERS: Final = 8
_INCREMENTS: Final = 10


def create_only(place: Place) -> None:
    """What exists is not created again, by put or by put_stream."""
    store = place.open()
    generation = store.put(_KEY, b"first", if_generation=ABSENT)
    assert refused(lambda: store.put(_KEY, b"second", if_generation=ABSENT))
    assert refused(lambda: store.put_stream(_KEY, [b"third"], size_bytes=5))
    assert place.open().get(_KEY).content == b"first"
    assert store.get(_KEY).generation == generation


def replaced_under_condition(place: Place) -> None:
    """An object is replaced and removed as the generation that was named, or not at all."""
    store = place.open()
    assert refused(lambda: store.put(_KEY, b"none yet", if_generation=7))
    assert store.info(_KEY) is None
    first = store.put(_KEY, b"first", if_generation=ABSENT)
    second = store.put(_KEY, b"second", if_generation=first)
    assert refused(lambda: store.put(_KEY, b"stale", if_generation=first))
    assert refused(lambda: store.delete(_KEY, if_generation=first))
    assert store.get(_KEY).content == b"second"
    assert store.delete(_KEY, if_generation=second)
    assert not store.delete(_KEY, if_generation=second)
    assert refused(lambda: store.put(_KEY, b"gone", if_generation=second))
    third = store.put(_KEY, b"third", if_generation=ABSENT)
    assert refused(lambda: store.delete(_KEY, if_generation=second))
    assert len({first, second, third, ABSENT}) == 4


def one_of_sixteen(place: Place) -> None:
    """Of sixteen writers of one key exactly one wins, and all are told which."""
    start = threading.Barrier(_WRITERS)

    def write(number: int) -> bytes:
        store = place.open()
        start.wait()
        return create_once(store, _KEY, b"writer %d" % number)

    with ThreadPoolExecutor(_WRITERS) as pool:
        stands = list(pool.map(write, range(_WRITERS)))
    assert len(set(stands)) == 1
    assert place.open().get(_KEY).content == stands[0]


def eighty_increments(place: Place) -> None:
    """Eight writers that add ten each by compare and set have added eighty."""
    place.open().put(_KEY, b"0", if_generation=ABSENT)
    # All have read before any writes: the first round is a race for certain.
    start = threading.Barrier(_INCREMENTERS)

    def add(_: int) -> None:
        store = place.open()
        for turn in range(_INCREMENTS):
            _increment(store, start if turn == 0 else None)

    with ThreadPoolExecutor(_INCREMENTERS) as pool:
        list(pool.map(add, range(_INCREMENTERS)))
    assert int(place.open().get(_KEY).content) == _INCREMENTERS * _INCREMENTS


def lost_reply(place: Place) -> None:
    """A writer whose reply was lost learns that it won, and another that it lost."""
    for number, fault in enumerate((Fault.REPEAT, Fault.LOSE_REPLY, Fault.REFUSE)):
        key = f"history/diarizer/stable/{number:020}.json"
        store = FaultyStore(place.open(), {1: fault})
        mine = b"mine %d" % number
        assert _persistent(store, key, mine) == mine
        assert create_once(place.open(), key, b"theirs") == mine
        assert place.open().get(key).content == mine


KEY_CHECKS: Final[tuple[Callable[[Place], None], ...]] = (
    create_only,
    replaced_under_condition,
    one_of_sixteen,
    eighty_increments,
    lost_reply,
)


def refused(act: Callable[[], object]) -> bool:
    """Whether a condition did not hold."""
    try:
        act()
    except PreconditionFailed:
        return True
    return False


def _persistent(store: ObjectStore, key: str, content: bytes) -> bytes:
    try:
        return create_once(store, key, content)
    except Exception:  # noqa: BLE001 - whatever it is, a caller may try again
        return create_once(store, key, content)


def _increment(store: ObjectStore, start: threading.Barrier | None) -> None:
    while True:
        read = store.get(_KEY)
        if start is not None:
            start.wait()
            start = None
        count = b"%d" % (int(read.content) + 1)
        if not refused(lambda: store.put(_KEY, count, if_generation=read.generation)):  # noqa: B023
            return
