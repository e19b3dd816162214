"""A registry with a trust root, and callers who sign what they send it, or do not."""

from __future__ import annotations

import copy
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes import trust
from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import Package, package
from tests.fakes.registry import begin, call, eventually, failure, promotion, publish, running
from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.values import Signature
from voiceflow.errors import VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.registry import signature_to_wire
from voiceflow.rpc.status import from_rpc_error
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot
from voiceflow_registry.app import App

STABLE = "models/tones/channels/stable"
ONE, TWO, THREE = (package(version) for version in ("1.0.0", "1.1.0", "1.2.0"))
V100, V110, V120 = (str(one.name) for one in (ONE, TWO, THREE))


def root(version: int = 1, **statuses: KeyStatus) -> TrustRoot:
    """Keys for every role; a status replaces `active`."""
    tones = ["models/tones/channels/stable"]
    promote, rollback = [PromotionKind.PROMOTE], [PromotionKind.ROLLBACK]

    def status(name: str) -> KeyStatus:
        return statuses.get(name, KeyStatus.ACTIVE)

    return trust.trust_root(
        version=version,
        publishers=[
            trust.publisher("publisher", models=["tones"], status=status("publisher")),
            trust.publisher("newcomer", models=["tones"], status=status("newcomer")),
            trust.publisher("stranger", models=["asr-*"]),
            trust.publisher("retired", models=["tones"], status=KeyStatus.RETIRED),
            trust.publisher("revoked", models=["tones"], status=KeyStatus.REVOKED),
        ],
        promoters=[
            trust.promoter("promoter", channels=tones, status=status("promoter")),
            trust.promoter("elsewhere", channels=["models/tones/channels/blue"]),
            trust.promoter("forward", channels=tones, kinds=promote),
            trust.promoter("backward", channels=tones, kinds=rollback),
            trust.promoter("retired-promoter", channels=tones, status=KeyStatus.RETIRED),
            trust.promoter("revoked-promoter", channels=tones, status=KeyStatus.REVOKED),
            trust.registry(),
        ],
    )


@dataclass(frozen=True)
class Place:
    """A registry with a trust root.

    Attributes:
        registry: A connection to it.
        store: What it keeps.
        trust_root: The file.
        app: The registry itself.
    """

    registry: pb_grpc.ModelRegistryStub
    store: MemoryStore
    trust_root: Path
    app: App

    def replace_root(self, *versions: TrustRoot) -> None:
        """Puts another trust root in place, as an operator does."""
        self.trust_root.write_bytes(trust.trust_roots(*versions).to_json())

    def kept(self) -> set[str]:
        """The kinds of what is kept, besides the audit."""
        keys = (info.key for info in self.store.list(""))
        return {key.partition("/")[0] for key in keys} - {"audit"}

    async def refuses_roots(self, number: int) -> None:
        """Waits until so many contents of the file were not taken."""
        (source,) = (one for one in self.app.server.security.sources if one.what == "trust_root")

        async def look() -> bool:
            return source.failures == number

        await eventually(look)


@asynccontextmanager
async def place(folder: Path, **settings: Any) -> AsyncIterator[Place]:
    """Serves an empty store."""
    trust_root, store = folder / "trust-root.json", MemoryStore()
    trust_root.write_bytes(trust.trust_roots(root()).to_json())
    settings = {"reload_seconds": 0.02, "trust_root": trust_root, **settings}
    async with running(store, **settings) as (app, registry):
        yield Place(registry, store, trust_root, app)


def signed(what: Package, signer: str = "publisher") -> pb.SignatureBundle | None:
    """A signature over a package's manifest."""
    return signature_to_wire(trust.signed_manifest(what.manifest, signer))


async def published(
    registry: pb_grpc.ModelRegistryStub, what: Package, signer: str = "publisher"
) -> pb.PublishVersionResponse:
    """Publishes a package with its publisher's signature."""
    return await publish(registry, what, signature=signed(what, signer))


async def newest(registry: pb_grpc.ModelRegistryStub) -> pb.Promotion | None:
    """The newest promotion of stable."""
    try:
        response = await call(
            registry.ListChannelHistory, pb.ListChannelHistoryRequest(parent=STABLE, page_size=1)
        )
    except grpc.aio.AioRpcError:
        return None
    found: pb.Promotion = response.promotions[0]
    return found


Request = pb.PromoteVersionRequest | pb.RollbackChannelRequest


async def wish(registry: pb_grpc.ModelRegistryStub, version: str, **fields: Any) -> Request:
    """A wish to promote a version to stable as it is now, unsigned."""
    before = await newest(registry)
    return promotion(STABLE, version, **{"etag": before.etag if before else ""} | fields)


