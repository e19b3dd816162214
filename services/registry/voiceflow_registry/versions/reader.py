"""Reads what was published: versions one by one, in lists, and the models that they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import semver

from voiceflow.catalog.names import ANY_MODEL, ModelName, VersionName
from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.values import Page, Value
from voiceflow.catalog.versions import Model, Version, VersionState, Yank
from voiceflow.difference import Described
from voiceflow.errors import NotFound
from voiceflow_registry.paging import page_of
from voiceflow_registry.records import (
    DeletionRecord,
    VersionRecord,
    YankRecord,
    decode,
    deletion_key,
    version_key,
    yank_key,
)
from voiceflow_registry.reports import Reports
from voiceflow_registry.storage.object_store import ObjectMissing, ObjectStore
from voiceflow_registry.versions.filter import Selection
from voiceflow_registry.versions.index import VersionIndex

Record = TypeVar("Record", bound=Value)


class VersionReader:
    """All published versions, to be read.

    A version is there once its record is, yanked once its yank is, deleted once its deletion is.

    Args:
        store: Holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._reports = Reports(store)

    def record(self, name: VersionName) -> VersionRecord:
        """What is stored of a version.

        Raises:
            NotFound: VERSION_NOT_FOUND.
        """
        record = self.find(name)
        if record is None:
            raise NotFound(f"{name} was never published", reason="VERSION_NOT_FOUND", field="name")
        return record

    def find(self, name: VersionName) -> VersionRecord | None:
        """What is stored of a version; None if it was never published."""
        return self._read(VersionRecord, version_key(name))

    def state(self, name: VersionName) -> VersionState:
        """How a version stands now.

        Raises:
            NotFound: VERSION_NOT_FOUND.
        """
        self.record(name)
        if self._store.info(deletion_key(name)) is not None:
            return VersionState.DELETED
        if self._store.info(yank_key(name)) is not None:
            return VersionState.YANKED
        return VersionState.PUBLISHED

    def get(self, name: VersionName, *, full: bool) -> Version:
        """A version; with manifest and signature in the full view.

        Raises:
            NotFound: VERSION_NOT_FOUND.
        """
        return self._version(name, self.record(name), full=full)

    def list(
        self,
        parent: ModelName | None,
        *,
        where: VersionFilter,
        page_size: int,
        page_token: str,
        full: bool,
    ) -> Page[Version]:
        """Versions of one model, highest precedence first; of all (None), by model first.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            InvalidInput: FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        selection = Selection(where)
        if parent is not None:
            self._index(parent)
        return page_of(
            lambda after: self._versions_after(after, parent, selection, full=full),
            query={
                "list": "versions",
                "parent": parent.model if parent else ANY_MODEL,
                "where": where.model_dump(mode="json"),
            },
            page_size=page_size,
            page_token=page_token,
        )

    def get_model(self, name: ModelName) -> Model:
        """A model, as its versions make it.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        return self._model(self._index(name))

    def list_models(self, *, name_prefix: str, page_size: int, page_token: str) -> Page[Model]:
        """Models by name.

        Args:
            name_prefix: Only names that begin so: `models/dia`.
            page_size: As `page_of` has it.
            page_token: Likewise.

        Raises:
            InvalidInput: FIELD_INVALID, PAGE_TOKEN_INVALID.
        """

        def after(key: str) -> Iterator[tuple[str, Model]]:
            for model in self._store.list_folders("versions/"):
                if model > key and str(ModelName(model)).startswith(name_prefix):
                    index = VersionIndex.read(self._store, model)
                    if index.versions:
                        yield model, self._model(index)

        query = {"list": "models", "name_prefix": name_prefix}
        return page_of(after, query=query, page_size=page_size, page_token=page_token)

    def earlier(self, name: VersionName) -> Iterator[VersionRecord]:
        """Versions of lower precedence that are neither yanked nor deleted, newest first."""
        index = VersionIndex.read(self._store, name.model)
        for version in index.versions:
            if version < name.version and index.state(version) is VersionState.PUBLISHED:
                yield self.record(VersionName(name.model, version))

    def _index(self, name: ModelName) -> VersionIndex:
        index = VersionIndex.read(self._store, name.model)
        if not index.versions:
            raise NotFound(f"{name} has no version", reason="MODEL_NOT_FOUND", field="name")
        return index

    def _model(self, index: VersionIndex) -> Model:
        newest, newest_prerelease = (
            index.newest(prereleases=prereleases) for prereleases in (False, True)
        )
        records = (self.record(VersionName(index.model, version)) for version in index.versions)
        return Model(
            name=str(ModelName(index.model)),
            newest_version=_named(index.model, newest),
            newest_prerelease=_named(index.model, newest_prerelease),
            version_count=len(index.versions),
            create_time=min(record.publish_time for record in records),
        )

    def _versions_after(
        self, after: str, parent: ModelName | None, selection: Selection, *, full: bool
    ) -> Iterator[tuple[str, Version]]:
        """Key and value of versions in the list's order; a key is `<model>/<semver>`."""
        model, _, version = after.partition("/")
        bound = semver.Version.parse(version) if semver.Version.is_valid(version) else None
        models = [parent.model] if parent else self._store.list_folders("versions/")
        for other in models:
            if other < model:
                continue
            index = VersionIndex.read(self._store, other)
            for candidate in index.versions:
                if other == model and bound is not None and candidate >= bound:
                    continue
                if not selection.has(candidate, index.state(candidate)):
                    continue
                name = VersionName(other, candidate)
                record = self.record(name)
                if selection.has_record(record, record.parsed()):
                    yield f"{other}/{candidate}", self._version(name, record, full=full)

    def _version(
        self,
        name: VersionName,
        record: VersionRecord,
        *,
        full: bool,
        yank: YankRecord | None = None,
        deletion: DeletionRecord | None = None,
    ) -> Version:
        """A version's value; its yank and deletion are read unless given."""
        yank = yank or self._read(YankRecord, yank_key(name))
        deletion = deletion or self._read(DeletionRecord, deletion_key(name))
        state = VersionState.YANKED if yank else VersionState.PUBLISHED
        value = version_of(record, full=full)
        return value.model_copy(
            update={
                "state": VersionState.DELETED if deletion else state,
                "yank": yank
                and Yank(
                    principal=yank.request.principal, yank_time=yank.yank_time, reason=yank.reason
                ),
                "delete_time": deletion and deletion.delete_time,
                "passed_gates": self._reports.passed(record.manifest_digest),
            }
        )

    def _read(self, kind: type[Record], key: str) -> Record | None:
        try:
            return decode(kind, self._store.get(key).content, key)
        except ObjectMissing:
            return None


def version_of(record: VersionRecord, *, full: bool) -> Version:
    """What a record alone tells of a version: neither yank nor deletion nor gates."""
    manifest = record.parsed()
    return Version(
        name=record.name,
        manifest_digest=record.manifest_digest,
        manifest=record.manifest if full else None,
        signature=record.signature if full else None,
        files=record.files,
        contract=manifest.contract,
        embedding_space=manifest.embedding_space,
        state_space=manifest.state_space or "",
        publisher=record.request.principal,
        publish_time=record.publish_time,
    )


def described(record: VersionRecord) -> Described:
    """What of a version is compared with another."""
    return Described(
        name=VersionName.parse(record.name),
        manifest=record.parsed(),
        inputs=tuple(tensor.signature() for tensor in record.inputs),
        outputs=tuple(tensor.signature() for tensor in record.outputs),
    )


def _named(model: str, version: semver.Version | None) -> str:
    return str(VersionName(model, version)) if version else ""
