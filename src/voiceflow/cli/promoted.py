"""Takes a package all the way: published, run through the gates, promoted."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import click

from voiceflow.catalog.channels import Rollout, VersionPin
from voiceflow.catalog.gates import Finding, GateResult, ValidationReport
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.versions import Version
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import NotAllowedNow, NotFound, Violation


async def promoted(client: RegistryClient, package: Path, channel: ChannelName) -> None:
    """Makes a channel serve a package, and says what is done on the way.

    What was done before is not done again.

    Args:
        client: Of the registry.
        package: Folder of the package.
        channel: Of the package's model.

    Raises:
        VoiceFlowError: What the registry says.
        NotAllowedNow: GATES_NOT_PASSED, with what the gates found.
    """
    published = await client.publish(package)
    version = published.version
    done = "was published before" if published.already_published else "published"
    click.echo(f"{version.name} {done}", err=True)
    if await _serves(client, channel, version):
        click.echo(f"{channel} serves it already", err=True)
        return
    await _validate(client, version, channel)
    pin = VersionPin(version=version.name, manifest_digest=version.manifest_digest)
    _, promotion = await client.promote(channel, Rollout(primary=pin))
    click.echo(f"promoted to {channel}, sequence {promotion.sequence}", err=True)


async def _serves(client: RegistryClient, channel: ChannelName, version: Version) -> bool:
    try:
        primary = (await client.get_channel(channel)).rollout.primary
    except NotFound:
        return False
    return primary.manifest_digest == version.manifest_digest


async def _validate(client: RegistryClient, version: Version, channel: ChannelName) -> None:
    findings: list[Finding] = []
    async with aclosing(client.validate(version.name, channel=channel)) as events:
        async for event in events:
            if isinstance(event, GateResult):
                click.echo(
                    f"gate {event.gate}: {event.outcome} in {event.elapsed_seconds:.1f} s", err=True
                )
                findings += event.findings
            if isinstance(event, ValidationReport) and not event.passed:
                raise NotAllowedNow(
                    f"{version.name} has not passed the gates: {'; '.join(map(str, findings))}",
                    reason="GATES_NOT_PASSED",
                    violations=[Violation(f.rule_id, f.subject, f.message) for f in findings],
                )
