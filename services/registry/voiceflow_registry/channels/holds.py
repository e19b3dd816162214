"""Keeps a version from being deleted while a promotion that names it is being written.

A promotion reads that a version is fit, and commits later; in between the version may be yanked and
deleted. No condition of the store spans both, so each side announces itself before it looks at
the other:

    promoting   writes a hold of the version   then reads that it is not yanked   then commits
    deleting    finds that it is yanked        then looks for holds and channels  then commits

Whichever announces itself last sees the other. A hold names the place in the history that its
promotion wants; once somebody's promotion stands there, the hold means nothing any more. A crash in
between leaves a hold that keeps the version from being deleted until the channel's next promotion;
collection removes it then. No clock takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.errors import VoiceFlowError
from voiceflow_registry.records import held_by, hold_prefix, nonce
from voiceflow_registry.storage.object_store import ObjectStore, StoreError, create_once

_CONTENT: Final = b"{}\n"


class Holds:
    """Versions that promotions under way name.

    Args:
        store: Holds them.
        taken: Whether a promotion of this channel and sequence stands.
    """

    def __init__(self, store: ObjectStore, taken: Callable[[ChannelName, int], bool]) -> None:
        self._store = store
        self._taken = taken

    @contextmanager
    def held(
        self, versions: Iterable[VersionName], channel: ChannelName, sequence: int
    ) -> Iterator[None]:
        """Holds versions for a promotion that is committed, or refused, within.

        Where the end is not known (the store did not answer, the process died), holds stay: the
        promotion may yet be written.
        """
        keys = [
            f"{hold_prefix(version)}{channel.channel}/{sequence:020}-{nonce()}"
            for version in versions
        ]
        for key in keys:
            create_once(self._store, key, _CONTENT)
        try:
            yield
        except VoiceFlowError:
            self._release(keys)
            raise
        self._release(keys)

    def channels(self, version: VersionName) -> list[ChannelName]:
        """Channels to which a promotion that names the version may be under way."""
        found = {held_by(info.key) for info in self._store.list(hold_prefix(version))}
        return sorted(
            {channel for channel, sequence in found if not self._taken(channel, sequence)}
        )

    def _release(self, keys: Iterable[str]) -> None:
        # Those of a promotion that stands mean nothing; another's only delay a deletion.
        with suppress(StoreError):
            for key in keys:
                held = self._store.info(key)
                if held is not None:
                    self._store.delete(key, if_generation=held.generation)
