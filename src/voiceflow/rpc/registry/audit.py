"""Entries of the audit, and filters of their list, to and from their messages."""

from __future__ import annotations

from voiceflow.catalog.audit import AuditEntry, AuditFilter
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry.values import (
    make,
    optional_time_from_wire,
    time_from_wire,
    time_to_wire,
)


def audit_entry_to_wire(entry: AuditEntry) -> pb.AuditEntry:
    """One deed, or one refused."""
    return pb.AuditEntry(
        name=entry.name,
        create_time=time_to_wire(entry.create_time),
        principal=entry.principal,
        roles=entry.roles,
        credential=entry.credential,
        peer=entry.peer,
        method=entry.method,
        resource=entry.resource,
        allowed=entry.allowed,
        refusal_reason=entry.refusal_reason,
        before=entry.before,
        after=entry.after,
        request_id=entry.request_id,
    )


def audit_entry_from_wire(message: pb.AuditEntry, path: str = "entry") -> AuditEntry:
    """Reads what `audit_entry_to_wire` wrote.

    Raises:
        InvalidInput: FIELD_REQUIRED, FIELD_INVALID; so all readers here do.
    """
    return make(
        AuditEntry,
        path,
        name=message.name,
        create_time=time_from_wire(message, "create_time", path),
        principal=message.principal,
        roles=tuple(message.roles),
        credential=message.credential,
        peer=message.peer,
        method=message.method,
        resource=message.resource,
        allowed=message.allowed,
        refusal_reason=message.refusal_reason,
        before=message.before,
        after=message.after,
        request_id=message.request_id,
    )


def audit_filter_to_wire(where: AuditFilter) -> pb.AuditFilter:
    """Which entries to list."""
    return pb.AuditFilter(
        principal=where.principal,
        method=where.method,
        resource=where.resource,
        start_time=time_to_wire(where.start_time),
        end_time=time_to_wire(where.end_time),
        refused_only=where.refused_only,
    )


def audit_filter_from_wire(message: pb.AuditFilter, path: str = "filter") -> AuditFilter:
    """Reads what `audit_filter_to_wire` wrote."""
    return make(
        AuditFilter,
        path,
        principal=message.principal,
        method=message.method,
        resource=message.resource,
        start_time=optional_time_from_wire(message, "start_time", path),
        end_time=optional_time_from_wire(message, "end_time", path),
        refused_only=message.refused_only,
    )
