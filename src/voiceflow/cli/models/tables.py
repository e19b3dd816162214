"""How versions, channels, gates and pods are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from voiceflow.catalog.audit import OUTCOME_UNKNOWN, AuditEntry
from voiceflow.catalog.channels import Channel, Promotion
from voiceflow.catalog.gates import Finding, GateResult, Outcome
from voiceflow.catalog.pods import GenerationState, Pod
from voiceflow.catalog.versions import Bump, Difference, Model, Version, VersionState
from voiceflow.cli.models.names import short, version_of
from voiceflow.cli.printing import plain

_COLOURS = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "yellow",
    VersionState.PUBLISHED: "green",
    VersionState.YANKED: "yellow",
    VersionState.DELETED: "red",
}


def table(*headings: str) -> Table:
    """An empty table; headings that end with `>` are of numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading.endswith(">")
        made.add_column(
            heading.removesuffix(">"), justify="right" if right else "left", overflow="fold"
        )
    return made


def moment(time: datetime | None) -> str:
    """A time in this machine's zone."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def megabytes(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e6:.1f} MB"


def models_table(models: Iterable[Model]) -> Table:
    """Models, a row each."""
    made = table("Model", "Newest", "Newest pre-release", "Versions>", "Since")
    for model in models:
        made.add_row(
            short(model.name),
            version_of(model.newest_version),
            version_of(model.newest_prerelease),
            str(model.version_count),
            moment(model.create_time),
        )
    return made


def versions_table(versions: Iterable[Version]) -> Table:
    """Versions, a row each."""
    made = table("Version", "State", "Size>", "Contract", "Passed", "Publisher", "Published")
    for version in versions:
        made.add_row(
            short(version.name),
            state_text(version.state),
            megabytes(sum(file.size_bytes for file in version.files)),
            version.contract,
            " ".join(version.passed_gates),
            version.publisher,
            moment(version.publish_time),
        )
    return made


def standing(role: str, state: str, streams: int) -> tuple[str, str]:
    """Role and state of a loaded version, for people: what was replaced is no primary any more.

    Without streams it does not drain, either: it is kept for a while, to be gone back to.
    """
    if state != GenerationState.DRAINING:
        return role, state
    return f"was {role}", state if streams else "kept"


def state_text(state: VersionState) -> Text:
    """A state in its colour."""
    return Text(state.value, _COLOURS[state])


def channels_table(channels: Iterable[Channel]) -> Table:
    """Channels, a row each."""
    made = table("Channel", "Serves", "Sequence>", "Since")
    for channel in channels:
        made.add_row(
            short(channel.name),
            channel.rollout.in_short,
            str(channel.sequence),
            moment(channel.update_time),
        )
    return made


def promotions_table(promotions: Iterable[Promotion]) -> Table:
    """A history, newest first."""
    made = table("Sequence>", "When", "Serves", "How", "Who", "Why")
    for one in promotions:
        how = one.kind.value.replace("_", " ")
        if one.rollback_to_sequence:
            how += f" to {one.rollback_to_sequence}"
        made.add_row(
            str(one.sequence),
            moment(one.commit_time),
            one.rollout.in_short,
            how,
            one.principal,
            one.reason,
        )
    return made


def pods_table(pods: Iterable[Pod]) -> Table:
    """Pods, a row each."""
    made = table("Pod", "Channel", "Serves>", "Should>", "Generations", "Reported", "")
    for pod in pods:
        generations = ", ".join(
            " ".join((version_of(one.version.version), *standing(one.role, one.state, one.streams)))
            for one in pod.generations
        )
        remarks = [
            word for word, holds in (("lost", pod.lost), ("draining", pod.draining)) if holds
        ]
        made.add_row(
            short(pod.name),
            short(pod.channel),
            str(pod.serving_sequence),
            str(pod.desired_sequence),
            generations,
            moment(pod.report_time),
            " ".join(remarks),
        )
    return made


def audit_table(entries: Iterable[AuditEntry]) -> Table:
    """Who did what, newest first."""
    made = table("When", "Who", "Did", "What about", "Outcome", "Before", "After")
    for entry in entries:
        changed = (entry.before, entry.after)
        made.add_row(
            moment(entry.create_time),
            entry.principal,
            entry.method,
            short(entry.resource),
            outcome_text(entry),
            *(text[:19] if text.startswith("sha256:") else text for text in changed),
        )
    return made


def outcome_text(entry: AuditEntry) -> Text:
    """How a deed ended, in its colour."""
    if entry.refusal_reason == OUTCOME_UNKNOWN:
        return Text("unknown", "yellow")
    return Text("done", "green") if entry.allowed else Text(plain(entry.refusal_reason), "red")


def difference_table(difference: Difference) -> Table:
    """What differs, greatest demand first."""
    made = table("Demands", "What", "Subject", "Before", "After")
    for change in difference.changes:
        made.add_row(
            bump_text(change.bump),
            change.kind.value.replace("_", " "),
            change.subject,
            change.before,
            change.after,
        )
    return made


def bump_text(bump: Bump) -> str:
    """`major`."""
    return bump.name.lower()


def gate_line(result: GateResult) -> Text:
    """One gate's result in one line."""
    line = Text()
    line.append(f"{result.outcome.value:<8}", _COLOURS[result.outcome])
    line.append(f" {result.gate.value:<10} {result.elapsed_seconds:7.2f} s")
    return line


def figures_table(results: Sequence[GateResult]) -> Table:
    """What was measured."""
    made = table("Gate", "Figure", "Seen>", "Compared with>", "Allowed>")
    for result in results:
        for figure in result.figures:
            made.add_row(
                result.gate.value,
                figure.name,
                *(_number(one) for one in (figure.value, figure.baseline, figure.allowed)),
            )
    return made


def finding_lines(finding: Finding) -> list[str]:
    """One broken rule, with what to change."""
    return [
        f"{finding.rule_id}: {finding.subject}",
        f"  seen:    {finding.seen}",
        f"  allowed: {finding.allowed}",
        f"  {finding.message}",
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
