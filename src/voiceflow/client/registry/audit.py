"""Reading who did, or was refused, what."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from voiceflow.catalog.audit import AuditEntry, AuditFilter
from voiceflow.client.registry.methods import Methods
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import audit_entry_from_wire, audit_filter_to_wire


class AuditMethods(Methods):
    """The client's part for the audit; see `RegistryClient`."""

    def audit(self, where: AuditFilter | None = None) -> AsyncGenerator[AuditEntry, None]:
        """Entries, newest first; those that are written meanwhile are left out."""
        request = pb.ListAuditEntriesRequest(filter=audit_filter_to_wire(where or AuditFilter()))
        return self._connection.pages(
            self._stub.ListAuditEntries, request, lambda page: page.entries, audit_entry_from_wire
        )
