"""What the registry stores, and under which keys: the database as one page.

    blobs/sha256/<hex>                          create-only: content of files
    versions/<model>/<semver>.json              create-only: publishing commits here
    deletions/<model>/<semver>.json             create-only: deleting commits here
    yanks/<model>/<semver>.json                 create-only: yanking commits here
    history/<model>/<channel>/<seq:020>.json    create-only: promoting commits here
    policies/<model>/<channel>/<seq:020>.json   create-only: setting a policy commits here
    channels/<model>/<channel>.json             hint: a sequence that the history has reached
    holds/<model>/<semver>/<channel>/…          versions that promotions under way name
    reports/<manifest hex>/<run>.json           create-only: what the gates saw
    uploads/<manifest hex>/<model>/<semver>/…   parts of versions on their way in
    condemned/<id>.json                         what a collection is about to remove
    requests/<principal>/<request>.json         index: which record a request makes; kept for good
    pods/<pod>.json                             newest report of a pod, replaced under condition
    reverts/<model>/<channel>/<id>.json         create-only: reverts that pods reported
    audit/<day>/<entry>.(intent|outcome).json   create-only: who did what; kept for good

A record is stored as JSON inside an envelope with its digest, so that a flipped bit is found out
whatever the store does.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Final, Literal, Self, TypeVar

import semver
from pydantic import Field, ValidationError

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.audit import AuditEntry
from voiceflow.catalog.channels import ChannelPolicy, Promotion
from voiceflow.catalog.gates import AccuracyBudget, CostBudget, ValidationReport
from voiceflow.catalog.names import ChannelName, PodName, UploadName, VersionName
from voiceflow.catalog.pods import Pod, Revert, VersionOutcomes
from voiceflow.catalog.values import Signature, Time, Value
from voiceflow.catalog.versions import DeclaredFile, VersionFile
from voiceflow.contract import TensorSignature
from voiceflow.errors import ContentCorrupt


class Request(Value):
    """Who asked for a change, so that a retry finds its own answer.

    Attributes:
        principal: Who.
        request_id: As the caller chose it; may be empty.
        payload_digest: Of everything else that was asked for.
    """

    principal: str
    request_id: str = ""
    payload_digest: str = ""


def nonce() -> str:
    """What makes every record different from every other writer's."""
    return uuid.uuid4().hex


class TensorRecord(Value):
    """A tensor of a graph, as the gates saw it; None is a dynamic dimension."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]

    @classmethod
    def of(cls, tensor: TensorSignature) -> Self:
        """The record of a tensor."""
        return cls(name=tensor.name, dtype=tensor.dtype, dims=tensor.dims)

    def signature(self) -> TensorSignature:
        """The same for `voiceflow.contract`."""
        return TensorSignature(self.name, self.dtype, self.dims)


class VersionRecord(Value):
    """A published version. Its manifest is kept as the very bytes that were signed."""

    kind: Literal["version"] = "version"
    name: str
    manifest: bytes
    signature: Signature | None = None
    files: tuple[VersionFile, ...]
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    report: str = Field(description="name of the validation that let it in")
    request: Request
    publish_time: Time
    nonce: str = Field(default_factory=nonce)

    @property
    def manifest_digest(self) -> Digest:
        """Digest of the manifest's bytes."""
        return digest_of(self.manifest)

    def parsed(self) -> Manifest:
        """The manifest as a value."""
        return Manifest.from_json(self.manifest)


class YankRecord(Value):
    """A version that is not to be promoted again."""

    kind: Literal["yank"] = "yank"
    reason: str
    request: Request
    yank_time: Time
    nonce: str = Field(default_factory=nonce)


class DeletionRecord(Value):
    """A version whose files are gone."""

    kind: Literal["deletion"] = "deletion"
    request: Request
    delete_time: Time
    nonce: str = Field(default_factory=nonce)


class PromotionRecord(Value):
    """One entry of a channel's history."""

    kind: Literal["promotion"] = "promotion"
    promotion: Promotion
    request: Request
    nonce: str = Field(default_factory=nonce)

    @property
    def sequence(self) -> int:
        """Its place in the channel's history."""
        return self.promotion.sequence


class PolicyRecord(Value):
    """One entry of a channel's policies."""

    kind: Literal["policy"] = "policy"
    policy: ChannelPolicy
    request: Request
    nonce: str = Field(default_factory=nonce)

    @property
    def sequence(self) -> int:
        """Its place among the channel's policies."""
        return self.policy.sequence


class ChannelHint(Value):
    """A sequence that the history of a channel has reached; it may have gone on since."""

    kind: Literal["channel"] = "channel"
    sequence: int


class ReportRecord(Value):
    """What one run of the gates saw, and the budgets that held."""

    kind: Literal["report"] = "report"
    report: ValidationReport
    cost_budget: CostBudget = CostBudget()
    accuracy_budget: AccuracyBudget = AccuracyBudget()
    request: Request
    nonce: str = Field(default_factory=nonce)


