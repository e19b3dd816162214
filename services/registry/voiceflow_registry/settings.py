"""What an operator can set: on the command line, or as VOICEFLOW_REGISTRY_<NAME>."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from voiceflow.catalog.gates import PUBLISHING_GATES, Gate
from voiceflow.package import MAXIMUM_FILE_BYTES
from voiceflow.rpc.security import Audience, SecuritySettings
from voiceflow.telemetry import TelemetrySettings
from voiceflow.validation.sandbox import DEFAULT_FLOOR, Layer

Word = TypeVar("Word", bound=StrEnum)

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PART: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in Google Cloud Storage: `gs://bucket/prefix`."""

    bucket: str
    prefix: str


def _store(text: str) -> str:
    parse_store(text)
    return text


def _endpoint(text: str | None) -> str | None:
    if text is not None:
        url = urlsplit(text)
        if url.scheme not in {"http", "https"} or not url.netloc:
            raise ValueError("an endpoint is http://HOST:PORT or https://HOST")
    return text


def _gates(text: str) -> str:
    _words(Gate, text)
    return text


def _publishing_gates(text: str) -> str:
    if not set(PUBLISHING_GATES) <= set(_words(Gate, text)):
        raise ValueError(f"{_joined(PUBLISHING_GATES)} are demanded of every version")
    return text


def _layers(text: str) -> str:
    _words(Layer, text)
    return text


