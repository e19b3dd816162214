"""Reads and writes the small files that identity stands on."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from voiceflow.errors import InvalidInput

MAXIMUM_FILE_BYTES: Final = 1024 * 1024
"""Of certificates, access files and key sets; far more than thousands of grants need."""


def read_file(path: Path, *, reason: str, field: str) -> bytes:
    """Reads a file whole.

    Args:
        path: Of the file.
        reason: Of the error.
        field: Of the error: what the file was to be.

    Raises:
        InvalidInput: It cannot be read, is no regular file or is too large.
    """
    try:
        if not path.is_file():
            raise InvalidInput(
                f"{path}: {'is no regular file' if path.exists() else 'there is no such file'}",
                reason=reason,
                field=field,
            )
        with path.open("rb") as handle:
            content = handle.read(MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be read: {error.strerror}", reason=reason, field=field
        ) from error
    if len(content) > MAXIMUM_FILE_BYTES:
        raise InvalidInput(
            f"{path}: has more than {MAXIMUM_FILE_BYTES} bytes", reason=reason, field=field
        )
    return content


def read_text(path: Path, *, reason: str, field: str) -> str:
    """Reads a file of UTF-8 text; raises as `read_file`, and where it is none."""
    try:
        return read_file(path, reason=reason, field=field).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: is no UTF-8 text", reason=reason, field=field) from error


def write_file(path: Path, content: bytes, *, private: bool) -> None:
    """Puts a file in place in one step, never readable for others before it is.

    Args:
        path: Of the file; what is there is replaced.
        content: All of it.
        private: Whether its owner alone may read it.

    Raises:
        OSError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    mode = 0o600 if private else 0o644
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