class UploadRecord(Value):
    """An upload that was begun."""

    kind: Literal["upload"] = "upload"
    name: str
    manifest: bytes
    signature: Signature | None = None
    declared: tuple[DeclaredFile, ...]
    principal: str
    begin_time: Time
    nonce: str = Field(default_factory=nonce)


class CondemnedObject(Value):
    """One generation of an object that is to be removed."""

    key: str
    generation: int
    size_bytes: int
    create_time: Time


class CondemnedRecord(Value):
    """What one collection is about to remove; see `voiceflow_registry.files.condemned`."""

    kind: Literal["condemned"] = "condemned"
    decided: bool
    objects: tuple[CondemnedObject, ...]
    nonce: str = Field(default_factory=nonce)


class PodRecord(Value):
    """The newest report of a pod, and who sent it."""

    kind: Literal["pod"] = "pod"
    principal: str
    pod: Pod
    report_number: int
    outcomes: tuple[VersionOutcomes, ...] = ()


class RevertRecord(Value):
    """A revert that a pod reported, and who sent it."""

    kind: Literal["revert"] = "revert"
    principal: str
    revert: Revert
    report_time: Time


class AuditRecord(Value):
    """An entry of the audit, as it stands before its deed, or after it."""

    kind: Literal["audit"] = "audit"
    entry: AuditEntry


Record = TypeVar("Record", bound=Value)

HOLDS_PREFIX: Final = "holds/"
CONDEMNED_PREFIX: Final = "condemned/"

_DIGEST: Final = "digest"
_RECORD: Final = "record"


def encode(record: Value) -> bytes:
    """A record as it is stored."""
    body = record.model_dump(mode="json")
    digest = digest_of(_canonical(body))
    return json.dumps({_DIGEST: digest, _RECORD: body}, indent=1).encode() + b"\n"


def decode(kind: type[Record], content: bytes, key: str) -> Record:
    """Reads what `encode` wrote.

    Raises:
        ContentCorrupt: CONTENT_CORRUPT, if these are not the bytes that were written.
    """
    try:
        envelope = json.loads(content)
        body = envelope[_RECORD]
        if digest_of(_canonical(body)) != envelope[_DIGEST]:
            raise ValueError("its digest does not fit")  # noqa: TRY301 - one way out for all faults
        return kind.model_validate_json(json.dumps(body))
    except (KeyError, RecursionError, TypeError, ValueError, ValidationError) as error:
        raise ContentCorrupt(
            f"{key} is not as it was stored: {error}", reason="CONTENT_CORRUPT"
        ) from error


def blob_key(digest: Digest) -> str:
    """Where a file's content is."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def version_key(name: VersionName) -> str:
    """Where a version's record is."""
    return f"versions/{name.model}/{name.version}.json"


def yank_key(name: VersionName) -> str:
    """Where a version's yank is."""
    return f"yanks/{name.model}/{name.version}.json"


def deletion_key(name: VersionName) -> str:
    """Where a version's deletion is."""
    return f"deletions/{name.model}/{name.version}.json"


def history_key(name: ChannelName, sequence: int) -> str:
    """Where a promotion is."""
    return f"history/{name.model}/{name.channel}/{sequence:020}.json"


def policy_key(name: ChannelName, sequence: int) -> str:
    """Where a policy is."""
    return f"policies/{name.model}/{name.channel}/{sequence:020}.json"


def hold_prefix(name: VersionName) -> str:
    """Below which the holds of a version are: `<channel>/<sequence>-<nonce>`."""
    return f"{HOLDS_PREFIX}{name.model}/{name.version}/"


def held_by(key: str) -> tuple[ChannelName, int]:
    """The channel of a hold, and the sequence that its promotion wants."""
    _, model, _, channel, place = key.split("/")
    return ChannelName(model, channel), int(place.partition("-")[0])


def channel_key(name: ChannelName) -> str:
    """Where a channel's hint is."""
    return f"channels/{name.model}/{name.channel}.json"


def pod_key(name: PodName) -> str:
    """Where a pod's newest report is."""
    return f"pods/{name.pod}.json"


def revert_prefix(name: ChannelName) -> str:
    """Below which the reverts of a channel are."""
    return f"reverts/{name.model}/{name.channel}/"


def condemned_key(identifier: str) -> str:
    """Where a collection says what it is about to remove."""
    return f"{CONDEMNED_PREFIX}{identifier}.json"


def upload_prefix(name: UploadName, principal: str) -> str:
    """Below which one caller's upload of a version is."""
    who = hashlib.sha256(principal.encode()).hexdigest()[:16]
    return f"uploads/{name.manifest_hex}/{name.version.model}/{name.version.version}/{who}/"


def report_prefix(manifest_digest: Digest) -> str:
    """Below which the reports on one manifest are."""
    return f"reports/{manifest_digest.removeprefix('sha256:')}/"


def version_key_prefix(kind: Literal["versions", "yanks", "deletions"], model: str) -> str:
    """Below which the records of one kind on a model's versions are."""
    return f"{kind}/{model}/"


def version_of_key(key: str) -> semver.Version:
    """The version in the last part of a key of a version, yank or deletion."""
    return semver.Version.parse(key.rpartition("/")[2].removesuffix(".json"))


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
