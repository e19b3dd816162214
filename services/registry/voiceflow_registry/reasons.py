"""Why somebody did something, for people: of promotions, rollbacks and yanks."""

from __future__ import annotations

import unicodedata
from typing import Final

from voiceflow.catalog.channels import MAXIMUM_REASON_CHARACTERS
from voiceflow.errors import InvalidInput


def check_reason(reason: str) -> None:
    """Whether it is one line of text, and of bounded length; it may be empty.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    if len(reason) > MAXIMUM_REASON_CHARACTERS:
        raise _invalid(f"{len(reason)} characters; allowed are {MAXIMUM_REASON_CHARACTERS}")
    # It is read on terminals, which obey what they are shown.
    control = next((one for one in reason if unicodedata.category(one) in _CONTROL), None)
    if control is not None:
        raise _invalid(f"holds the character U+{ord(control):04X}; allowed is one line of text")


_CONTROL: Final = frozenset({"Cc", "Zl", "Zp"})
"""Control characters, and what begins a line or a paragraph."""


def _invalid(seen: str) -> InvalidInput:
    return InvalidInput(f"reason: {seen}", reason="FIELD_INVALID", field="reason")
