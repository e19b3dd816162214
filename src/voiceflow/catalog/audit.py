"""Who did, or was refused, what: entries of the registry's audit, and filters of their list."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.values import Time, Value

OUTCOME_UNKNOWN: Final = "OUTCOME_UNKNOWN"
"""Why an entry does not say how its deed ended: it is under way, or whoever did it was cut off."""

CANCELLED: Final = "CANCELLED"
"""Why a deed was not done whose caller left before."""


class AuditEntry(Value):
    """One deed, or one refused.

    Attributes:
        name: `auditEntries/{entry}`; later entries have greater names.
        create_time: When it was begun, by the clock of the replica that was asked.
        principal: Who: the URI of the certificate or the subject of the token.
        roles: That were granted.
        credential: `sha256:…` of the certificate, or the token's id.
        peer: Address of the caller.
        method: `PromoteVersion`.
        resource: What it was about; empty where it was about all.
        allowed: It was done, or may have been.
        refusal_reason: Why it was refused; with `allowed`, OUTCOME_UNKNOWN or empty.
        before: What changed, in short: `1.3.0`; both are empty where nothing changed.
        after: Likewise: `1.4.0`.
        request_id: As the caller chose it; may be empty.
    """

    name: str
    create_time: Time
    principal: str
    roles: tuple[str, ...] = ()
    credential: str = ""
    peer: str = ""
    method: str
    resource: str = ""
    allowed: bool
    refusal_reason: str = ""
    before: str = ""
    after: str = ""
    request_id: str = ""


class AuditFilter(Value):
    """Which entries to list; all that is set must hold.

    Attributes:
        resource: It, and all below it.
        start_time: Not before it.
        end_time: Before it.
        refused_only: Only what was refused.
    """

    principal: str = ""
    method: str = ""
    resource: str = ""
    start_time: Time | None = None
    end_time: Time | None = None
    refused_only: bool = False
