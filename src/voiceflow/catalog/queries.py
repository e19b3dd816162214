"""What lists of versions and pods may be narrowed to; all that is set must hold."""

from __future__ import annotations

from pydantic import Field

from voiceflow.catalog.values import Value
from voiceflow.catalog.versions import VersionState


class VersionFilter(Value):
    """Which versions to list.

    Attributes:
        states: Only these; empty: published and yanked.
        semver_range: Comparators joined by commas, all of which must hold: `>=1.2.0,<2.0.0`.
        exclude_prereleases: Leave pre-releases out.
        digest: Of any of its files, or of its manifest.
    """

    states: tuple[VersionState, ...] = ()
    semver_range: str = ""
    exclude_prereleases: bool = False
    contract: str = ""
    embedding_space: str = ""
    publisher: str = ""
    digest: str = ""


class PodFilter(Value):
    """Which pods to list.

    Attributes:
        channel: `models/{model}/channels/{channel}`.
        version: Pods with a generation of this version.
        not_converged: Pods that do not serve the channel's newest promotion.
        include_lost: Also those that have not reported for long.
        labels: All of these must be equal.
    """

    channel: str = ""
    version: str = ""
    not_converged: bool = False
    include_lost: bool = False
    labels: dict[str, str] = Field(default_factory=dict)
