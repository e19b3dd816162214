"""Follows a run of the gates; after a cut the run begins anew, and goes on being told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import grpc

from voiceflow.catalog.gates import Gate, GateResult, ValidationReport
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.client.registry.connection import Connection
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import GATES, gate_result_from_wire, report_from_wire
from voiceflow.telemetry.context import metadata

ValidationProgress = Gate | GateResult | ValidationReport
"""A gate that has started, its result, and at last the report."""


def validation_request(
    version: VersionName | str,
    gates: Sequence[Gate],
    channel: ChannelName | str,
    request_id: str,
) -> pb.ValidateVersionRequest:
    """What is to be run."""
    return pb.ValidateVersionRequest(
        name=str(version),
        gates=[GATES.to_wire(gate) for gate in gates],
        channel=str(channel),
        request_id=request_id,
    )


async def follow_validation(
    connection: Connection, request: pb.ValidateVersionRequest
) -> AsyncGenerator[ValidationProgress, None]:
    """Everything that is told of a run, each thing once, the report last.

    Raises:
        VoiceFlowError: What the registry says, or the last cut.
    """
    told: set[tuple[type, Gate]] = set()
    failures = 0
    while True:
        try:
            async with aclosing(_run(connection, request)) as events:
                async for event in events:
                    if isinstance(event, ValidationReport):
                        yield event
                        return
                    key = (type(event), event if isinstance(event, Gate) else event.gate)
                    if key not in told:
                        told.add(key)
                        yield event
            raise Unavailable("the run ended without a report", reason="UNAVAILABLE")
        except VoiceFlowError as error:
            failures += 1
            await connection.pause(error, failures)


async def _run(
    connection: Connection, request: pb.ValidateVersionRequest
) -> AsyncGenerator[ValidationProgress, None]:
    call = connection.stub.ValidateVersion(request, metadata=metadata())
    try:
        async for reply in call:
            match reply.WhichOneof("progress"):
                case "gate_started":
                    yield GATES.from_wire(reply.gate_started, "gate_started")
                case "gate_result":
                    yield gate_result_from_wire(reply.gate_result)
                case "report":
                    yield report_from_wire(reply.report)
    except grpc.aio.AioRpcError as error:
        raise connection.error_of(error) from None
    finally:
        call.cancel()
