"""Channels on a store, with versions that are simply there: for tests of what promotes them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

from voiceflow.catalog.channels import Canary, ChannelPolicy, Rollout, Shadow, VersionPin
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.identity.caller import Caller
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.records import Request, VersionRecord, encode, version_key
from voiceflow_registry.storage.object_store import ABSENT, ObjectStore
from voiceflow_registry.versions.versions import Versions

ALICE = Caller("spiffe://voiceflow/publisher/alice")
BOB = Caller("spiffe://voiceflow/promoter/bob")
STABLE = ChannelName("diarizer", "stable")
BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN_POLICY = ChannelPolicy(name="")


class Clock:
    """Goes on by a second whenever it is asked, and where it is set."""

    def __init__(self) -> None:
        self.now = BEGINNING

    def __call__(self) -> datetime:
        """The time."""
        self.now += timedelta(seconds=1)
        return self.now


class Passed:
    """Stands in for validations: what each version has passed is said."""

    def __init__(self) -> None:
        self.gates: dict[str, set[Gate]] = {}

    def passed(
        self, record: VersionRecord, *, policy: ChannelPolicy, channel: ChannelName
    ) -> set[Gate]:
        """The gates that were said, for every channel."""
        del policy, channel
        return self.gates.get(record.name, set())


def version_name(version: str) -> VersionName:
    """`1.0.0` of the one model."""
    return VersionName.parse(f"models/diarizer/versions/{version}")


def publish(store: ObjectStore, version: str, *, publisher: Caller = ALICE) -> VersionRecord:
    """Puts a version's record where publishing would."""
    manifest = {
        "schema_version": 1,
        "model": "diarizer",
        "version": version,
        "contract": "diarization-stream/1.0",
        "sample_rate_hertz": 16000,
        "frame_samples": 640,
        "hop_samples": {"density": 7680},
        "tracks": 2,
        "embedding_dim": 16,
        "look_ahead_frames": 1,
        "context_seconds": 1.0,
        "embedding_space": "test-1",
        "operating_point": {
            "speech_threshold": 0.5,
            "activity_threshold": 0.5,
            "overlap_threshold": 0.5,
            "new_speaker_threshold": 0.5,
            "same_speaker_threshold": 0.5,
            "minimum_turn_seconds": 0.2,
            "minimum_pause_seconds": 0.2,
            "smoothing_seconds": 0.2,
        },
        "licence": "CC0-1.0",
        "files": {},
    }
    name = version_name(version)
    record = VersionRecord(
        name=str(name),
        manifest=json.dumps(manifest).encode(),
        files=(),
        inputs=(),
        outputs=(),
        report=f"{name}/validations/0",
        request=Request(principal=publisher.principal),
        publish_time=BEGINNING,
    )
    store.put(version_key(name), encode(record), if_generation=ABSENT)
    return record


def replica(
    store: ObjectStore,
    *,
    clock: Clock | None = None,
    passed: Passed | None = None,
    policy: ChannelPolicy = OPEN_POLICY,
) -> Channels:
    """The channels as one process of the registry has them."""
    clock = clock or Clock()
    return Channels(store, Versions(store, clock), passed or Passed(), clock, policy)


def rollout(
    primary: str,
    *,
    canary: str | None = None,
    percentage: float = 10.0,
    shadow: str | None = None,
    shadow_percentage: float = 100.0,
) -> Rollout:
    """A rollout by versions, without digests."""
    return Rollout(
        primary=_pin(primary),
        canary=Canary(pin=_pin(canary), percentage=percentage) if canary else None,
        shadow=Shadow(pin=_pin(shadow), percentage=shadow_percentage) if shadow else None,
    )


def request_id() -> str:
    """A fresh one."""
    return str(uuid.uuid4())


def _pin(version: str) -> VersionPin:
    return VersionPin(version=str(version_name(version)))
