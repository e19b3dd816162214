"""Everything that can be set, from the command line or as VOICEFLOW_… in the environment."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from voiceflow.provider import Provider
from voiceflow.rpc.security import Audience, SecuritySettings
from voiceflow.telemetry import TelemetrySettings

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Identifier = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]


def own_name() -> str:
    """The name of this machine, as a pod's: in a cluster, that of the pod."""
    name = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")
    return (name if name[:1].isalpha() else f"pod-{name}")[:_POD_NAME_CHARACTERS].strip("-")


def worker_name(pod: str, number: int) -> str:
    """The name of one of several processes of a pod, which are pods to the registry."""
    return f"{pod}-w{number}"


_POD_NAME_CHARACTERS: Final = 63


class Settings(SecuritySettings, TelemetrySettings):
    """Settings of the inference service; the command line wins over the environment."""

    model_config = SettingsConfigDict(
        env_prefix="VOICEFLOW_",
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_prog_name="python -m voiceflow_inference",
        protected_namespaces=(),
    )

    keys_seal = True

    model_dir: Path | None = Field(
        None, description="a model package to serve, or a folder of packages: the highest is served"
    )
    registry: str | None = Field(
        None, description="HOST:PORT of a registry, whose promoted versions are served instead"
    )
    model: Identifier = Field("diarizer", description="the model to ask the registry for")
    channel: Identifier = Field(
        "stable", description="the channel that is followed, and that the model is served as"
    )
    pod_name: Identifier = Field(
        default_factory=own_name,
        description="what this server calls itself to the registry; unset: its host's name",
    )
    pod_label: dict[str, str] = Field(
        default_factory=dict,
        description="NAME=VALUE, shown beside the pod by `voiceflow fleet`; may be repeated",
    )
    cache_dir: Path = Field(
        Path("var/cache/models"), description="where versions from a registry are kept"
    )
    trust_root: Path | None = Field(
        None, description="whose signatures count; unset: signatures are not checked"
    )
    state_dir: Path = Field(
        Path("var/state"),
        description="where this process keeps over a restart what it trusts and served last",
    )
    registry_wait_seconds: Positive = Field(
        60.0, description="how long the registry may stay away at the start"
    )
    registry_ca: Path | None = Field(
        None, description="PEM: who signs the registry's certificate, if no public CA does"
    )
    registry_cert: Path | None = Field(
        None, description="PEM: the certificate that the registry knows this service by"
    )
    registry_key: Path | None = Field(None, description="PEM: the private key of that certificate")
    registry_token_file: Path | None = Field(
        None, description="a file with the token that the registry knows this service by"
    )
    insecure_registry: bool = Field(
        default=False, description="ask a registry on another machine in plain text"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        50051, description="port to listen on; 0: a free one, told by the ready line"
    )
    token_audience: Audience = "voiceflow-inference"  # noqa: S105 - no secret
    latency_objective_seconds: Positive = Field(
        0.1, description="hops that take longer are traced, whatever the share"
    )

    workers: Count = Field(
        1, description="processes that serve behind the port; more than one need Linux"
    )
    threads: Count = Field(1, description="threads of one model call")
    provider: Provider = Field(
        "cpu", description="what computes models; a GPU takes an ONNX Runtime built for it"
    )
    batch_limit: Annotated[int, Field(ge=1, le=256)] = Field(
        16, description="hops that are computed together at most"
    )
    revision_horizon_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        2.0, description="how long after its audio a turn may still change"
    )
    speakers_per_stream: Annotated[int, Field(ge=1, le=20)] = Field(
        20, description="speakers in one stream at most"
    )

    message_audio_bytes: Annotated[int, Field(ge=1, le=4_000_000)] = Field(
        1024 * 1024, description="audio in one message at most"
    )
    idle_seconds: Positive = Field(30.0, description="a stream without requests is cut after")
    unsent_reply_bytes: Count = Field(
        1024 * 1024, description="a client with more unread replies is cut"
    )
    unsent_reply_seconds: Positive = Field(
        10.0, description="a client with an older unread reply is cut"
    )
    keepalive_seconds: Positive = Field(
        3.0, description="silence after which a client is asked whether it is there"
    )
    keepalive_timeout_seconds: Positive = Field(
        7.0, description="how long the answer may take; then its streams are freed"
    )

    streams: Count | None = Field(
        None, description="live streams at once; unset: as measured when the model is warmed"
    )
    streams_per_principal: Count | None = Field(
        None, description="live streams of one client at once; unset: a quarter of all"
    )
    files: Count = Field(8, description="recordings at once")
    files_per_principal: Count | None = Field(
        None, description="recordings of one client at once; unset: a quarter of all"
    )
    admission_lag_seconds: Positive = Field(
        0.5, description="no new stream while live hops wait longer"
    )
    admission_real_time_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="no new stream while live hops keep the engine busier"
    )
    grace_seconds: Positive = Field(30.0, description="from SIGTERM to the end of the process")

    load_seconds: Positive = Field(
        120.0,
        description="how long a first look at a new version may take, in a process of its own",
    )
    drain_deadline_seconds: Positive = Field(
        1800.0, description="streams on a version that was replaced are moved, or told to go, after"
    )
    keep_seconds: Annotated[float, Field(ge=0)] = Field(
        300.0, description="how long a replaced version stays loaded, to go back to"
    )
    hang_seconds: Positive = Field(
        5.0, description="a model call that takes longer hangs, if the channel's policy sets none"
    )
    shadow_lag_seconds: Positive = Field(
        1.0, description="a shadow that is further behind gives up that stream"
    )
    resume_valid_seconds: Positive = Field(
        600.0, description="how long a stream that was cut can be resumed"
    )
    resume_context_seconds: Positive = Field(
        30.0,
        description="of who spoke when, kept in resume tokens: finds labels again where a new"
        " version's vectors mean other things",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.model_dir is None) == (self.registry is None):
            both = "both are set, one perhaps as VOICEFLOW_REGISTRY or VOICEFLOW_MODEL_DIR"
            what = "neither is set" if self.registry is None else both
            raise ValueError(f"give either --model-dir or --registry; {what}")
        return self

    @model_validator(mode="after")
    def _registry_identity_fits_together(self) -> Self:
        if (self.registry_cert is None) != (self.registry_key is None):
            raise ValueError("--registry-cert and --registry-key: one goes with the other")
        given = [
            f"--{name.replace('_', '-')}"
            for name in ("registry_ca", "registry_cert", "registry_token_file")
            if getattr(self, name) is not None
        ]
        if given and self.insecure_registry:
            raise ValueError(f"give either --insecure-registry or {given[0]}")
        if self.registry is None and (given or self.insecure_registry):
            raise ValueError(f"{[*given, '--insecure-registry'][0]}: only with --registry")
        return self

    @model_validator(mode="after")
    def _workers_have_room(self) -> Self:
        if self.workers == 1:
            return self
        if sys.platform != "linux":
            raise ValueError(
                "--workers: several processes share a port on Linux alone; start one, or several"
                " on ports of their own"
            )
        last = self.workers - 1
        if len(worker_name(self.pod_name, last)) > _POD_NAME_CHARACTERS:
            raise ValueError(
                f"--pod-name: the name of the last worker, {worker_name(self.pod_name, last)}, is"
                f" longer than {_POD_NAME_CHARACTERS} characters"
            )
        if self.metrics_port and self.metrics_port + last > 65535:
            raise ValueError(
                f"--metrics-port: {self.workers} workers take as many ports, and after"
                f" {self.metrics_port} there are {65535 - self.metrics_port}"
            )
        return self

    def shown(self) -> dict[str, str]:
        """All settings in force, for operators; none of them is secret."""
        return {name: str(value) for name, value in self.model_dump().items()}
