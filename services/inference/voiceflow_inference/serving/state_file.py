"""What a pod trusts, kept on disk so that a restart does not forget it.

The file is replaced in one step and stands on the disk before anything is done that rests on it. It
holds a digest of itself: a file that was cut short or has decayed is an error, and never taken for
none, since a pod without a memory could be told anything. A lock beside it belongs to one process
as long as that lives: two that write one memory would each undo what the other has learnt. Where
nothing is checked, nothing is learnt, and processes may share one: each locks it while it writes.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from voiceflow.artifact import Digest, digest_of
from voiceflow.catalog.channels import Promotion
from voiceflow.catalog.values import Value
from voiceflow.errors import ContentCorrupt, NotAllowedNow, VoiceFlowError
from voiceflow.trust.strict_json import first_fault
from voiceflow.trust.trusted import TrustedState

MAXIMUM_STATE_BYTES: Final = 1024 * 1024
"""More is not read: five times what the longest statement and signature take."""


class Remembered(Value):
    """What outlasts the process.

    Attributes:
        trusted: How far the trust root and the channel's history are known.
        held: The newest trusted promotion whose package was fetched and verified: what a restart
            may serve without the registry. None: there was none yet.
    """

    trusted: TrustedState
    held: Promotion | None = None


class StateFile:
    """The memory of one process; a context manager that holds its lock.

    Args:
        path: Of the file; its folder is made.
        shared: Other processes may remember there, too: the last one that wrote is remembered. That
            nothing can be is found out when it is to be.

    Raises:
        NotAllowedNow: STATE_LOCKED: another process remembers there.
        VoiceFlowError: STATE_NOT_WRITABLE.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._lock: int | None = None
        if shared:
            return
        try:
            self._lock = self._open_lock()
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise NotAllowedNow(
                f"{path}: another process keeps there what it trusts; give each process its own"
                " --state-dir",
                reason="STATE_LOCKED",
                field="state_dir",
            ) from None
        except OSError as error:
            raise self._not_writable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets another process have it."""
        if self._lock is not None:
            os.close(self._lock)

    def read(self) -> Remembered | None:
        """What is remembered; None if nothing ever was.

        Raises:
            ContentCorrupt: STATE_CORRUPT: the file is there, and not as it was written.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(MAXIMUM_STATE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.corrupt(f"it cannot be read: {error.strerror}") from error
        try:
            remembered = _File.model_validate_json(content).content
        except ValidationError as error:
            raise self.corrupt(first_fault(error)) from None
        if _encoded(remembered) != content:
            raise self.corrupt("its digest is not that of its content")
        return remembered

    def write(self, remembered: Remembered) -> None:
        """Remembers this instead; it outlasts a loss of power from the return on.

        Raises:
            VoiceFlowError: STATE_NOT_WRITABLE: what was remembered before still is.
        """
        lock: int | None = None
        try:
            if self._lock is None:
                lock = self._open_lock()
                fcntl.flock(lock, fcntl.LOCK_EX)  # while others write, for a moment
            self._replace(_encoded(remembered))
        except OSError as error:
            raise self._not_writable(error) from error
        finally:
            if lock is not None:
                os.close(lock)

    def corrupt(self, why: str) -> ContentCorrupt:
        """STATE_CORRUPT: what the file holds cannot be gone on with; says what to do."""
        return ContentCorrupt(
            f"{self._path}: {why}. It keeps what this server trusts, without which an old model"
            " could be passed off as new. Restore it; or compare what `voiceflow models show` tells"
            " of the channel with what should be served, and remove it: the first promotion told is"
            " then believed, if it is signed",
            reason="STATE_CORRUPT",
            field="state_dir",
        )

    def _open_lock(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = self._path.with_suffix(".lock")
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _replace(self, content: bytes) -> None:
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _not_writable(self, error: OSError) -> VoiceFlowError:
        return VoiceFlowError(
            f"{self._path}: what this server trusts cannot be kept there: {error.strerror}",
            reason="STATE_NOT_WRITABLE",
            field="state_dir",
        )


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    digest: Digest
    content: Remembered


def _encoded(remembered: Remembered) -> bytes:
    """The one form of the file."""
    digest = digest_of(remembered.model_dump_json().encode())
    return _File(digest=digest, content=remembered).model_dump_json(indent=1).encode() + b"\n"
