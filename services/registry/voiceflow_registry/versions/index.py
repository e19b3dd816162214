"""Which versions a model has and how each stands, told by the store's lists alone."""

from __future__ import annotations

from dataclasses import dataclass

import semver

from voiceflow.catalog.versions import VersionState
from voiceflow_registry.records import version_key_prefix, version_of_key
from voiceflow_registry.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class VersionIndex:
    """A model's versions at one time.

    Attributes:
        model: The model.
        versions: All that were ever published, highest precedence first.
        yanked: Those of them that were yanked.
        deleted: Those of them that were deleted.
    """

    model: str
    versions: tuple[semver.Version, ...]
    yanked: frozenset[semver.Version]
    deleted: frozenset[semver.Version]

    @classmethod
    def read(cls, store: ObjectStore, model: str) -> VersionIndex:
        """Reads the lists; a model that has no version is none."""
        published, yanked, deleted = (
            [version_of_key(info.key) for info in store.list(version_key_prefix(kind, model))]
            for kind in ("versions", "yanks", "deletions")
        )
        return cls(
            model=model,
            versions=tuple(sorted(published, reverse=True)),
            yanked=frozenset(yanked),
            deleted=frozenset(deleted),
        )

    def state(self, version: semver.Version) -> VersionState:
        """How a version stands."""
        if version in self.deleted:
            return VersionState.DELETED
        return VersionState.YANKED if version in self.yanked else VersionState.PUBLISHED

    def newest(self, *, prereleases: bool) -> semver.Version | None:
        """The published version of highest precedence; None if there is none."""
        for version in self.versions:
            allowed = prereleases or not version.prerelease
            if allowed and self.state(version) is VersionState.PUBLISHED:
                return version
        return None
