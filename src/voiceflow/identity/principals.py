"""Principals: SPIFFE IDs of callers, as the SPIFFE ID specification has them.

    spiffe://<trust domain>/<segment>/<segment>…

Only the plain form is one: no port, user, query or fragment, no percent-encoding, no `.` or `..`,
no empty segment. So two texts name the same principal only where they are the same text, and an
access file cannot be walked around.
"""

from __future__ import annotations

import re
from typing import Final

PRINCIPAL_RULE: Final = (
    "spiffe://<trust domain>/<path>: a domain of a-z, 0-9, dot, hyphen and underscore, segments of "
    "letters, digits, dot, hyphen and underscore, none of them . or .., at most 2048 characters"
)

_LONGEST: Final = 2048
_DOMAIN: Final = r"[a-z0-9._-]{1,255}"
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_PRINCIPAL: Final = re.compile(rf"spiffe://{_DOMAIN}(?:/{_SEGMENT})+")


def is_principal(text: str) -> bool:
    """Whether a text is a SPIFFE ID with a path; that of a trust domain alone is nobody's."""
    return len(text) <= _LONGEST and _PRINCIPAL.fullmatch(text) is not None


def is_trust_domain(text: str) -> bool:
    """Whether a text is the name of a trust domain."""
    return re.fullmatch(_DOMAIN, text) is not None
