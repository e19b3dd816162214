"""Values read from files that change while a server runs: certificates, grants, keys, trust.

A new content takes the place of the old value only once it has been read without a fault. Looking
at the files again and again, and counting what was refused, is done by `voiceflow.rpc.freshness`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Content = TypeVar("Content")

_LOG = logging.getLogger(__name__)


class Reloaded(Generic[Content]):
    """A value that follows its files. Any thread may read it and check it.

    Args:
        what: For people and metrics: `certificates`, `access`, `keys`, `trust_root`.
        read: Reads the value, or raises.
        paths: The files that it is read from; it is read again when the bytes of any have changed.

    Raises:
        Exception: What `read` raises: without a first value there is nothing to go on with.
    """

    def __init__(self, what: str, read: Callable[[], Content], paths: Sequence[Path]) -> None:
        self.what = what
        self._read = read
        self._paths = tuple(paths)
        self._checking = threading.Lock()
        # Looked at before reading: what changes in between is seen as a change by the next check.
        self._held = self._contents()
        self._refused: tuple[str, ...] | None = None
        self._failures = 0
        self._value = read()

    @property
    def value(self) -> Content:
        """The newest value that was read without a fault."""
        return self._value

    @property
    def failures(self) -> int:
        """How many contents were refused, each counted once."""
        return self._failures

    def check(self) -> bool:
        """Looks at the files, and reads them if they are not those of the value.

        What cannot be read leaves the value as it is, and is logged and counted once for each
        content; it is tried again by every check, since time alone may make a certificate valid.

        Returns:
            Whether there is a new value.
        """
        with self._checking:
            contents = self._contents()
            if contents == self._held:
                if self._refused is not None:
                    self._refused = None
                    _LOG.info("%s: is again what it was", self.what)
                return False
            try:
                value = self._read()
            except Exception as error:  # noqa: BLE001 whatever a file holds, the old value serves
                if contents != self._refused:
                    self._refused = contents
                    self._failures += 1
                    _LOG.error("%s: keeps what it has: %s", self.what, error)
                return False
            self._value, self._held, self._refused = value, contents, None
            _LOG.info("%s: reloaded", self.what)
            return True

    def _contents(self) -> tuple[str, ...]:
        return tuple(_digest(path) for path in self._paths)


def _digest(path: Path) -> str:
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return "none"
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        return type(error).__name__
