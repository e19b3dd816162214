"""Files that the commands read and write."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import click

from voiceflow.errors import InvalidInput
from voiceflow.trust.drafts import Draft
from voiceflow.trust.root import read_trust_root_file, read_trust_roots

FILE: Final = click.Path(path_type=Path, dir_okay=False)
_DRAFT_SUFFIX: Final = ".draft.json"


def read_draft(path: Path) -> Draft:
    """Reads a trust root, complete or not.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE.
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
    """
    return Draft.from_json(read_trust_root_file(path))


known_root_option = click.option(
    "--trust-root",
    type=FILE,
    help="Your own copy of what is in force, which the draft must go on from.",
)


def check_follows(draft: Draft, known: Path | None) -> None:
    """Checks that a draft goes on from a trust root that is known; None: nothing is.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE.
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
    """
    if known is not None:
        draft.check_follows(read_trust_roots(known))


def draft_path(path: Path, draft: Draft) -> Path:
    """Where a changed draft goes: a complete trust root stays what it is, a draft is replaced."""
    return path if draft.lacks else path.with_suffix(_DRAFT_SUFFIX)


def read_bytes(path: Path, maximum_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        InvalidInput: FILE_UNREADABLE: it cannot be read, or is longer than that.
    """
    try:
        with path.open("rb") as file:
            content = file.read(maximum_bytes + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(content) > maximum_bytes:
        raise _unreadable(path, f"it has more than {maximum_bytes} bytes")
    return content


def replace(path: Path, content: bytes) -> None:
    """Writes a file as a whole, or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unreadable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path}: cannot be read: {why}", reason="FILE_UNREADABLE", field=str(path))