def parse_store(text: str) -> Path | Bucket:
    """Where everything is kept: a folder or a bucket.

    Raises:
        ValueError: It is neither.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        if not text:
            raise ValueError("a store is a folder, or gs://BUCKET/PREFIX")
        return Path(text)
    bucket, _, prefix = rest.rstrip("/").partition("/")
    parts = prefix.split("/") if prefix else []
    if scheme != "gs" or not _BUCKET.fullmatch(bucket) or not all(map(_PART.fullmatch, parts)):
        raise ValueError("a store is a folder, or gs://BUCKET/PREFIX")
    return Bucket(bucket, prefix)


def _words(kind: type[Word], text: str) -> tuple[Word, ...]:
    """Words joined by commas, in the order of their kind."""
    names = {word.strip() for word in text.split(",") if word.strip()}
    if unknown := sorted(names - set(kind)):
        raise ValueError(f"{unknown[0]!r} is none of {_joined(kind)}")
    return tuple(word for word in kind if word in names)


def _joined(words: Iterable[str]) -> str:
    return ",".join(words)


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1, lt=2**63)]


class Settings(SecuritySettings, TelemetrySettings):
    """The model registry: keeps versions of models and tells servers which one to serve."""

    model_config = SettingsConfigDict(
        env_prefix="VOICEFLOW_REGISTRY_",
        frozen=True,
        extra="forbid",
        cli_prog_name="python -m voiceflow_registry",
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        50061, description="port to listen on; 0: a free one, told by the ready line"
    )
    insecure: bool = Field(
        default=False,
        description="listen in plain text on an address that other machines can reach; never with"
        " a bucket",
    )
    token_audience: Audience = "voiceflow-registry"  # noqa: S105 no secret
    grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        30.0, description="from SIGTERM until calls that still run are cut"
    )

    store: Annotated[str, AfterValidator(_store)] = Field(
        "var/registry", description="where everything is kept: a folder, or gs://BUCKET/PREFIX"
    )
    gcs_endpoint: Annotated[str | None, AfterValidator(_endpoint)] = Field(
        None, description="another server of Google's storage API, for tests; without credentials"
    )
    gcs_timeout_seconds: Seconds = Field(
        30.0, description="to connect to the bucket, and to wait for more of a reply"
    )
    gcs_retry_seconds: Seconds = Field(
        60.0, description="how long an operation on the bucket is tried again"
    )
    store_retry_after_seconds: Seconds = Field(
        2.0, description="when callers are told to try again if the store does not answer"
    )
    threads: Count = Field(32, description="calls that read or write the store at once")
    calls_waiting: Annotated[int, Field(ge=0)] = Field(
        1000, description="calls that wait for their turn; more are refused"
    )

    file_bytes: Bytes = Field(MAXIMUM_FILE_BYTES, description="largest file of a version")
    version_bytes: Bytes = Field(
        2 * MAXIMUM_FILE_BYTES, description="largest version, all files together"
    )
    publishes: Count = Field(
        32, description="streams that publish at once, 16 MiB each; more are refused"
    )
    publish_idle_seconds: Seconds = Field(
        60.0,
        description="a stream that publishes is cut if nothing comes for so long, and a run of the"
        " gates if nobody reads what it tells",
    )
    spool_dir: Path | None = Field(
        None,
        description="folder for versions that are in the gates; what registries that were killed"
        " left there is removed. Default: one in the system's temporary folder",
    )
    upload_expire_seconds: Seconds = Field(
        24 * 3600.0, description="an upload that nobody goes on with is given up after"
    )

    publishing_gates: Annotated[str, AfterValidator(_publishing_gates)] = Field(
        _joined(PUBLISHING_GATES), description="gates that every version passes to be published"
    )
    validations: Count = Field(
        2, description="runs of the gates that ValidateVersion has going at once; more are refused"
    )
    sandbox_floor: Annotated[str, AfterValidator(_layers)] = Field(
        _joined(layer for layer in Layer if layer in DEFAULT_FLOOR),
        description="layers of the sandbox without which no model is run",
    )
    evaluation_set: Path | None = Field(
        None, description="folder of labelled conversations, for the accuracy gate"
    )

    demanded_gates: Annotated[str, AfterValidator(_gates)] = Field(
        "manifest,graph,contract,behaviour",
        description="gates that channels without a policy of their own demand",
    )
    allow_publisher_to_promote: bool | None = Field(
        default=None,
        description="in channels without a policy: who published a version may promote it too."
        " Unset: no, but for a registry without TLS, where callers have no identity and all on one"
        " host are one",
    )
    allow_prereleases: bool = Field(
        default=False, description="in channels without a policy: pre-releases may be promoted"
    )
    allow_downgrades: bool = Field(
        default=False, description="in channels without a policy: downgrades may be asked for"
    )
    validation_valid_for_seconds: Seconds | None = Field(
        None, description="in channels without a policy: older validations do not count"
    )

    trust_root: Path | None = Field(
        None,
        description="file of `voiceflow trust`: whose signatures on versions and promotions are"
        " taken. Unset: signatures are kept and not looked at",
    )
    signing_key: Path | None = Field(
        None,
        description="PEM: the registry's own key, which signs rollbacks that a quorum of pods asks"
        " for. With a trust root and without a key, there are none",
    )

    poll_seconds: Seconds = Field(
        1.0, description="how often a watched channel is looked at; bounds how late watchers hear"
    )
    report_again_seconds: Seconds = Field(10.0, description="how often pods are told to report")
    collection_grace_seconds: Seconds = Field(
        24 * 3600.0, description="garbage that is younger is spared; longer than any upload runs"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gcs_endpoint is not None and not isinstance(self.place, Bucket):
            raise ValueError("--gcs-endpoint: goes with --store gs://BUCKET/PREFIX alone")
        if self.version_bytes < self.file_bytes:
            raise ValueError("--version-bytes: at least --file-bytes")
        if self.signing_key is not None and self.trust_root is None:
            raise ValueError("--signing-key: goes with --trust-root, which says what it may sign")
        return self

    @property
    def place(self) -> Path | Bucket:
        """Where everything is kept."""
        return parse_store(self.store)

    @property
    def gates_to_publish(self) -> tuple[Gate, ...]:
        """What every version passes to be published."""
        return _words(Gate, self.publishing_gates)

    @property
    def gates_to_promote(self) -> tuple[Gate, ...]:
        """What channels without a policy of their own demand."""
        return _words(Gate, self.demanded_gates)

    @property
    def floor(self) -> frozenset[Layer]:
        """Layers of the sandbox without which no model is run."""
        return frozenset(_words(Layer, self.sandbox_floor))
