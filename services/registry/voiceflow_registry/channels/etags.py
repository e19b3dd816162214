"""What names a state of a channel or policy."""

from __future__ import annotations

import re

from voiceflow.artifact import digest_of


def etag_of(sequence: int, content: bytes) -> str:
    """Names one state: its sequence, and half of the SHA-256 of what it says."""
    return f"{sequence}-{digest_of(content).removeprefix('sha256:')[:32]}"


def sequence_of(etag: str) -> int | None:
    """The sequence of the state that an etag names; None if it is no etag of ours."""
    found = re.fullmatch(r"([0-9]{1,19})-[0-9a-f]{32}", etag)
    return int(found[1]) if found else None
