"""Models, versions, uploads and differences between versions, to and from their messages."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.versions import (
    Bump,
    ChangeKind,
    ContractChange,
    DeclaredFile,
    Difference,
    Model,
    Upload,
    UploadedFile,
    Version,
    VersionFile,
    VersionState,
    Yank,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry.gates import GATES
from voiceflow.rpc.registry.values import (
    EnumMap,
    join,
    make,
    optional_time_from_wire,
    signature_from_wire,
    signature_to_wire,
    time_from_wire,
    time_to_wire,
)

_STATES: Final = EnumMap(pb.Version.State, "STATE_", VersionState)
_BUMPS: Final = EnumMap(pb.Bump, "BUMP_", Bump)
_KINDS: Final = EnumMap(pb.ContractChange.Kind, "KIND_", ChangeKind)


def version_to_wire(version: Version) -> pb.Version:
    """A published version; the basic view leaves manifest and signature out."""
    return pb.Version(
        name=version.name,
        state=_STATES.to_wire(version.state),
        manifest_digest=version.manifest_digest,
        manifest=version.manifest or b"",
        signature=signature_to_wire(version.signature),
        files=[version_file_to_wire(file) for file in version.files],
        contract=version.contract,
        embedding_space=version.embedding_space,
        state_space=version.state_space,
        publisher=version.publisher,
        publish_time=time_to_wire(version.publish_time),
        yank=None if version.yank is None else _yank_to_wire(version.yank),
        delete_time=time_to_wire(version.delete_time),
        passed_gates=[GATES.to_wire(gate) for gate in version.passed_gates],
    )


def _yank_to_wire(yank: Yank) -> pb.Yank:
    return pb.Yank(
        principal=yank.principal, yank_time=time_to_wire(yank.yank_time), reason=yank.reason
    )


def version_from_wire(message: pb.Version, path: str = "version") -> Version:
    """Reads what `version_to_wire` wrote.

    Raises:
        InvalidInput: FIELD_REQUIRED, FIELD_INVALID; so all readers here do.
    """
    yank = None
    if message.HasField("yank"):
        yank = Yank(
            principal=message.yank.principal,
            yank_time=time_from_wire(message.yank, "yank_time", join(path, "yank")),
            reason=message.yank.reason,
        )
    return make(
        Version,
        path,
        name=message.name,
        state=_STATES.from_wire(message.state, join(path, "state")),
        manifest_digest=message.manifest_digest,
        manifest=message.manifest or None,
        signature=signature_from_wire(message, "signature"),
        files=tuple(
            version_file_from_wire(file, f"{path}.files[{at}]")
            for at, file in enumerate(message.files)
        ),
        contract=message.contract,
        embedding_space=message.embedding_space,
        state_space=message.state_space,
        publisher=message.publisher,
        publish_time=optional_time_from_wire(message, "publish_time", path),
        yank=yank,
        delete_time=optional_time_from_wire(message, "delete_time", path),
        passed_gates=GATES.all_from_wire(message.passed_gates, join(path, "passed_gates")),
    )


def version_file_to_wire(file: VersionFile) -> pb.VersionFile:
    """One file of a version."""
    return pb.VersionFile(file=file.file, size_bytes=file.size_bytes, digest=file.digest)


def version_file_from_wire(message: pb.VersionFile, path: str = "file") -> VersionFile:
    """Reads what `version_file_to_wire` wrote."""
    return make(
        VersionFile,
        path,
        file=message.file,
        size_bytes=message.size_bytes,
        digest=message.digest,
    )


def version_filter_to_wire(where: VersionFilter) -> pb.VersionFilter:
    """Which versions to list."""
    return pb.VersionFilter(
        states=[_STATES.to_wire(state) for state in where.states],
        semver_range=where.semver_range,
        exclude_prereleases=where.exclude_prereleases,
        contract=where.contract,
        embedding_space=where.embedding_space,
        publisher=where.publisher,
        digest=where.digest,
    )


def version_filter_from_wire(message: pb.VersionFilter, path: str = "filter") -> VersionFilter:
    """Reads what `version_filter_to_wire` wrote."""
    return make(
        VersionFilter,
        path,
        states=_STATES.all_from_wire(message.states, join(path, "states")),
        semver_range=message.semver_range,
        exclude_prereleases=message.exclude_prereleases,
        contract=message.contract,
        embedding_space=message.embedding_space,
        publisher=message.publisher,
        digest=message.digest,
    )


def model_to_wire(model: Model) -> pb.Model:
    """A name under which versions are published."""
    return pb.Model(
        name=model.name,
        newest_version=model.newest_version,
        newest_prerelease=model.newest_prerelease,
        version_count=model.version_count,
        create_time=time_to_wire(model.create_time),
    )


def model_from_wire(message: pb.Model, path: str = "model") -> Model:
    """Reads what `model_to_wire` wrote."""
    return make(
        Model,
        path,
        name=message.name,
        newest_version=message.newest_version,
        newest_prerelease=message.newest_prerelease,
        version_count=message.version_count,
        create_time=time_from_wire(message, "create_time", path),
    )


def declared_file_to_wire(declared: DeclaredFile) -> pb.PublishBegin.DeclaredFile:
    """A file's size as its publisher states it."""
    return pb.PublishBegin.DeclaredFile(file=declared.file, size_bytes=declared.size_bytes)


