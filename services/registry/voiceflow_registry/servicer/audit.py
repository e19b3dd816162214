"""Reading the audit."""

from __future__ import annotations

from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import audit_entry_to_wire, audit_filter_from_wire
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import Acts, Context, listed


class AuditMethods:
    """The part of the service that tells who did what."""

    _acts: Acts
    _threads: Threads

    async def ListAuditEntries(  # noqa: N802
        self, request: pb.ListAuditEntriesRequest, _context: Context
    ) -> pb.ListAuditEntriesResponse:
        """See the service."""
        where = audit_filter_from_wire(request.filter)
        entries, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.audit_entries.list(
                    where, page_size=page_size, page_token=request.page_token
                ),
                request.page_size,
                audit_entry_to_wire,
            )
        )
        return pb.ListAuditEntriesResponse(entries=entries, next_page_token=token)
