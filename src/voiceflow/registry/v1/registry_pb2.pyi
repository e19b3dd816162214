import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Gate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATE_UNSPECIFIED: _ClassVar[Gate]
    GATE_MANIFEST: _ClassVar[Gate]
    GATE_GRAPH: _ClassVar[Gate]
    GATE_CONTRACT: _ClassVar[Gate]
    GATE_BEHAVIOUR: _ClassVar[Gate]
    GATE_COST: _ClassVar[Gate]
    GATE_ACCURACY: _ClassVar[Gate]

class VersionView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERSION_VIEW_UNSPECIFIED: _ClassVar[VersionView]
    VERSION_VIEW_BASIC: _ClassVar[VersionView]
    VERSION_VIEW_FULL: _ClassVar[VersionView]

class Bump(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUMP_UNSPECIFIED: _ClassVar[Bump]
    BUMP_PATCH: _ClassVar[Bump]
    BUMP_MINOR: _ClassVar[Bump]
    BUMP_MAJOR: _ClassVar[Bump]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PRIMARY: _ClassVar[Role]
    ROLE_CANARY: _ClassVar[Role]
    ROLE_SHADOW: _ClassVar[Role]
GATE_UNSPECIFIED: Gate
GATE_MANIFEST: Gate
GATE_GRAPH: Gate
GATE_CONTRACT: Gate
GATE_BEHAVIOUR: Gate
GATE_COST: Gate
GATE_ACCURACY: Gate
VERSION_VIEW_UNSPECIFIED: VersionView
VERSION_VIEW_BASIC: VersionView
VERSION_VIEW_FULL: VersionView
BUMP_UNSPECIFIED: Bump
BUMP_PATCH: Bump
BUMP_MINOR: Bump
BUMP_MAJOR: Bump
ROLE_UNSPECIFIED: Role
ROLE_PRIMARY: Role
ROLE_CANARY: Role
ROLE_SHADOW: Role

class PublishVersionRequest(_message.Message):
    __slots__ = ("begin", "chunk")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    begin: PublishBegin
    chunk: FileChunk
    def __init__(self, begin: _Optional[_Union[PublishBegin, _Mapping]] = ..., chunk: _Optional[_Union[FileChunk, _Mapping]] = ...) -> None: ...

class PublishBegin(_message.Message):
    __slots__ = ("version", "manifest", "signature", "files", "request_id", "validate_only")
    class DeclaredFile(_message.Message):
        __slots__ = ("file", "size_bytes")
        FILE_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        file: str
        size_bytes: int
        def __init__(self, file: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    version: str
    manifest: bytes
    signature: SignatureBundle
    files: _containers.RepeatedCompositeFieldContainer[PublishBegin.DeclaredFile]
    request_id: str
    validate_only: bool
    def __init__(self, version: _Optional[str] = ..., manifest: _Optional[bytes] = ..., signature: _Optional[_Union[SignatureBundle, _Mapping]] = ..., files: _Optional[_Iterable[_Union[PublishBegin.DeclaredFile, _Mapping]]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class FileChunk(_message.Message):
    __slots__ = ("file", "offset", "data", "crc32c")
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    file: str
    offset: int
    data: bytes
    crc32c: int
    def __init__(self, file: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class SignatureBundle(_message.Message):
    __slots__ = ("media_type", "content")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    content: bytes
    def __init__(self, media_type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class PublishVersionResponse(_message.Message):
    __slots__ = ("version", "report", "already_published")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ALREADY_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    version: Version
    report: ValidationReport
    already_published: bool
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., report: _Optional[_Union[ValidationReport, _Mapping]] = ..., already_published: _Optional[bool] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("name", "files", "begin_time", "expire_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    files: _containers.RepeatedCompositeFieldContainer[UploadedFile]
    begin_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., files: _Optional[_Iterable[_Union[UploadedFile, _Mapping]]] = ..., begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UploadedFile(_message.Message):
    __slots__ = ("file", "received_bytes", "size_bytes", "complete")
    FILE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    file: str
    received_bytes: int
    size_bytes: int
    complete: bool
    def __init__(self, file: _Optional[str] = ..., received_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class ValidateVersionRequest(_message.Message):
    __slots__ = ("name", "gates", "channel", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    gates: _containers.RepeatedScalarFieldContainer[Gate]
    channel: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., gates: _Optional[_Iterable[_Union[Gate, str]]] = ..., channel: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ValidateVersionResponse(_message.Message):
    __slots__ = ("gate_started", "gate_result", "report")
    GATE_STARTED_FIELD_NUMBER: _ClassVar[int]
    GATE_RESULT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    gate_started: Gate
    gate_result: GateResult
    report: ValidationReport
    def __init__(self, gate_started: _Optional[_Union[Gate, str]] = ..., gate_result: _Optional[_Union[GateResult, _Mapping]] = ..., report: _Optional[_Union[ValidationReport, _Mapping]] = ...) -> None: ...

class GateResult(_message.Message):
    __slots__ = ("gate", "outcome", "findings", "measurements", "elapsed")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[GateResult.Outcome]
        OUTCOME_PASSED: _ClassVar[GateResult.Outcome]
        OUTCOME_FAILED: _ClassVar[GateResult.Outcome]
        OUTCOME_SKIPPED: _ClassVar[GateResult.Outcome]
    OUTCOME_UNSPECIFIED: GateResult.Outcome
    OUTCOME_PASSED: GateResult.Outcome
    OUTCOME_FAILED: GateResult.Outcome
    OUTCOME_SKIPPED: GateResult.Outcome
    GATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    gate: Gate
    outcome: GateResult.Outcome
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    elapsed: _duration_pb2.Duration
    def __init__(self, gate: _Optional[_Union[Gate, str]] = ..., outcome: _Optional[_Union[GateResult.Outcome, str]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("rule_id", "subject", "seen", "allowed", "message")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    subject: str
    seen: str
    allowed: str
    message: str
    def __init__(self, rule_id: _Optional[str] = ..., subject: _Optional[str] = ..., seen: _Optional[str] = ..., allowed: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("name", "value", "baseline", "allowed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    baseline: float
    allowed: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., baseline: _Optional[float] = ..., allowed: _Optional[float] = ...) -> None: ...

class ValidationReport(_message.Message):
    __slots__ = ("name", "manifest_digest", "passed", "gates", "channel", "baseline_version", "policy_sequence", "sandbox", "principal", "start_time", "end_time", "software_version", "runtime_version", "evaluation_set_digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    BASELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_SET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    manifest_digest: str
    passed: bool
    gates: _containers.RepeatedCompositeFieldContainer[GateResult]
    channel: str
    baseline_version: str
    policy_sequence: int
    sandbox: Sandbox
    principal: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    software_version: str
    runtime_version: str
    evaluation_set_digest: str
    def __init__(self, name: _Optional[str] = ..., manifest_digest: _Optional[str] = ..., passed: _Optional[bool] = ..., gates: _Optional[_Iterable[_Union[GateResult, _Mapping]]] = ..., channel: _Optional[str] = ..., baseline_version: _Optional[str] = ..., policy_sequence: _Optional[int] = ..., sandbox: _Optional[_Union[Sandbox, _Mapping]] = ..., principal: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., software_version: _Optional[str] = ..., runtime_version: _Optional[str] = ..., evaluation_set_digest: _Optional[str] = ...) -> None: ...

class Sandbox(_message.Message):
    __slots__ = ("active_layers", "missing_layers")
    ACTIVE_LAYERS_FIELD_NUMBER: _ClassVar[int]
    MISSING_LAYERS_FIELD_NUMBER: _ClassVar[int]
    active_layers: _containers.RepeatedScalarFieldContainer[str]
    missing_layers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, active_layers: _Optional[_Iterable[str]] = ..., missing_layers: _Optional[_Iterable[str]] = ...) -> None: ...

class GetValidationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetValidationResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: ValidationReport
    def __init__(self, report: _Optional[_Union[ValidationReport, _Mapping]] = ...) -> None: ...

class ListValidationsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "channel")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    channel: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., channel: _Optional[str] = ...) -> None: ...

class ListValidationsResponse(_message.Message):
    __slots__ = ("reports", "next_page_token")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[ValidationReport]
    next_page_token: str
    def __init__(self, reports: _Optional[_Iterable[_Union[ValidationReport, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "newest_version", "newest_prerelease", "version_count", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEWEST_PRERELEASE_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    newest_version: str
    newest_prerelease: str
    version_count: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., newest_version: _Optional[str] = ..., newest_prerelease: _Optional[str] = ..., version_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "name_prefix")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    name_prefix: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., name_prefix: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("name", "state", "manifest_digest", "manifest", "signature", "files", "contract", "embedding_space", "state_space", "publisher", "publish_time", "yank", "delete_time", "passed_gates")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Version.State]
        STATE_PUBLISHED: _ClassVar[Version.State]
        STATE_YANKED: _ClassVar[Version.State]
        STATE_DELETED: _ClassVar[Version.State]
    STATE_UNSPECIFIED: Version.State
    STATE_PUBLISHED: Version.State
    STATE_YANKED: Version.State
    STATE_DELETED: Version.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_SPACE_FIELD_NUMBER: _ClassVar[int]
    STATE_SPACE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    YANK_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    PASSED_GATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Version.State
    manifest_digest: str
    manifest: bytes
    signature: SignatureBundle
    files: _containers.RepeatedCompositeFieldContainer[VersionFile]
    contract: str
    embedding_space: str
    state_space: str
    publisher: str
    publish_time: _timestamp_pb2.Timestamp
    yank: Yank
    delete_time: _timestamp_pb2.Timestamp
    passed_gates: _containers.RepeatedScalarFieldContainer[Gate]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Version.State, str]] = ..., manifest_digest: _Optional[str] = ..., manifest: _Optional[bytes] = ..., signature: _Optional[_Union[SignatureBundle, _Mapping]] = ..., files: _Optional[_Iterable[_Union[VersionFile, _Mapping]]] = ..., contract: _Optional[str] = ..., embedding_space: _Optional[str] = ..., state_space: _Optional[str] = ..., publisher: _Optional[str] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., yank: _Optional[_Union[Yank, _Mapping]] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., passed_gates: _Optional[_Iterable[_Union[Gate, str]]] = ...) -> None: ...

class VersionFile(_message.Message):
    __slots__ = ("file", "size_bytes", "digest")
    FILE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    file: str
    size_bytes: int
    digest: str
    def __init__(self, file: _Optional[str] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Yank(_message.Message):
    __slots__ = ("principal", "yank_time", "reason")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    YANK_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    principal: str
    yank_time: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, principal: _Optional[str] = ..., yank_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("name", "view")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    view: VersionView
    def __init__(self, name: _Optional[str] = ..., view: _Optional[_Union[VersionView, str]] = ...) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "view", "filter")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    view: VersionView
    filter: VersionFilter
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., view: _Optional[_Union[VersionView, str]] = ..., filter: _Optional[_Union[VersionFilter, _Mapping]] = ...) -> None: ...

class VersionFilter(_message.Message):
    __slots__ = ("states", "semver_range", "exclude_prereleases", "contract", "embedding_space", "publisher", "digest")
    STATES_FIELD_NUMBER: _ClassVar[int]
    SEMVER_RANGE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_PRERELEASES_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_SPACE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[Version.State]
    semver_range: str
    exclude_prereleases: bool
    contract: str
    embedding_space: str
    publisher: str
    digest: str
    def __init__(self, states: _Optional[_Iterable[_Union[Version.State, str]]] = ..., semver_range: _Optional[str] = ..., exclude_prereleases: _Optional[bool] = ..., contract: _Optional[str] = ..., embedding_space: _Optional[str] = ..., publisher: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DownloadVersionRequest(_message.Message):
    __slots__ = ("name", "file", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    file: str
    offset: int
    def __init__(self, name: _Optional[str] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class DownloadVersionResponse(_message.Message):
    __slots__ = ("file", "offset", "data", "crc32c")
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    file: VersionFile
    offset: int
    data: bytes
    crc32c: int
    def __init__(self, file: _Optional[_Union[VersionFile, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class DiffVersionsRequest(_message.Message):
    __slots__ = ("target", "base")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    target: str
    base: str
    def __init__(self, target: _Optional[str] = ..., base: _Optional[str] = ...) -> None: ...

class DiffVersionsResponse(_message.Message):
    __slots__ = ("base", "target", "changes", "required_bump", "actual_bump", "sufficient")
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_BUMP_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_BUMP_FIELD_NUMBER: _ClassVar[int]
    SUFFICIENT_FIELD_NUMBER: _ClassVar[int]
    base: str
    target: str
    changes: _containers.RepeatedCompositeFieldContainer[ContractChange]
    required_bump: Bump
    actual_bump: Bump
    sufficient: bool
    def __init__(self, base: _Optional[str] = ..., target: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[ContractChange, _Mapping]]] = ..., required_bump: _Optional[_Union[Bump, str]] = ..., actual_bump: _Optional[_Union[Bump, str]] = ..., sufficient: _Optional[bool] = ...) -> None: ...

class ContractChange(_message.Message):
    __slots__ = ("kind", "subject", "before", "after", "bump")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ContractChange.Kind]
        KIND_INPUT_ADDED: _ClassVar[ContractChange.Kind]
        KIND_INPUT_REMOVED: _ClassVar[ContractChange.Kind]
        KIND_OUTPUT_ADDED: _ClassVar[ContractChange.Kind]
        KIND_OUTPUT_REMOVED: _ClassVar[ContractChange.Kind]
        KIND_TENSOR_RETYPED: _ClassVar[ContractChange.Kind]
        KIND_TENSOR_RESHAPED: _ClassVar[ContractChange.Kind]
        KIND_CONTRACT: _ClassVar[ContractChange.Kind]
        KIND_SAMPLE_RATE: _ClassVar[ContractChange.Kind]
        KIND_FRAME: _ClassVar[ContractChange.Kind]
        KIND_EMBEDDING_DIMENSION: _ClassVar[ContractChange.Kind]
        KIND_EMBEDDING_SPACE: _ClassVar[ContractChange.Kind]
        KIND_STATE_SPACE: _ClassVar[ContractChange.Kind]
        KIND_ACCURACY: _ClassVar[ContractChange.Kind]
        KIND_WEIGHTS: _ClassVar[ContractChange.Kind]
        KIND_METADATA: _ClassVar[ContractChange.Kind]
    KIND_UNSPECIFIED: ContractChange.Kind
    KIND_INPUT_ADDED: ContractChange.Kind
    KIND_INPUT_REMOVED: ContractChange.Kind
    KIND_OUTPUT_ADDED: ContractChange.Kind
    KIND_OUTPUT_REMOVED: ContractChange.Kind
    KIND_TENSOR_RETYPED: ContractChange.Kind
    KIND_TENSOR_RESHAPED: ContractChange.Kind
    KIND_CONTRACT: ContractChange.Kind
    KIND_SAMPLE_RATE: ContractChange.Kind
    KIND_FRAME: ContractChange.Kind
    KIND_EMBEDDING_DIMENSION: ContractChange.Kind
    KIND_EMBEDDING_SPACE: ContractChange.Kind
    KIND_STATE_SPACE: ContractChange.Kind
    KIND_ACCURACY: ContractChange.Kind
    KIND_WEIGHTS: ContractChange.Kind
    KIND_METADATA: ContractChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BUMP_FIELD_NUMBER: _ClassVar[int]
    kind: ContractChange.Kind
    subject: str
    before: str
    after: str
    bump: Bump
    def __init__(self, kind: _Optional[_Union[ContractChange.Kind, str]] = ..., subject: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., bump: _Optional[_Union[Bump, str]] = ...) -> None: ...

class YankVersionRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class YankVersionResponse(_message.Message):
    __slots__ = ("version", "channels")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    version: Version
    channels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., channels: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteVersionRequest(_message.Message):
    __slots__ = ("name", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class DeleteVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class Channel(_message.Message):
    __slots__ = ("name", "rollout", "sequence", "etag", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    rollout: Rollout
    sequence: int
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., sequence: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("primary", "canary", "shadow")
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    primary: VersionPin
    canary: Canary
    shadow: Shadow
    def __init__(self, primary: _Optional[_Union[VersionPin, _Mapping]] = ..., canary: _Optional[_Union[Canary, _Mapping]] = ..., shadow: _Optional[_Union[Shadow, _Mapping]] = ...) -> None: ...

class VersionPin(_message.Message):
    __slots__ = ("version", "manifest_digest")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    version: str
    manifest_digest: str
    def __init__(self, version: _Optional[str] = ..., manifest_digest: _Optional[str] = ...) -> None: ...

class Canary(_message.Message):
    __slots__ = ("pin", "percentage")
    PIN_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    pin: VersionPin
    percentage: float
    def __init__(self, pin: _Optional[_Union[VersionPin, _Mapping]] = ..., percentage: _Optional[float] = ...) -> None: ...

class Shadow(_message.Message):
    __slots__ = ("pin", "percentage")
    PIN_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    pin: VersionPin
    percentage: float
    def __init__(self, pin: _Optional[_Union[VersionPin, _Mapping]] = ..., percentage: _Optional[float] = ...) -> None: ...

class Promotion(_message.Message):
    __slots__ = ("name", "sequence", "kind", "rollout", "rollback_to_sequence", "principal", "reason", "commit_time", "expire_time", "statement", "signature", "request_id", "etag", "trace_parent")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Promotion.Kind]
        KIND_PROMOTE: _ClassVar[Promotion.Kind]
        KIND_ROLLBACK: _ClassVar[Promotion.Kind]
        KIND_AUTOMATIC_ROLLBACK: _ClassVar[Promotion.Kind]
    KIND_UNSPECIFIED: Promotion.Kind
    KIND_PROMOTE: Promotion.Kind
    KIND_ROLLBACK: Promotion.Kind
    KIND_AUTOMATIC_ROLLBACK: Promotion.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_TO_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    TRACE_PARENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    sequence: int
    kind: Promotion.Kind
    rollout: Rollout
    rollback_to_sequence: int
    principal: str
    reason: str
    commit_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    statement: bytes
    signature: SignatureBundle
    request_id: str
    etag: str
    trace_parent: str
    def __init__(self, name: _Optional[str] = ..., sequence: _Optional[int] = ..., kind: _Optional[_Union[Promotion.Kind, str]] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., rollback_to_sequence: _Optional[int] = ..., principal: _Optional[str] = ..., reason: _Optional[str] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., statement: _Optional[bytes] = ..., signature: _Optional[_Union[SignatureBundle, _Mapping]] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ..., trace_parent: _Optional[str] = ...) -> None: ...

class GetChannelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetChannelResponse(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: Channel
    def __init__(self, channel: _Optional[_Union[Channel, _Mapping]] = ...) -> None: ...

class ListChannelsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "version")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    version: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ListChannelsResponse(_message.Message):
    __slots__ = ("channels", "next_page_token")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[Channel]
    next_page_token: str
    def __init__(self, channels: _Optional[_Iterable[_Union[Channel, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PromoteVersionRequest(_message.Message):
    __slots__ = ("channel", "rollout", "etag", "request_id", "validate_only", "reason", "allow_downgrade", "expire_time", "signature")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DOWNGRADE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    rollout: Rollout
    etag: str
    request_id: str
    validate_only: bool
    reason: str
    allow_downgrade: bool
    expire_time: _timestamp_pb2.Timestamp
    signature: SignatureBundle
    def __init__(self, channel: _Optional[str] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., reason: _Optional[str] = ..., allow_downgrade: _Optional[bool] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., signature: _Optional[_Union[SignatureBundle, _Mapping]] = ...) -> None: ...

class PromoteVersionResponse(_message.Message):
    __slots__ = ("channel", "promotion")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    channel: Channel
    promotion: Promotion
    def __init__(self, channel: _Optional[_Union[Channel, _Mapping]] = ..., promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class RollbackChannelRequest(_message.Message):
    __slots__ = ("channel", "to_sequence", "etag", "request_id", "validate_only", "reason", "expire_time", "signature")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TO_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    to_sequence: int
    etag: str
    request_id: str
    validate_only: bool
    reason: str
    expire_time: _timestamp_pb2.Timestamp
    signature: SignatureBundle
    def __init__(self, channel: _Optional[str] = ..., to_sequence: _Optional[int] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., reason: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., signature: _Optional[_Union[SignatureBundle, _Mapping]] = ...) -> None: ...

class RollbackChannelResponse(_message.Message):
    __slots__ = ("channel", "promotion")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    channel: Channel
    promotion: Promotion
    def __init__(self, channel: _Optional[_Union[Channel, _Mapping]] = ..., promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class ListChannelHistoryRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "at_time", "version")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    at_time: _timestamp_pb2.Timestamp
    version: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class ListChannelHistoryResponse(_message.Message):
    __slots__ = ("promotions", "next_page_token")
    PROMOTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    promotions: _containers.RepeatedCompositeFieldContainer[Promotion]
    next_page_token: str
    def __init__(self, promotions: _Optional[_Iterable[_Union[Promotion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchChannelsRequest(_message.Message):
    __slots__ = ("channels",)
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[ChannelCursor]
    def __init__(self, channels: _Optional[_Iterable[_Union[ChannelCursor, _Mapping]]] = ...) -> None: ...

class ChannelCursor(_message.Message):
    __slots__ = ("channel", "after_sequence")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    after_sequence: int
    def __init__(self, channel: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class WatchChannelsResponse(_message.Message):
    __slots__ = ("promotion", "policy", "heartbeat")
    class Heartbeat(_message.Message):
        __slots__ = ("channels", "send_time")
        CHANNELS_FIELD_NUMBER: _ClassVar[int]
        SEND_TIME_FIELD_NUMBER: _ClassVar[int]
        channels: _containers.RepeatedCompositeFieldContainer[ChannelCursor]
        send_time: _timestamp_pb2.Timestamp
        def __init__(self, channels: _Optional[_Iterable[_Union[ChannelCursor, _Mapping]]] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    policy: ChannelPolicy
    heartbeat: WatchChannelsResponse.Heartbeat
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ..., policy: _Optional[_Union[ChannelPolicy, _Mapping]] = ..., heartbeat: _Optional[_Union[WatchChannelsResponse.Heartbeat, _Mapping]] = ...) -> None: ...

class ChannelPolicy(_message.Message):
    __slots__ = ("name", "sequence", "etag", "promoters", "allow_publisher_to_promote", "allow_prereleases", "allow_downgrades", "demanded_gates", "validation_valid_for", "cost_budget", "accuracy_budget", "revert_rules", "fleet_rollback", "principal", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    PROMOTERS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PUBLISHER_TO_PROMOTE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PRERELEASES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DOWNGRADES_FIELD_NUMBER: _ClassVar[int]
    DEMANDED_GATES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_VALID_FOR_FIELD_NUMBER: _ClassVar[int]
    COST_BUDGET_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_BUDGET_FIELD_NUMBER: _ClassVar[int]
    REVERT_RULES_FIELD_NUMBER: _ClassVar[int]
    FLEET_ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    sequence: int
    etag: str
    promoters: _containers.RepeatedScalarFieldContainer[str]
    allow_publisher_to_promote: bool
    allow_prereleases: bool
    allow_downgrades: bool
    demanded_gates: _containers.RepeatedScalarFieldContainer[Gate]
    validation_valid_for: _duration_pb2.Duration
    cost_budget: CostBudget
    accuracy_budget: AccuracyBudget
    revert_rules: RevertRules
    fleet_rollback: FleetRollback
    principal: str
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., sequence: _Optional[int] = ..., etag: _Optional[str] = ..., promoters: _Optional[_Iterable[str]] = ..., allow_publisher_to_promote: _Optional[bool] = ..., allow_prereleases: _Optional[bool] = ..., allow_downgrades: _Optional[bool] = ..., demanded_gates: _Optional[_Iterable[_Union[Gate, str]]] = ..., validation_valid_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cost_budget: _Optional[_Union[CostBudget, _Mapping]] = ..., accuracy_budget: _Optional[_Union[AccuracyBudget, _Mapping]] = ..., revert_rules: _Optional[_Union[RevertRules, _Mapping]] = ..., fleet_rollback: _Optional[_Union[FleetRollback, _Mapping]] = ..., principal: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CostBudget(_message.Message):
    __slots__ = ("call_p99", "batch_p99", "slower_percent", "model_size_bytes", "resident_bytes")
    CALL_P99_FIELD_NUMBER: _ClassVar[int]
    BATCH_P99_FIELD_NUMBER: _ClassVar[int]
    SLOWER_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    call_p99: _duration_pb2.Duration
    batch_p99: _duration_pb2.Duration
    slower_percent: float
    model_size_bytes: int
    resident_bytes: int
    def __init__(self, call_p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., batch_p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., slower_percent: _Optional[float] = ..., model_size_bytes: _Optional[int] = ..., resident_bytes: _Optional[int] = ...) -> None: ...

class AccuracyBudget(_message.Message):
    __slots__ = ("der_percent", "der_worse_points")
    DER_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DER_WORSE_POINTS_FIELD_NUMBER: _ClassVar[int]
    der_percent: float
    der_worse_points: float
    def __init__(self, der_percent: _Optional[float] = ..., der_worse_points: _Optional[float] = ...) -> None: ...

class RevertRules(_message.Message):
    __slots__ = ("minimum_streams", "error_worse_points", "slower_percent", "flicker_worse_percent", "non_finite_hops", "hang_after")
    MINIMUM_STREAMS_FIELD_NUMBER: _ClassVar[int]
    ERROR_WORSE_POINTS_FIELD_NUMBER: _ClassVar[int]
    SLOWER_PERCENT_FIELD_NUMBER: _ClassVar[int]
    FLICKER_WORSE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_HOPS_FIELD_NUMBER: _ClassVar[int]
    HANG_AFTER_FIELD_NUMBER: _ClassVar[int]
    minimum_streams: int
    error_worse_points: float
    slower_percent: float
    flicker_worse_percent: float
    non_finite_hops: int
    hang_after: _duration_pb2.Duration
    def __init__(self, minimum_streams: _Optional[int] = ..., error_worse_points: _Optional[float] = ..., slower_percent: _Optional[float] = ..., flicker_worse_percent: _Optional[float] = ..., non_finite_hops: _Optional[int] = ..., hang_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FleetRollback(_message.Message):
    __slots__ = ("enabled", "minimum_pods", "minimum_percent")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PODS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PERCENT_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    minimum_pods: int
    minimum_percent: float
    def __init__(self, enabled: _Optional[bool] = ..., minimum_pods: _Optional[int] = ..., minimum_percent: _Optional[float] = ...) -> None: ...

class GetChannelPolicyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetChannelPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: ChannelPolicy
    def __init__(self, policy: _Optional[_Union[ChannelPolicy, _Mapping]] = ...) -> None: ...

class UpdateChannelPolicyRequest(_message.Message):
    __slots__ = ("policy", "update_mask", "etag", "request_id", "validate_only")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    policy: ChannelPolicy
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    request_id: str
    validate_only: bool
    def __init__(self, policy: _Optional[_Union[ChannelPolicy, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class UpdateChannelPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: ChannelPolicy
    def __init__(self, policy: _Optional[_Union[ChannelPolicy, _Mapping]] = ...) -> None: ...

class Pod(_message.Message):
    __slots__ = ("name", "channel", "desired_sequence", "serving_sequence", "generations", "draining", "watch_lost_time", "start_time", "software_version", "labels", "report_time", "lost")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    DESIRED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SERVING_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WATCH_LOST_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    name: str
    channel: str
    desired_sequence: int
    serving_sequence: int
    generations: _containers.RepeatedCompositeFieldContainer[PodGeneration]
    draining: bool
    watch_lost_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    software_version: str
    labels: _containers.ScalarMap[str, str]
    report_time: _timestamp_pb2.Timestamp
    lost: bool
    def __init__(self, name: _Optional[str] = ..., channel: _Optional[str] = ..., desired_sequence: _Optional[int] = ..., serving_sequence: _Optional[int] = ..., generations: _Optional[_Iterable[_Union[PodGeneration, _Mapping]]] = ..., draining: _Optional[bool] = ..., watch_lost_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., software_version: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lost: _Optional[bool] = ...) -> None: ...

class PodGeneration(_message.Message):
    __slots__ = ("generation", "version", "state", "role", "streams", "message", "reason")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[PodGeneration.State]
        STATE_DOWNLOADING: _ClassVar[PodGeneration.State]
        STATE_LOADING: _ClassVar[PodGeneration.State]
        STATE_WARMING: _ClassVar[PodGeneration.State]
        STATE_ACTIVE: _ClassVar[PodGeneration.State]
        STATE_DRAINING: _ClassVar[PodGeneration.State]
        STATE_FAILED: _ClassVar[PodGeneration.State]
    STATE_UNSPECIFIED: PodGeneration.State
    STATE_DOWNLOADING: PodGeneration.State
    STATE_LOADING: PodGeneration.State
    STATE_WARMING: PodGeneration.State
    STATE_ACTIVE: PodGeneration.State
    STATE_DRAINING: PodGeneration.State
    STATE_FAILED: PodGeneration.State
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    generation: int
    version: VersionPin
    state: PodGeneration.State
    role: Role
    streams: int
    message: str
    reason: str
    def __init__(self, generation: _Optional[int] = ..., version: _Optional[_Union[VersionPin, _Mapping]] = ..., state: _Optional[_Union[PodGeneration.State, str]] = ..., role: _Optional[_Union[Role, str]] = ..., streams: _Optional[int] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Revert(_message.Message):
    __slots__ = ("name", "pod", "sequence", "from_version", "to_version", "role", "cause", "seen", "allowed", "hops", "revert_time")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Revert.Cause]
        CAUSE_WARM_FAILED: _ClassVar[Revert.Cause]
        CAUSE_CRASH: _ClassVar[Revert.Cause]
        CAUSE_HANG: _ClassVar[Revert.Cause]
        CAUSE_NON_FINITE: _ClassVar[Revert.Cause]
        CAUSE_ERRORS: _ClassVar[Revert.Cause]
        CAUSE_LATENCY: _ClassVar[Revert.Cause]
        CAUSE_FLICKER: _ClassVar[Revert.Cause]
    CAUSE_UNSPECIFIED: Revert.Cause
    CAUSE_WARM_FAILED: Revert.Cause
    CAUSE_CRASH: Revert.Cause
    CAUSE_HANG: Revert.Cause
    CAUSE_NON_FINITE: Revert.Cause
    CAUSE_ERRORS: Revert.Cause
    CAUSE_LATENCY: Revert.Cause
    CAUSE_FLICKER: Revert.Cause
    NAME_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    REVERT_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    pod: str
    sequence: int
    from_version: VersionPin
    to_version: VersionPin
    role: Role
    cause: Revert.Cause
    seen: str
    allowed: str
    hops: int
    revert_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., pod: _Optional[str] = ..., sequence: _Optional[int] = ..., from_version: _Optional[_Union[VersionPin, _Mapping]] = ..., to_version: _Optional[_Union[VersionPin, _Mapping]] = ..., role: _Optional[_Union[Role, str]] = ..., cause: _Optional[_Union[Revert.Cause, str]] = ..., seen: _Optional[str] = ..., allowed: _Optional[str] = ..., hops: _Optional[int] = ..., revert_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class VersionOutcomes(_message.Message):
    __slots__ = ("version", "role", "streams", "failed_streams", "hops", "failed_hops", "non_finite_hops", "speech", "turns", "speakers", "speakers_merged", "label_changes", "compute_latency_seconds", "score_count", "score_sum", "score_sum_of_squares", "compared_frames", "differing_frames")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FAILED_STREAMS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FAILED_HOPS_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_HOPS_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_MERGED_FIELD_NUMBER: _ClassVar[int]
    LABEL_CHANGES_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_LATENCY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SCORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCORE_SUM_FIELD_NUMBER: _ClassVar[int]
    SCORE_SUM_OF_SQUARES_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_FRAMES_FIELD_NUMBER: _ClassVar[int]
    version: str
    role: Role
    streams: int
    failed_streams: int
    hops: int
    failed_hops: int
    non_finite_hops: int
    speech: _duration_pb2.Duration
    turns: int
    speakers: int
    speakers_merged: int
    label_changes: int
    compute_latency_seconds: Histogram
    score_count: int
    score_sum: float
    score_sum_of_squares: float
    compared_frames: int
    differing_frames: int
    def __init__(self, version: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., streams: _Optional[int] = ..., failed_streams: _Optional[int] = ..., hops: _Optional[int] = ..., failed_hops: _Optional[int] = ..., non_finite_hops: _Optional[int] = ..., speech: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., turns: _Optional[int] = ..., speakers: _Optional[int] = ..., speakers_merged: _Optional[int] = ..., label_changes: _Optional[int] = ..., compute_latency_seconds: _Optional[_Union[Histogram, _Mapping]] = ..., score_count: _Optional[int] = ..., score_sum: _Optional[float] = ..., score_sum_of_squares: _Optional[float] = ..., compared_frames: _Optional[int] = ..., differing_frames: _Optional[int] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("upper_bounds", "counts", "sum")
    UPPER_BOUNDS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    upper_bounds: _containers.RepeatedScalarFieldContainer[float]
    counts: _containers.RepeatedScalarFieldContainer[int]
    sum: float
    def __init__(self, upper_bounds: _Optional[_Iterable[float]] = ..., counts: _Optional[_Iterable[int]] = ..., sum: _Optional[float] = ...) -> None: ...

class ReportServingRequest(_message.Message):
    __slots__ = ("pod", "report_number", "reverts", "outcomes")
    POD_FIELD_NUMBER: _ClassVar[int]
    REPORT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REVERTS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    pod: Pod
    report_number: int
    reverts: _containers.RepeatedCompositeFieldContainer[Revert]
    outcomes: _containers.RepeatedCompositeFieldContainer[VersionOutcomes]
    def __init__(self, pod: _Optional[_Union[Pod, _Mapping]] = ..., report_number: _Optional[int] = ..., reverts: _Optional[_Iterable[_Union[Revert, _Mapping]]] = ..., outcomes: _Optional[_Iterable[_Union[VersionOutcomes, _Mapping]]] = ...) -> None: ...

class ReportServingResponse(_message.Message):
    __slots__ = ("report_again_after",)
    REPORT_AGAIN_AFTER_FIELD_NUMBER: _ClassVar[int]
    report_again_after: _duration_pb2.Duration
    def __init__(self, report_again_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetPodRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPodResponse(_message.Message):
    __slots__ = ("pod",)
    POD_FIELD_NUMBER: _ClassVar[int]
    pod: Pod
    def __init__(self, pod: _Optional[_Union[Pod, _Mapping]] = ...) -> None: ...

class ListPodsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: PodFilter
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[PodFilter, _Mapping]] = ...) -> None: ...

class PodFilter(_message.Message):
    __slots__ = ("channel", "version", "not_converged", "include_lost", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NOT_CONVERGED_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_LOST_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    channel: str
    version: str
    not_converged: bool
    include_lost: bool
    labels: _containers.ScalarMap[str, str]
    def __init__(self, channel: _Optional[str] = ..., version: _Optional[str] = ..., not_converged: _Optional[bool] = ..., include_lost: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListPodsResponse(_message.Message):
    __slots__ = ("pods", "next_page_token")
    PODS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pods: _containers.RepeatedCompositeFieldContainer[Pod]
    next_page_token: str
    def __init__(self, pods: _Optional[_Iterable[_Union[Pod, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRevertsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "version", "sequence")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    version: str
    sequence: int
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., version: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ListRevertsResponse(_message.Message):
    __slots__ = ("reverts", "next_page_token")
    REVERTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reverts: _containers.RepeatedCompositeFieldContainer[Revert]
    next_page_token: str
    def __init__(self, reverts: _Optional[_Iterable[_Union[Revert, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CompareOutcomesRequest(_message.Message):
    __slots__ = ("channel", "base", "target")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    channel: str
    base: str
    target: str
    def __init__(self, channel: _Optional[str] = ..., base: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class CompareOutcomesResponse(_message.Message):
    __slots__ = ("base", "target", "base_pods", "target_pods", "comparisons")
    class Comparison(_message.Message):
        __slots__ = ("name", "base", "target", "difference_low", "difference_high")
        NAME_FIELD_NUMBER: _ClassVar[int]
        BASE_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        DIFFERENCE_LOW_FIELD_NUMBER: _ClassVar[int]
        DIFFERENCE_HIGH_FIELD_NUMBER: _ClassVar[int]
        name: str
        base: float
        target: float
        difference_low: float
        difference_high: float
        def __init__(self, name: _Optional[str] = ..., base: _Optional[float] = ..., target: _Optional[float] = ..., difference_low: _Optional[float] = ..., difference_high: _Optional[float] = ...) -> None: ...
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BASE_PODS_FIELD_NUMBER: _ClassVar[int]
    TARGET_PODS_FIELD_NUMBER: _ClassVar[int]
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    base: VersionOutcomes
    target: VersionOutcomes
    base_pods: int
    target_pods: int
    comparisons: _containers.RepeatedCompositeFieldContainer[CompareOutcomesResponse.Comparison]
    def __init__(self, base: _Optional[_Union[VersionOutcomes, _Mapping]] = ..., target: _Optional[_Union[VersionOutcomes, _Mapping]] = ..., base_pods: _Optional[int] = ..., target_pods: _Optional[int] = ..., comparisons: _Optional[_Iterable[_Union[CompareOutcomesResponse.Comparison, _Mapping]]] = ...) -> None: ...

class CollectGarbageRequest(_message.Message):
    __slots__ = ("validate_only", "grace_period", "maximum_objects", "request_id")
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    GRACE_PERIOD_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    validate_only: bool
    grace_period: _duration_pb2.Duration
    maximum_objects: int
    request_id: str
    def __init__(self, validate_only: _Optional[bool] = ..., grace_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., maximum_objects: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class CollectGarbageResponse(_message.Message):
    __slots__ = ("objects", "collected_bytes", "more")
    class CollectedObject(_message.Message):
        __slots__ = ("key", "size_bytes", "create_time")
        KEY_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        key: str
        size_bytes: int
        create_time: _timestamp_pb2.Timestamp
        def __init__(self, key: _Optional[str] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    COLLECTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[CollectGarbageResponse.CollectedObject]
    collected_bytes: int
    more: bool
    def __init__(self, objects: _Optional[_Iterable[_Union[CollectGarbageResponse.CollectedObject, _Mapping]]] = ..., collected_bytes: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("name", "create_time", "principal", "roles", "credential", "peer", "method", "resource", "allowed", "refusal_reason", "before", "after", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_REASON_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    principal: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    credential: str
    peer: str
    method: str
    resource: str
    allowed: bool
    refusal_reason: str
    before: str
    after: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., credential: _Optional[str] = ..., peer: _Optional[str] = ..., method: _Optional[str] = ..., resource: _Optional[str] = ..., allowed: _Optional[bool] = ..., refusal_reason: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListAuditEntriesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: AuditFilter
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[AuditFilter, _Mapping]] = ...) -> None: ...

class AuditFilter(_message.Message):
    __slots__ = ("principal", "method", "resource", "start_time", "end_time", "refused_only")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_ONLY_FIELD_NUMBER: _ClassVar[int]
    principal: str
    method: str
    resource: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    refused_only: bool
    def __init__(self, principal: _Optional[str] = ..., method: _Optional[str] = ..., resource: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refused_only: _Optional[bool] = ...) -> None: ...

class ListAuditEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
