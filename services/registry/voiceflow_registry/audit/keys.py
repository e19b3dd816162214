"""Where entries of the audit are: by key they come newest first, days in folders of their own.

    audit/<day, turned:06>/<microseconds, turned:016>-<nonce, turned:016>.intent.json
    audit/<day, turned:06>/<microseconds, turned:016>-<nonce, turned:016>.outcome.json

Turned is taken from the greatest number of so many digits, so that what is later comes first. Names
of entries have the numbers as they are: `auditEntries/<microseconds:016>-<nonce:016>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

AUDIT_PREFIX: Final = "audit/"
INTENT: Final = ".intent.json"
OUTCOME: Final = ".outcome.json"

_LAST_DAY: Final = 10**6 - 1
_LAST_MICROSECOND: Final = 10**16 - 1
"""Of the year 2286."""
_LAST_NONCE: Final = 2**64 - 1
_DAY_MICROSECONDS: Final = 24 * 3600 * 10**6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEM: Final = re.compile(r"([0-9]{6})/([0-9]{16})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    """Which entry; ids order as entries do.

    Attributes:
        microseconds: Since 1970, when it was begun.
        nonce: Sets it apart from others of the same microsecond.
    """

    microseconds: int
    nonce: int

    @property
    def name(self) -> str:
        """`auditEntries/{entry}`."""
        return f"auditEntries/{self.microseconds:016}-{self.nonce:016x}"

    @property
    def time(self) -> datetime:
        """When it was begun."""
        return _EPOCH + timedelta(microseconds=self.microseconds)

    @property
    def stem(self) -> str:
        """What its keys have in common, after the prefix."""
        return f"{_moment(self.microseconds)}-{_LAST_NONCE - self.nonce:016x}"

    @property
    def intent_key(self) -> str:
        """Where it is told what is to be done."""
        return f"{AUDIT_PREFIX}{self.stem}{INTENT}"

    @property
    def outcome_key(self) -> str:
        """Where it is told what came of it; sorts after the intent."""
        return f"{AUDIT_PREFIX}{self.stem}{OUTCOME}"

    @classmethod
    def of_stem(cls, stem: str) -> Self | None:
        """Reads a stem; None if it is none."""
        found = _STEM.fullmatch(stem)
        if found is None:
            return None
        read = cls(_LAST_MICROSECOND - int(found[2]), _LAST_NONCE - int(found[3], 16))
        return read if read.stem == stem else None


def microseconds_of(time: datetime) -> int:
    """Since 1970, as far as there can be entries."""
    return max(0, min((time - _EPOCH) // timedelta(microseconds=1), _LAST_MICROSECOND))


def before(time: datetime) -> str:
    """A place among the keys: what comes after it was begun before a time."""
    # Between this microsecond's keys, which go on with a hyphen, and those of the one before.
    return f"{AUDIT_PREFIX}{_moment(microseconds_of(time))}."


def _moment(microseconds: int) -> str:
    day = microseconds // _DAY_MICROSECONDS
    return f"{_LAST_DAY - day:06}/{_LAST_MICROSECOND - microseconds:016}"
