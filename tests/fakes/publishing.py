"""A registry's publishing side over any store, with gates that do as they are told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from voiceflow.artifact import LatencyMode, Manifest, OperatingPoint, digest_of
from voiceflow.catalog.gates import Figure, Finding, Gate, GateResult, Outcome, SandboxLayers
from voiceflow.catalog.names import UploadName, VersionName
from voiceflow.catalog.versions import DeclaredFile
from voiceflow.contract import STREAM_CONTRACT, TensorSignature
from voiceflow.identity.caller import Caller
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateStarted,
    Validation,
)
from voiceflow_registry.collect import Collector
from voiceflow_registry.publishing.publish import Published, Publishing, UploadSession
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.validations import GateRunner, Validations
from voiceflow_registry.versions.versions import Versions

PUBLISHER = Caller("spiffe://test/publisher")
START = datetime(2026, 1, 1, tzinfo=UTC)
MEGABYTE = 1 << 20
TENSORS = (TensorSignature("audio", "float32", (None, None)),)


class Clock:
    """Tells the time that it was set to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Package:
    """A version's manifest and files; what is in them means nothing."""

    manifest: bytes
    files: Mapping[str, bytes]

    @property
    def name(self) -> VersionName:
        """The version."""
        return VersionName.parse(Manifest.from_json(self.manifest).resource_name)

    @property
    def upload(self) -> UploadName:
        """Its upload."""
        return UploadName(self.name, digest_of(self.manifest).removeprefix("sha256:"))

    @property
    def declared(self) -> list[DeclaredFile]:
        """Sizes of its files."""
        return [
            DeclaredFile(file=file, size_bytes=len(content)) for file, content in self.files.items()
        ]


def package(
    version: str = "1.0.0",
    *,
    model: str = "tones",
    weights: bytes = b"weights",
    golden: bytes = b"golden",
    **changes: Any,
) -> Package:
    """A package whose manifest holds, with changes to its fields."""
    files = {"model.onnx": weights, "golden.npz": golden, "README.md": b"# A card\n"}
    fields: dict[str, Any] = {
        "schema_version": 1,
        "model": model,
        "version": version,
        "contract": STREAM_CONTRACT,
        "sample_rate_hertz": 16_000,
        "frame_samples": 640,
        "hop_samples": {LatencyMode.DENSITY: 7680},
        "tracks": 2,
        "embedding_dim": 16,
        "look_ahead_frames": 4,
        "context_seconds": 1.0,
        "embedding_space": "tones-1",
        "state_space": "tones-1",
        "operating_point": OperatingPoint(
            speech_threshold=0.5,
            activity_threshold=0.5,
            overlap_threshold=0.5,
            new_speaker_threshold=0.5,
            same_speaker_threshold=0.7,
            minimum_turn_seconds=0.2,
            minimum_pause_seconds=0.2,
            smoothing_seconds=0.4,
        ),
        "licence": "Apache-2.0",
        "files": {file: digest_of(content) for file, content in files.items()},
        "sizes": {file: len(content) for file, content in files.items()},
    }
    if "files" in changes:
        del fields["sizes"]  # they were those of other files
    return Package(Manifest(**(fields | changes)).to_json().encode(), files)


