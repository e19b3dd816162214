"""Takes a published version through the gates to a channel; what is done is not done again."""

from __future__ import annotations

from pathlib import Path

from voiceflow.catalog.channels import Promotion, Rollout, VersionPin
from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import Version
from voiceflow.cli.models.bars import TransferBar
from voiceflow.cli.models.gates import GatesView
from voiceflow.cli.models.names import short
from voiceflow.cli.models.validation import validate_version
from voiceflow.cli.printing import err
from voiceflow.client.registry import Published, RegistryClient
from voiceflow.errors import NotAllowedNow, Violation
from voiceflow.trust.signing import SigningKey


async def publish_package(
    client: RegistryClient,
    folder: Path,
    *,
    request_id: str | None = None,
    signature: Signature | None = None,
    signing_key: SigningKey | None = None,
    validate_only: bool = False,
) -> Published:
    """Publishes a package and shows how far it is; see `RegistryClient.publish`."""
    with TransferBar(err(), folder.name) as bar:
        return await client.publish(
            folder,
            request_id=request_id,
            signature=signature,
            signing_key=signing_key,
            validate_only=validate_only,
            on_progress=bar.show,
        )


async def promote_version(
    client: RegistryClient,
    version: Version,
    channel: ChannelName,
    reason: str = "",
    *,
    signing_key: SigningKey | None = None,
) -> tuple[ValidationReport | None, Promotion]:
    """Makes a channel serve a version alone, after the gates that the channel demands.

    Args:
        client: Of the registry.
        version: Which.
        channel: Which.
        reason: Why, for people.
        signing_key: Signs the promotion; None: nobody does.

    Returns:
        What the gates saw, and the promotion; a channel that serves it already is left alone, with
        the promotion that made it so.

    Raises:
        NotAllowedNow: GATES_NOT_PASSED, with what the gates found.
    """
    rollout = Rollout(
        primary=VersionPin(version=version.name, manifest_digest=version.manifest_digest)
    )
    newest = await client.newest(channel)
    if newest is not None and newest.rollout == rollout:
        return None, newest
    with GatesView(err(), err(), as_json=False) as view:
        report = await validate_version(client, view, version.name, channel=channel)
    view.summary()
    if not report.passed:
        raise not_passed(report, f"{short(version.name)} is published, not promoted")
    _, promotion = await client.promote(channel, rollout, reason=reason, signing_key=signing_key)
    return report, promotion


def not_passed(report: ValidationReport, what: str) -> NotAllowedNow:
    """The error of a run whose gates did not all pass."""
    gates = [result.gate.value for result in report.gates if result.outcome.value != "passed"]
    return NotAllowedNow(
        f"{what}: gates not passed are {', '.join(gates)}",
        reason="GATES_NOT_PASSED",
        violations=[
            Violation(
                finding.rule_id,
                finding.subject,
                f"{finding.message} (seen: {finding.seen}; allowed: {finding.allowed})",
            )
            for result in report.gates
            for finding in result.findings
        ],
    )
