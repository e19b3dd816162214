"""Who may do what to which model, pod and upload: what a role alone does not decide."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tests.fakes.access import DOMAIN, Access, Grant, Way
from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import package
from tests.fakes.registry import begin, call, chunk, failure, promotion, publish, running
from tests.integration.registry.seeded import etag_of, pod, set_policy
from voiceflow.errors import Forbidden, NotFound
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error

ALICE, AMY, BOB = (f"{DOMAIN}/publisher/{name}" for name in ("alice", "amy", "bob"))
PAUL, PIA = f"{DOMAIN}/promoter/paul", f"{DOMAIN}/promoter/pia"
OLGA, VERA = f"{DOMAIN}/operator/olga", f"{DOMAIN}/validator/vera"
BLUE_1, BLUE_2 = f"{DOMAIN}/pod/one", f"{DOMAIN}/pod/two"

GRANTS = [
    # All read, so that what is not theirs could be told them without harm; it still is not.
    Grant(ALICE, ["publisher", "reader", "promoter"], models=["tones", "asr-*"]),
    Grant(AMY, ["publisher", "reader"], models=["tones"]),
    Grant(BOB, ["publisher", "reader"], models=["other"]),
    Grant(f"{DOMAIN}/promoter/*", ["promoter", "reader"]),
    Grant(OLGA, ["operator", "reader"]),
    Grant(VERA, ["validator"]),
    Grant(f"{DOMAIN}/pod/*", ["client", "reader"], pods=["blue-*"]),
]
STABLE = "models/tones/channels/stable"
TONES = package("1.0.0")
V100 = str(TONES.name)


@dataclass(frozen=True)
class Registry:
    """A registry that knows its callers.

    Attributes:
        store: What it keeps.
        of: A caller's connection to it.
    """

    store: MemoryStore
    of: Callable[[str], pb_grpc.ModelRegistryStub]

    def keys(self) -> list[str]:
        """Everything that it keeps, but for its audit."""
        return [info.key for info in self.store.list("") if not info.key.startswith("audit/")]


@pytest.fixture
async def registry(tmp_path: Any) -> AsyncIterator[Registry]:
    """An empty one."""
    store = MemoryStore()
    async with Access(tmp_path, Way.CERTIFICATE, GRANTS) as access:

        def connect(address: str) -> grpc.aio.Channel:
            return access.channel(address, OLGA)

        async with running(store, connect=connect, **access.settings()) as (app, _):
            yield Registry(
                store,
                lambda principal: pb_grpc.ModelRegistryStub(
                    access.channel(app.server.address, principal)
                ),
            )


async def refused(method: Any, request: Any, reason: str, field: str | None = None) -> str:
    """That the caller may not; the message of the refusal."""
    error = await failure(method, request)
    assert isinstance(error, Forbidden), error
    assert (error.reason, error.field) == (reason, field)
    return error.message


async def test_a_publisher_publishes_own_models_alone(registry: Registry) -> None:
    """By id or pattern; a stranger to the model is refused before the first byte is kept."""
    for model in ("other", "asr", "tones-2"):
        what = package("1.0.0", model=model)
        requests = [begin(what, request_id=str(uuid.uuid4())), chunk("model.onnx", 0, b"x")]
        said = await refused(
            registry.of(ALICE).PublishVersion, requests, "ROLE_MISSING", "begin.version"
        )
        assert "tones, asr-*" in said
    assert registry.keys() == []
    for model in ("tones", "asr-de"):
        await publish(registry.of(ALICE), package("1.0.0", model=model))
    read = await call(registry.of(BOB).GetVersion, pb.GetVersionRequest(name=V100))
    assert read.version.publisher == ALICE


async def test_a_publisher_of_another_model_is_refused_without_waiting_for_the_stream_to_end(
    registry: Registry,
) -> None:
    """The first message decides, though the caller says nothing more."""
    stream = registry.of(BOB).PublishVersion(timeout=30.0)
    await stream.write(begin(TONES))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream
    assert from_rpc_error(caught.value).reason == "ROLE_MISSING"


async def test_an_upload_is_its_callers_own(registry: Registry) -> None:
    """Another publisher of the model neither sees it nor goes on with it; it publishes its own."""
    file, content = next(iter(TONES.files.items()))
    cut = [begin(TONES), chunk(file, 0, content[:3])]
    error = await failure(registry.of(ALICE).PublishVersion, cut)
    assert error.reason == "UPLOAD_INCOMPLETE"
    get = pb.GetUploadRequest(name=str(TONES.upload))

    seen = await call(registry.of(ALICE).GetUpload, get)
    assert [one.received_bytes for one in seen.upload.files if one.file == file] == [3]
    unseen = await failure(registry.of(AMY).GetUpload, get)
    assert isinstance(unseen, NotFound)
    assert unseen.reason == "UPLOAD_NOT_FOUND"
    assert ALICE not in unseen.message
    await refused(registry.of(BOB).GetUpload, get, "ROLE_MISSING", "name")
    gap = await failure(
        registry.of(AMY).PublishVersion, [begin(TONES), chunk(file, 3, content[3:])]
    )
    assert gap.reason == "CHUNK_GAP"

    still = await call(registry.of(ALICE).GetUpload, get)
    assert [one.received_bytes for one in still.upload.files if one.file == file] == [3]
    published = await publish(registry.of(AMY), TONES)
    assert published.version.publisher == AMY


async def test_a_request_id_is_its_callers_own(registry: Registry) -> None:
    """Another caller's change under the same id is another request, not an answer to that one."""
    request_id = str(uuid.uuid4())
    await publish(registry.of(ALICE), TONES, request_id=request_id)
    again = await publish(registry.of(AMY), TONES, request_id=request_id)
    assert again.already_published
    yank = pb.YankVersionRequest(name=V100, reason="flickers", request_id=request_id)
    await call(registry.of(OLGA).YankVersion, yank)
    reused = await failure(registry.of(ALICE).YankVersion, yank)
    assert reused.reason == "REQUEST_ID_REUSED"
    validate = pb.ValidateVersionRequest(
        name=V100, gates=[pb.GATE_MANIFEST], request_id=str(uuid.uuid4())
    )
    for caller in (VERA, PAUL):
        progress = await call(registry.of(caller).ValidateVersion, validate)
        assert progress[-1].report.principal == caller