@dataclass
class ScriptedGates:
    """Gates that pass, but for those told to fail.

    Attributes:
        failing: What a gate finds.
        before: Called when a gate begins.
        budgets: Of the last run.
        earlier: Names of the last run's earlier versions.
        baseline: Of the last run.
        runs: How many were begun.
    """

    failing: dict[Gate, Finding] = field(default_factory=dict)
    before: Callable[[Gate], None] = lambda _: None
    budgets: Budgets = field(default_factory=Budgets)
    earlier: tuple[str, ...] = ()
    baseline: Baseline | None = None
    runs: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        candidate: Candidate,
        *,
        gates: Sequence[Gate],
        budgets: Budgets,
        earlier: Sequence[Earlier] = (),
        baseline: Baseline | None = None,
    ) -> Iterator[GateStarted | GateResult | Validation]:
        """As `Validator.run`; refuses a folder that does not hold the manifest's files."""
        with self._lock:
            self.runs += 1
            self.budgets = budgets
            self.earlier = tuple(str(version.described.name) for version in earlier)
            self.baseline = baseline
        for file, digest in Manifest.from_json(candidate.manifest).files.items():
            with (candidate.folder / file).open("rb") as content:
                assert f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}" == digest
        results = []
        for gate in gates:
            yield GateStarted(gate)
            self.before(gate)
            finding = self.failing.get(gate)
            result = GateResult(
                gate=gate,
                outcome=Outcome.FAILED if finding else Outcome.PASSED,
                findings=(finding,) if finding else (),
                figures=(Figure(name="nodes", value=3.0),),
            )
            results.append(result)
            yield result
        yield Validation(
            gates=tuple(results),
            passed=all(result.outcome is Outcome.PASSED for result in results),
            sandbox=SandboxLayers(active=("rlimits",)),
            inputs=TENSORS,
            outputs=TENSORS,
            runtime_version="1.0",
            evaluation_set_digest="",
        )


def finding(rule_id: str) -> Finding:
    """A finding of a rule."""
    return Finding(rule_id=rule_id, subject="model.onnx", seen="2", allowed="1", message="too many")


class Replica:
    """One replica's acts.

    Args:
        store: Shared by all replicas.
        gates: Run here.
        clock: Told here.
        limits: Of publishing.
        grace_seconds: Of collection.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        gates: GateRunner | None = None,
        clock: Callable[[], datetime] | None = None,
        limits: PublishLimits | None = None,
        grace_seconds: float = 0.0,
    ) -> None:
        self.store = store
        self.gates = gates if isinstance(gates, ScriptedGates) else ScriptedGates()
        self.clock = clock or (lambda: datetime.now(UTC))
        self.versions = Versions(store, self.clock)
        self.validations = Validations(
            store,
            self.versions,
            gates or self.gates,
            self.clock,
            software_version="0.1.0",
            has_evaluation_set=False,
        )
        self.publishing = Publishing(
            store, self.versions, self.validations, self.clock, limits or PublishLimits()
        )
        self.collector = Collector(
            store,
            self.versions,
            self.clock,
            grace_seconds=grace_seconds,
            upload_seconds=grace_seconds,
        )

    def begin(
        self,
        what: Package,
        *,
        caller: Caller = PUBLISHER,
        request_id: str = "",
        validate_only: bool = False,
    ) -> UploadSession:
        """Begins an upload."""
        return self.publishing.begin(
            caller,
            what.name,
            manifest=what.manifest,
            signature=None,
            declared=what.declared,
            request_id=request_id,
            validate_only=validate_only,
        )

    def publish(
        self,
        what: Package,
        *,
        caller: Caller = PUBLISHER,
        request_id: str = "",
        validate_only: bool = False,
    ) -> Published:
        """Publishes as a client does: what is held already is not sent."""
        session = self.begin(
            what, caller=caller, request_id=request_id, validate_only=validate_only
        )
        try:
            if not validate_only:
                self.send_rest(session, what, caller)
            else:
                for file, content in what.files.items():
                    send(session, file, content)
            return session.finish()
        finally:
            session.leave()

    def send_rest(self, session: UploadSession, what: Package, caller: Caller = PUBLISHER) -> None:
        """Asks how far the upload came, and sends the rest."""
        for file in self.publishing.upload(caller, what.upload).files:
            if not file.complete:
                send(session, file.file, what.files[file.file], file.received_bytes)


def send(session: UploadSession, file: str, content: bytes, offset: int = 0) -> None:
    """Sends a file from an offset on, in chunks of a megabyte."""
    for start in range(offset, len(content), MEGABYTE):
        session.write(file, start, content[start : start + MEGABYTE], None)