async def rollback_wish(registry: pb_grpc.ModelRegistryStub, **fields: Any) -> Request:
    """A wish to roll stable back as it is now, unsigned."""
    before = await newest(registry)
    assert before is not None
    return pb.RollbackChannelRequest(channel=STABLE, **{"etag": before.etag} | fields)


def method(registry: pb_grpc.ModelRegistryStub, request: Request) -> Any:
    """The method of a request."""
    promotes = isinstance(request, pb.PromoteVersionRequest)
    return registry.PromoteVersion if promotes else registry.RollbackChannel


async def statement_of(registry: pb_grpc.ModelRegistryStub, request: Request) -> bytes:
    """What is to be signed."""
    looked_at = copy.deepcopy(request)
    looked_at.validate_only = True
    response = await call(method(registry, request), looked_at)
    statement: bytes = response.promotion.statement
    return statement


async def promoted(
    registry: pb_grpc.ModelRegistryStub, version: str, signer: str = "promoter", **fields: Any
) -> pb.Promotion:
    """Promotes a version with its promoter's signature."""
    request = await wish(registry, version, **fields)
    return await done(registry, request, signer)


async def done(
    registry: pb_grpc.ModelRegistryStub, request: Request, signer: str = "promoter"
) -> pb.Promotion:
    """Carries a wish out with a signature."""
    statement = await statement_of(registry, request)
    signature = signature_to_wire(trust.signed_statement(statement, signer))
    assert signature is not None
    sent = copy.deepcopy(request)
    sent.signature.CopyFrom(signature)
    response = await call(method(registry, sent), sent)
    made: pb.Promotion = response.promotion
    return made


async def refusal(
    registry: pb_grpc.ModelRegistryStub, request: Request, signature: Signature | None
) -> VoiceFlowError:
    """The error of a wish with a signature."""
    sent, bundle = copy.deepcopy(request), signature_to_wire(signature)
    if bundle is not None:
        sent.signature.CopyFrom(bundle)
    return await failure(method(registry, sent), sent)


def told(error: VoiceFlowError) -> tuple[str, str | None]:
    """What an error says to programs."""
    return error.reason, error.field


async def fleet_reverts(where: Place) -> None:
    """Every pod of a fleet reverts what stable serves; the policy lets that roll it back."""
    policy = pb.ChannelPolicy(
        name=f"{STABLE}/policy",
        fleet_rollback=pb.FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50),
    )
    before = await newest(where.registry)
    assert before is not None
    present = await call(
        where.registry.GetChannelPolicy, pb.GetChannelPolicyRequest(name=policy.name)
    )
    await call(
        where.registry.UpdateChannelPolicy,
        pb.UpdateChannelPolicyRequest(policy=policy, etag=present.policy.etag),
    )
    for name in ("pods/a", "pods/b"):
        revert = pb.Revert(
            name=f"{STABLE}/reverts/{uuid.uuid4()}",
            pod=name,
            sequence=before.sequence,
            from_version=before.rollout.primary,
            role=pb.ROLE_PRIMARY,
            cause=pb.Revert.CAUSE_NON_FINITE,
            revert_time=now(),
        )
        said = pb.Pod(
            name=name,
            channel=STABLE,
            desired_sequence=before.sequence,
            serving_sequence=before.sequence,
            start_time=now(),
            generations=[
                pb.PodGeneration(
                    generation=1,
                    version=before.rollout.primary,
                    state=pb.PodGeneration.STATE_ACTIVE,
                    role=pb.ROLE_PRIMARY,
                )
            ],
        )
        request = pb.ReportServingRequest(pod=said, report_number=1, reverts=[revert])
        await call(where.registry.ReportServing, request)


def key_file(folder: Path, name: str) -> Path:
    """A key as a file."""
    path = folder / f"{name}.pem"
    trust.key(name).write(path)
    return path


async def refused_by_now(where: Place, what: Package, reason: str) -> None:
    """Waits until the publisher's signature is refused: the registry has read the new file."""

    async def look() -> bool:
        request = begin(what, signature=signed(what), validate_only=True)
        try:
            await call(where.registry.PublishVersion, [request])
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error).reason == reason
        return False

    await eventually(look)


async def taken(where: Place, what: Package, signer: str) -> bool:
    """Tries to publish a package with somebody's signature."""
    try:
        await published(where.registry, what, signer)
    except grpc.aio.AioRpcError:
        return False
    return True


def now() -> Timestamp:
    """The time."""
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp
