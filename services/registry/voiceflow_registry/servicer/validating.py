"""Running versions through the gates, and reading what they saw."""

from __future__ import annotations

import asyncio

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import Gate, GateResult, ValidationReport
from voiceflow.catalog.names import ChannelName, ValidationName, VersionName
from voiceflow.errors import InvalidInput, LimitExceeded
from voiceflow.identity.caller import CallerRole
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.access import caller_of
from voiceflow.rpc.registry import GATES, gate_result_to_wire, report_to_wire
from voiceflow_registry.audit.changes import Change, validated
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.ownership import check_model
from voiceflow_registry.servicer.presence import Presence
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import Acts, Context, fields_named, listed


class ValidatingMethods:
    """The part of the service that is about gates."""

    _acts: Acts
    _threads: Threads
    _auditing: Auditing
    _presence: Presence
    _idle_seconds: float

    async def ValidateVersion(  # noqa: N802
        self, request: pb.ValidateVersionRequest, context: Context
    ) -> None:
        """See the service. A caller that leaves ends the run after the gate that is under way."""
        name = VersionName.parse(request.name)
        caller = caller_of(context)
        check_model(caller, name, CallerRole.VALIDATOR, CallerRole.PROMOTER)
        gates = GATES.all_from_wire(request.gates, "gates")
        channel = _channel_of(name, request.channel)
        with self._presence.entered():
            policy, baseline = await self._threads.call(lambda: self._terms(channel))
            running = self._acts.validations.run(
                caller,
                name,
                gates=gates,
                policy=policy,
                channel=channel,
                baseline=baseline,
                request_id=request.request_id,
            )
            recorded = self._auditing.log.recorded_steps(
                self._auditing.deed(caller, "ValidateVersion", name, request),
                running,
                _changed,
            )
            async with self._threads.iterating(recorded, long=True) as events:
                async for event in events:
                    await self._tell(context, event)

    async def GetValidation(  # noqa: N802
        self, request: pb.GetValidationRequest, _context: Context
    ) -> pb.GetValidationResponse:
        """See the service."""
        name = ValidationName.parse(request.name)
        report = await self._threads.call(lambda: self._acts.validations.get(name))
        return pb.GetValidationResponse(report=report_to_wire(report))

    async def ListValidations(  # noqa: N802
        self, request: pb.ListValidationsRequest, _context: Context
    ) -> pb.ListValidationsResponse:
        """See the service."""
        parent = VersionName.parse(request.parent, field="parent")
        channel = _channel_of(parent, request.channel)
        with fields_named(name="parent"):
            reports, token = await self._threads.call(
                lambda: listed(
                    lambda page_size: self._acts.validations.list(
                        parent,
                        channel=channel,
                        page_size=page_size,
                        page_token=request.page_token,
                    ),
                    request.page_size,
                    report_to_wire,
                )
            )
        return pb.ListValidationsResponse(reports=reports, next_page_token=token)

    async def _tell(self, context: Context, event: Gate | GateResult | ValidationReport) -> None:
        """Writes an event. The run holds a place of few: none whose replies are left unread."""
        try:
            async with asyncio.timeout(self._idle_seconds):
                await context.write(_progress(event))
        except TimeoutError:
            raise LimitExceeded(
                f"what the run tells was not read for {self._idle_seconds:g} seconds, so it has "
                "ended; if its report was made, the same request id is answered with it",
                reason="SLOW_READER",
            ) from None

    def _terms(self, channel: ChannelName | None) -> tuple[ChannelPolicy, VersionName | None]:
        """What is allowed, and what to compare with."""
        if channel is None:
            return self._acts.default_policy, None
        newest = self._acts.channels.newest(channel)
        primary = VersionName.parse(newest.rollout.primary.version) if newest else None
        return self._acts.channels.policy(channel), primary


def _channel_of(version: VersionName, text: str) -> ChannelName | None:
    """The channel, if one is named; it must be of the version's model."""
    if not text:
        return None
    channel = ChannelName.parse(text, field="channel")
    if channel.model != version.model:
        raise InvalidInput(
            f"channel: {channel} is not of the model of {version}",
            reason="FIELD_INVALID",
            field="channel",
        )
    return channel


def _changed(event: Gate | GateResult | ValidationReport) -> Change | None:
    return validated(event) if isinstance(event, ValidationReport) else None


def _progress(event: Gate | GateResult | ValidationReport) -> pb.ValidateVersionResponse:
    match event:
        case Gate():
            return pb.ValidateVersionResponse(gate_started=GATES.to_wire(event))
        case GateResult():
            return pb.ValidateVersionResponse(gate_result=gate_result_to_wire(event))
        case ValidationReport():
            return pb.ValidateVersionResponse(report=report_to_wire(event))