def declared_file_from_wire(
    message: pb.PublishBegin.DeclaredFile, path: str = "files"
) -> DeclaredFile:
    """Reads what `declared_file_to_wire` wrote."""
    return make(DeclaredFile, path, file=message.file, size_bytes=message.size_bytes)


def upload_to_wire(upload: Upload) -> pb.Upload:
    """A version on its way in."""
    return pb.Upload(
        name=upload.name,
        files=[
            pb.UploadedFile(
                file=file.file,
                received_bytes=file.received_bytes,
                size_bytes=file.size_bytes,
                complete=file.complete,
            )
            for file in upload.files
        ],
        begin_time=time_to_wire(upload.begin_time),
        expire_time=time_to_wire(upload.expire_time),
    )


def upload_from_wire(message: pb.Upload, path: str = "upload") -> Upload:
    """Reads what `upload_to_wire` wrote."""
    return make(
        Upload,
        path,
        name=message.name,
        files=tuple(
            make(
                UploadedFile,
                f"{path}.files[{at}]",
                file=file.file,
                received_bytes=file.received_bytes,
                size_bytes=file.size_bytes,
                complete=file.complete,
            )
            for at, file in enumerate(message.files)
        ),
        begin_time=time_from_wire(message, "begin_time", path),
        expire_time=time_from_wire(message, "expire_time", path),
    )


def difference_to_wire(difference: Difference) -> pb.DiffVersionsResponse:
    """What differs between two versions."""
    return pb.DiffVersionsResponse(
        base=difference.base,
        target=difference.target,
        changes=[
            pb.ContractChange(
                kind=_KINDS.to_wire(change.kind),
                subject=change.subject,
                before=change.before,
                after=change.after,
                bump=_BUMPS.to_wire(change.bump),
            )
            for change in difference.changes
        ],
        required_bump=_BUMPS.to_wire(difference.required_bump),
        actual_bump=_BUMPS.to_wire(difference.actual_bump),
        sufficient=difference.sufficient,
    )


def difference_from_wire(message: pb.DiffVersionsResponse) -> Difference:
    """Reads what `difference_to_wire` wrote."""
    return Difference(
        base=message.base,
        target=message.target,
        changes=tuple(
            ContractChange(
                kind=_KINDS.from_wire(change.kind, f"changes[{at}].kind"),
                subject=change.subject,
                before=change.before,
                after=change.after,
                bump=_BUMPS.from_wire(change.bump, f"changes[{at}].bump"),
            )
            for at, change in enumerate(message.changes)
        ),
        required_bump=_BUMPS.from_wire(message.required_bump, "required_bump"),
        actual_bump=_BUMPS.from_wire(message.actual_bump, "actual_bump"),
        sufficient=message.sufficient,
    )
