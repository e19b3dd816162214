"""Models and their published versions."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from voiceflow.artifact import Digest
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.values import Signature, Time, Value


class VersionState(StrEnum):
    """Where a version stands in its life."""

    PUBLISHED = "published"
    YANKED = "yanked"
    DELETED = "deleted"


class VersionFile(Value):
    """One file of a version."""

    file: str
    size_bytes: int
    digest: Digest


class Yank(Value):
    """Why a version is not to be promoted again."""

    principal: str
    yank_time: Time
    reason: str


class Version(Value):
    """A published version; only `state`, `yank`, `delete_time` and `passed_gates` ever change.

    Attributes:
        name: `models/{model}/versions/{semver}`.
        manifest: The bytes of `manifest.json`; None in the basic view.
        signature: The publisher's, over `manifest`; None in the basic view, or if there is none.
        files: In the manifest's order.
        publish_time: None as long as it is not committed.
        passed_gates: In any stored run, under the policy that held then.
    """

    name: str
    state: VersionState = VersionState.PUBLISHED
    manifest_digest: Digest
    manifest: bytes | None = None
    signature: Signature | None = None
    files: tuple[VersionFile, ...]
    contract: str
    embedding_space: str
    state_space: str = ""
    publisher: str
    publish_time: Time | None = None
    yank: Yank | None = None
    delete_time: Time | None = None
    passed_gates: tuple[Gate, ...] = ()


class Model(Value):
    """A name under which versions are published.

    Attributes:
        name: `models/{model}`.
        newest_version: Of highest precedence, yanked ones and pre-releases left out; may be empty.
        newest_prerelease: Pre-releases included.
    """

    name: str
    newest_version: str = ""
    newest_prerelease: str = ""
    version_count: int
    create_time: Time


class DeclaredFile(Value):
    """A file's size as its publisher states it beforehand."""

    file: str
    size_bytes: int


class UploadedFile(Value):
    """How far one file came; `received_bytes` is the offset of the next chunk."""

    file: str
    received_bytes: int
    size_bytes: int
    complete: bool


class Upload(Value):
    """A version on its way in."""

    name: str
    files: tuple[UploadedFile, ...]
    begin_time: Time
    expire_time: Time


class Bump(IntEnum):
    """How much of a version number changes; greater is more."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


class ChangeKind(StrEnum):
    """In what two versions differ."""

    INPUT_ADDED = "input_added"
    INPUT_REMOVED = "input_removed"
    OUTPUT_ADDED = "output_added"
    OUTPUT_REMOVED = "output_removed"
    TENSOR_RETYPED = "tensor_retyped"
    TENSOR_RESHAPED = "tensor_reshaped"
    CONTRACT = "contract"
    SAMPLE_RATE = "sample_rate"
    FRAME = "frame"
    EMBEDDING_DIMENSION = "embedding_dimension"
    EMBEDDING_SPACE = "embedding_space"
    STATE_SPACE = "state_space"
    ACCURACY = "accuracy"
    WEIGHTS = "weights"
    METADATA = "metadata"


class ContractChange(Value):
    """One difference between two versions.

    Attributes:
        subject: The tensor or the manifest's field.
        before: As text: `float32 [batch, 64]`; empty where it did not exist.
        after: Likewise.
        bump: What this change alone demands.
    """

    kind: ChangeKind
    subject: str
    before: str
    after: str
    bump: Bump


class Difference(Value):
    """What differs between two versions, and which bump that demands.

    Attributes:
        base: Name of the earlier version.
        target: Name of the later version.
        changes: Greatest demand first.
        required_bump: What the changes demand; PATCH if there are none.
        actual_bump: What the version numbers give.
        sufficient: The target's number is high enough.
    """

    base: str
    target: str
    changes: tuple[ContractChange, ...]
    required_bump: Bump
    actual_bump: Bump
    sufficient: bool
