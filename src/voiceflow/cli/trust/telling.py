"""What a trust root says, and what it lacks, for people."""

from __future__ import annotations

from pathlib import Path

from voiceflow.catalog.values import iso
from voiceflow.cli.printing import tell
from voiceflow.trust.drafts import Draft
from voiceflow.trust.offices import Promoter, Publisher
from voiceflow.trust.root import TrustRoot


def tell_lacks(path: Path, draft: Draft) -> None:
    """One line: complete, or whose signatures are missing, with a line for each key that may."""
    lacks = draft.lacks
    version = f"version {draft.root.version} of the trust root"
    if not lacks:
        tell(f"{path}: {version} is complete")
        return
    tell(f"{path}: {version} is a draft")
    for lack in lacks:
        tell(
            f"  missing: {lack.missing} of {lack.threshold} signatures by root keys of version "
            f"{lack.version}; any of"
        )
        for key in lack.unsigned:
            tell(f"    {key}")


def tell_change(draft: Draft) -> None:
    """What a version changes; of the first one, all that it says."""
    before = draft.before
    since = "" if before is None else f", since version {before.newest.version}"
    tell(f"version {draft.root.version} of the trust root{since}:")
    for line in changed_lines(draft) or ["nothing"]:
        tell(f"  {line}")


def root_lines(root: TrustRoot) -> list[str]:
    """Everything that a version says, a fact a line; in an order that can be compared."""
    return [
        f"expires     {iso(root.expire_time) if root.expire_time else 'never'}",
        f"threshold   {root.threshold}",
        *(f"root key    {key}" for key in root.root_keys),
        *(_publisher_line(one) for one in root.publishers),
        *(_promoter_line(one) for one in root.promoters),
    ]


def changed_lines(draft: Draft) -> list[str]:
    """What a version takes away from the one before it, and what it adds."""
    now = root_lines(draft.root)
    before = root_lines(draft.before.newest) if draft.before is not None else []
    return [
        *(f"- {line}" for line in before if line not in now),
        *(f"+ {line}" for line in now if line not in before),
    ]


def _publisher_line(one: Publisher) -> str:
    return f"publisher   {one.key}  {one.status.value:<8}  {', '.join(one.models)}"


def _promoter_line(one: Promoter) -> str:
    kinds = ", ".join(kind.value for kind in one.kinds)
    return f"promoter    {one.key}  {one.status.value:<8}  {', '.join(one.channels)}  ({kinds})"
