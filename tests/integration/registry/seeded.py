"""A registry with something of everything in it, for tests of single calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.publishing import ScriptedGates, finding, package
from tests.fakes.registry import call, promotion, publish, running
from voiceflow.catalog.gates import Gate
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc

MODEL = "models/tones"
V100, V110, V120, V130, V140, V200, RC = (
    f"{MODEL}/versions/{version}"
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "2.0.0", "3.0.0-rc.1")
)
OTHER = "models/other/versions/1.0.0"
STABLE, LONELY, CLOSED, STRICT, APART, HELD, NEW = (
    f"{MODEL}/channels/{channel}"
    for channel in ("stable", "lonely", "closed", "strict", "apart", "held", "new")
)
POD = "pods/a"
UUIDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(10)]
"""Request ids: the first was used to yank 1.2.0, the third to publish 1.0.0."""

GENERATION = pb.PodGeneration(
    generation=1,
    version=pb.VersionPin(version=V110),
    state=pb.PodGeneration.STATE_ACTIVE,
    role=pb.ROLE_PRIMARY,
)


def weights(version: str) -> bytes:
    """What stands for the model of a version."""
    return f"weights of {version}".encode()


def pod(**fields: Any) -> pb.Pod:
    """What the pod says of itself."""
    defaults: dict[str, Any] = {
        "name": POD,
        "channel": STABLE,
        "desired_sequence": 2,
        "serving_sequence": 2,
        "start_time": Timestamp(seconds=1_700_000_000),
        "generations": [GENERATION],
    }
    return pb.Pod(**defaults | fields)


def policy(channel: str, **fields: Any) -> pb.UpdateChannelPolicyRequest:
    """A wish to set a channel's policy; the etag is still to be filled in."""
    return pb.UpdateChannelPolicyRequest(
        policy=pb.ChannelPolicy(name=f"{channel}/policy", **fields)
    )


async def set_policy(registry: pb_grpc.ModelRegistryStub, channel: str, **fields: Any) -> None:
    """Sets a channel's policy."""
    present = await call(
        registry.GetChannelPolicy, pb.GetChannelPolicyRequest(name=f"{channel}/policy")
    )
    request = policy(channel, **fields)
    request.etag = present.policy.etag
    await call(registry.UpdateChannelPolicy, request)


@asynccontextmanager
async def seeded(**settings: Any) -> AsyncIterator[pb_grpc.ModelRegistryStub]:
    """Serves it; behaviour fails for every version."""
    gates = ScriptedGates(failing={Gate.BEHAVIOUR: finding("behaviour.not-finite")})
    async with running(gates=gates, **settings) as (_, registry):
        for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "2.0.0", "3.0.0-rc.1"):
            request_id = UUIDS[2] if version == "1.0.0" else ""
            made = package(version, weights=weights(version))
            await publish(registry, made, request_id=request_id)
        await publish(registry, package("1.0.0", model="other"))
        for name, request_id in ((V120, UUIDS[0]), (V130, "")):
            await call(
                registry.YankVersion,
                pb.YankVersionRequest(name=name, reason="flickers", request_id=request_id),
            )
        await call(registry.DeleteVersion, pb.DeleteVersionRequest(name=V130))
        await call(registry.ValidateVersion, pb.ValidateVersionRequest(name=V110))
        for channel, primary in ((STABLE, V100), (STABLE, V110), (LONELY, V100), (HELD, V140)):
            etag = await etag_of(registry, channel) if primary == V110 else ""
            await call(registry.PromoteVersion, promotion(channel, primary, etag=etag))
        await call(registry.YankVersion, pb.YankVersionRequest(name=V140, reason="slow"))
        await set_policy(registry, CLOSED, promoters=["spiffe://example/someone"])
        await set_policy(
            registry,
            STRICT,
            demanded_gates=[pb.GATE_MANIFEST, pb.GATE_BEHAVIOUR],
            allow_publisher_to_promote=True,
        )
        await set_policy(registry, APART)
        await call(registry.ReportServing, pb.ReportServingRequest(pod=pod(), report_number=2))
        yield registry


async def etag_of(registry: pb_grpc.ModelRegistryStub, channel: str) -> str:
    """The channel's etag."""
    response = await call(registry.GetChannel, pb.GetChannelRequest(name=channel))
    etag: str = response.channel.etag
    return etag