async def test_a_version_is_validated_by_its_publisher_a_validator_or_a_promoter(
    registry: Registry,
) -> None:
    """Publishers of other models may not, though they may validate their own."""
    await publish(registry.of(ALICE), TONES)
    request = pb.ValidateVersionRequest(name=V100, gates=[pb.GATE_MANIFEST])
    said = await refused(registry.of(BOB).ValidateVersion, request, "ROLE_MISSING", "name")
    assert "validator or promoter" in said
    for caller in (ALICE, AMY, VERA, PAUL):
        progress = await call(registry.of(caller).ValidateVersion, request)
        assert progress[-1].report.principal == caller


async def test_a_version_is_yanked_by_its_publisher_or_an_operator(registry: Registry) -> None:
    """A model's publishers may yank each other's versions; those of other models none."""
    request = pb.YankVersionRequest(name=V100, reason="flickers", validate_only=True)
    unseen = await refused(registry.of(BOB).YankVersion, request, "ROLE_MISSING", "name")
    await publish(registry.of(ALICE), TONES)
    seen = await refused(registry.of(BOB).YankVersion, request, "ROLE_MISSING", "name")
    assert seen == unseen  # a stranger does not learn whether there is such a version
    for caller in (ALICE, AMY, OLGA):
        answer = await call(registry.of(caller).YankVersion, request)
        assert answer.version.state == pb.Version.STATE_YANKED


async def test_a_publisher_does_not_promote_its_own_version(registry: Registry) -> None:
    """Though it has the role: somebody else does, as long as the policy says nothing else."""
    await publish(registry.of(ALICE), TONES)
    message = await refused(
        registry.of(ALICE).PromoteVersion,
        promotion(STABLE, V100),
        "PROMOTER_IS_PUBLISHER",
        "rollout.primary.version",
    )
    assert ALICE in message
    promoted = await call(registry.of(PAUL).PromoteVersion, promotion(STABLE, V100))
    assert promoted.promotion.principal == PAUL

    beta = "models/tones/channels/beta"
    await set_policy(registry.of(OLGA), beta, allow_publisher_to_promote=True)
    await call(registry.of(ALICE).PromoteVersion, promotion(beta, V100))


async def test_a_policy_names_its_promoters_by_their_identity(registry: Registry) -> None:
    """One, or all below a path; an operator goes back without being named, and only back."""
    await publish(registry.of(ALICE), TONES)
    await publish(registry.of(ALICE), package("1.1.0"))
    with_two = "models/tones/versions/1.1.0"
    await set_policy(registry.of(OLGA), STABLE, promoters=[PAUL])
    await refused(registry.of(PIA).PromoteVersion, promotion(STABLE, V100), "POLICY_FORBIDS")
    await call(registry.of(PAUL).PromoteVersion, promotion(STABLE, V100))
    await set_policy(registry.of(OLGA), STABLE, promoters=[f"{DOMAIN}/promoter/*"])
    etag = await etag_of(registry.of(PIA), STABLE)
    await call(registry.of(PIA).PromoteVersion, promotion(STABLE, with_two, etag=etag))

    await set_policy(registry.of(OLGA), STABLE, promoters=[PIA])
    etag = await etag_of(registry.of(OLGA), STABLE)
    back = pb.RollbackChannelRequest(channel=STABLE, etag=etag)
    await refused(registry.of(PAUL).RollbackChannel, back, "POLICY_FORBIDS")
    gone_back = await call(registry.of(OLGA).RollbackChannel, back)
    assert gone_back.channel.rollout.primary.version == V100
    etag = gone_back.channel.etag
    await refused(
        registry.of(OLGA).PromoteVersion, promotion(STABLE, with_two, etag=etag), "ROLE_MISSING"
    )


async def test_a_pod_reports_for_itself_alone(registry: Registry) -> None:
    """Within its grant, and not for another pod of the same grant that reports for itself."""

    def report(name: str, number: int) -> pb.ReportServingRequest:
        said = pod(name=f"pods/{name}", channel=STABLE, generations=[])
        return pb.ReportServingRequest(pod=said, report_number=number)

    message = await refused(
        registry.of(BLUE_1).ReportServing, report("green-1", 1), "POD_NOT_CALLER", "pod.name"
    )
    assert "blue-*" in message
    await call(registry.of(BLUE_1).ReportServing, report("blue-1", 1))
    message = await refused(
        registry.of(BLUE_2).ReportServing, report("blue-1", 2), "POD_NOT_CALLER", "pod.name"
    )
    assert BLUE_1 not in message
    await call(registry.of(BLUE_2).ReportServing, report("blue-2", 1))
    await call(registry.of(BLUE_1).ReportServing, report("blue-1", 2))
    listed = await call(registry.of(BLUE_1).ListPods, pb.ListPodsRequest())
    assert [one.name for one in listed.pods] == ["pods/blue-1", "pods/blue-2"]
