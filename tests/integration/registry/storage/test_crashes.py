"""Nothing acknowledged is lost, nothing is half there, wherever writers die and replies are lost.

A state machine drives each kind of store with troubles at any step of its own making: operations
in memory, system calls on the filesystem, requests to the bucket. What was acknowledged stands;
what was not either took place whole or not at all, and that is settled by the first look.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.fakes.gcs import serving
from tests.fakes.storage import Crashed
from tests.integration.registry.storage.places import (
    FilesystemPlace,
    GcsPlace,
    MemoryPlace,
    Place,
)
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
    create_once,
)

_KEYS = st.sampled_from(["a/1", "a/2", "a-b/1"])
_STEPS = st.integers(0, 24)
_KINDS = st.integers(0, 29)
_SIZES = st.sampled_from([0, 1, 3000, (256 << 10) + 1])


class Writers(RuleBasedStateMachine):
    """Writers that die and others that come after them."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.here = self.place.fresh()
        self.store = self.here.open()
        self.contents: dict[str, bytes] = {}
        self.generations: dict[str, set[int]] = {}
        self.count = 0

    @rule(key=_KEYS, size=_SIZES, step=_STEPS, kind=_KINDS, stream=st.booleans())
    def create(self, key: str, size: int, step: int, kind: int, stream: bool) -> None:
        """Creates an object that must not exist."""
        content = self._content(size)

        def act(store: ObjectStore) -> None:
            if stream:
                halves = [content[: size // 2], content[size // 2 :]]
                store.put_stream(key, halves, size_bytes=len(content))
            else:
                store.put(key, content, if_generation=ABSENT)

        self._attempt(key, act, step, kind, None, content)

    @rule(key=_KEYS, size=_SIZES, step=_STEPS, kind=_KINDS)
    def replace(self, key: str, size: int, step: int, kind: int) -> None:
        """Replaces an object as the generation that it has."""
        content, info = self._content(size), self.store.info(key)
        if info is not None:
            self._attempt(
                key,
                lambda store: store.put(key, content, if_generation=info.generation),
                step,
                kind,
                self.contents[key],
                content,
            )

    @rule(key=_KEYS, step=_STEPS, kind=_KINDS)
    def delete(self, key: str, step: int, kind: int) -> None:
        """Removes an object as the generation that it has."""
        info = self.store.info(key)
        if info is not None:
            self._attempt(
                key,
                lambda store: store.delete(key, if_generation=info.generation),
                step,
                kind,
                self.contents[key],
                None,
            )

    @rule(key=_KEYS, step=_STEPS, kind=_KINDS)
    def decide(self, key: str, step: int, kind: int) -> None:
        """Competes for a key, and again after a failure; in the end knows what stands."""
        content = self._content(40)
        store, trigger = self.here.troubled(step, kind)
        with trigger, contextlib.suppress(StoreUnavailable, Crashed):
            assert create_once(store, key, content) == self._settled(key, content)
            return
        self.store = self.here.open()
        assert create_once(self.store, key, content) == self._settled(key, content)

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        """The list, every content, and generations that never come again."""
        infos = list(self.store.list(""))
        assert [info.key for info in infos] == sorted(self.contents)
        for info in infos:
            read = self.store.get(info.key)
            assert read.content == self.contents[info.key]
            assert (read.generation, len(read.content)) == (info.generation, info.size_bytes)
            assert b"".join(self.store.get_stream(info.key)) == read.content

    def _content(self, size: int) -> bytes:
        self.count += 1
        return b"%06d" % self.count + b"x" * size

    def _settled(self, key: str, content: bytes) -> bytes:
        """What stands for good, now that somebody was told."""
        return self.contents.setdefault(key, content)

    def _attempt(
        self,
        key: str,
        act: Callable[[ObjectStore], Any],
        step: int,
        kind: int,
        before: bytes | None,
        after: bytes | None,
    ) -> None:
        found = self.contents.get(key)
        store, trigger = self.here.troubled(step, kind)
        outcomes = [after]
        try:
            with trigger:
                act(store)
            assert found == before, "a condition that does not hold was passed over"
        except PreconditionFailed:
            # Its own first try may have been carried out, and the reply lost.
            outcomes = [found, after]
        except (StoreUnavailable, Crashed):
            outcomes = [found, after] if found == before else [found]
        self.store = self.here.open()
        stands = self._stands(key)
        assert stands in outcomes
        if stands != found:
            assert found == before
            self._note(key)
        if stands is None:
            self.contents.pop(key, None)
        else:
            self.contents[key] = stands

    def _note(self, key: str) -> None:
        info = self.store.info(key)
        if info is not None:
            earlier = self.generations.setdefault(key, set())
            assert info.generation not in earlier
            earlier.add(info.generation)

    def _stands(self, key: str) -> bytes | None:
        info = self.store.info(key)
        return None if info is None else self.store.get(key).content


@contextlib.contextmanager
def _memory() -> Iterator[Place]:
    yield MemoryPlace()


@contextlib.contextmanager
def _filesystem() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield FilesystemPlace(Path(folder) / "store")


@contextlib.contextmanager
def _gcs() -> Iterator[Place]:
    with serving() as fake:
        fake.add_bucket("models")
        place = GcsPlace(fake.endpoint, "models", fake)
        yield place
        place.close()


@pytest.mark.parametrize(
    ("opened", "examples"),
    [(_memory, 60), (_filesystem, 60), (_gcs, 20)],
    ids=["memory", "filesystem", "gcs"],
)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(
    opened: Callable[[], contextlib.AbstractContextManager[Place]], examples: int
) -> None:
    """Any order of writes, each with a trouble at any step, keeps the promise."""
    with opened() as place:
        machine = type("Machine", (Writers,), {"place": place})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=15,
                deadline=None,
                derandomize=True,
            ),
        )
