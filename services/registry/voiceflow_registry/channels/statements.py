"""What names a state of a channel or policy, and what a promoter signs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import PromotionKind, Rollout
from voiceflow.catalog.names import ChannelName
from voiceflow_registry.channels.rollouts import as_signed


def etag_of(sequence: int, content: bytes) -> str:
    """Names one state: its sequence, and half of the SHA-256 of what it says."""
    return f"{sequence}-{digest_of(content).removeprefix('sha256:')[:32]}"


def sequence_of(etag: str) -> int | None:
    """The sequence of the state that an etag names; None if it is no etag of ours."""
    found = re.fullmatch(r"([0-9]{1,19})-[0-9a-f]{32}", etag)
    return int(found[1]) if found else None


def statement_of(
    channel: ChannelName,
    *,
    sequence: int,
    kind: PromotionKind,
    rollout: Rollout,
    expire_time: datetime | None,
    before: bytes | None,
) -> bytes:
    """What a promoter signs: the promotion as canonical JSON (RFC 8785), chained to the last.

    Args:
        channel: Whose history it goes into.
        sequence: Its place there.
        kind: How it comes about.
        rollout: With every digest.
        expire_time: Microseconds count.
        before: The statement of the promotion before it; None for the first.
    """
    body = {
        "channel": str(channel),
        "expire_time": expire_time and _utc(expire_time),
        "kind": kind.value,
        "previous_statement_digest": "" if before is None else digest_of(before),
        "rollout": as_signed(rollout),
        "sequence": sequence,
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
