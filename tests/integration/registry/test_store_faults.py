"""When the store is away or broken: told as such on every method, and over when it is back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import package
from tests.fakes.registry import call, failure, promotion, publish, running, whole
from tests.integration.registry.seeded import MODEL, NEW, POD, STABLE, V100, pod
from tests.integration.registry.test_watching import watch
from voiceflow.catalog.names import VersionName
from voiceflow.errors import ContentCorrupt, Unavailable
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow_registry.records import version_key
from voiceflow_registry.storage.object_store import ObjectMissing, StoreUnavailable


class Away:
    """A store that is there, until it is not.

    Args:
        store: What it is when it is there.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return getattr(self._store, name)


CALLS: dict[str, Any] = {
    "PublishVersion": whole(package("1.1.0")),
    "GetUpload": pb.GetUploadRequest(name=f"{V100}/uploads/{'0' * 64}"),
    "ValidateVersion": pb.ValidateVersionRequest(name=V100),
    "GetValidation": pb.GetValidationRequest(name=f"{V100}/validations/1"),
    "ListValidations": pb.ListValidationsRequest(parent=V100),
    "GetModel": pb.GetModelRequest(name=MODEL),
    "ListModels": pb.ListModelsRequest(),
    "GetVersion": pb.GetVersionRequest(name=V100),
    "ListVersions": pb.ListVersionsRequest(parent=MODEL),
    "DownloadVersion": pb.DownloadVersionRequest(name=V100, file="model.onnx"),
    "DiffVersions": pb.DiffVersionsRequest(target=V100),
    "YankVersion": pb.YankVersionRequest(name=V100, reason="x"),
    "DeleteVersion": pb.DeleteVersionRequest(name=V100),
    "GetChannel": pb.GetChannelRequest(name=STABLE),
    "ListChannels": pb.ListChannelsRequest(parent=MODEL),
    "PromoteVersion": promotion(NEW, V100),
    "RollbackChannel": pb.RollbackChannelRequest(channel=STABLE, etag="x"),
    "ListChannelHistory": pb.ListChannelHistoryRequest(parent=STABLE),
    "WatchChannels": pb.WatchChannelsRequest(channels=[pb.ChannelCursor(channel=STABLE)]),
    "GetChannelPolicy": pb.GetChannelPolicyRequest(name=f"{STABLE}/policy"),
    "UpdateChannelPolicy": pb.UpdateChannelPolicyRequest(
        policy=pb.ChannelPolicy(name=f"{STABLE}/policy"), etag="x"
    ),
    "ReportServing": pb.ReportServingRequest(pod=pod(), report_number=1),
    "GetPod": pb.GetPodRequest(name=POD),
    "ListPods": pb.ListPodsRequest(),
    "ListReverts": pb.ListRevertsRequest(parent=STABLE),
    "CompareOutcomes": pb.CompareOutcomesRequest(
        channel=STABLE, base=V100, target=f"{MODEL}/versions/1.1.0"
    ),
    "CollectGarbage": pb.CollectGarbageRequest(),
    "ListAuditEntries": pb.ListAuditEntriesRequest(),
}

RECORDED = {
    "PublishVersion", "ValidateVersion", "YankVersion", "DeleteVersion", "PromoteVersion",
    "RollbackChannel", "UpdateChannelPolicy", "CollectGarbage",
}  # fmt: skip
"""These say first, in the audit, what they are about to do."""


def test_every_method_is_called() -> None:
    """All of the service."""
    assert set(CALLS) == set(pb.DESCRIPTOR.services_by_name["ModelRegistry"].methods_by_name)


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    """R25, R35: UNAVAILABLE with RetryInfo from every method, and nothing of the store's text."""
    store = Away(MemoryStore())
    async with running(store, store_retry_after_seconds=3.0) as (_, registry):
        await publish(registry, package())
        store.error = StoreUnavailable("bucket secret-name is gone")
        for method, request in CALLS.items():
            error = await failure(getattr(registry, method), request)
            assert isinstance(error, Unavailable), (method, error)
            reason = "AUDIT_UNAVAILABLE" if method in RECORDED else "STORAGE_UNAVAILABLE"
            assert (error.reason, error.retry_after_seconds) == (reason, 3.0), method
            assert "secret" not in error.message
        store.error = None
        assert (await publish(registry, package("1.1.0"))).report.passed


async def test_a_watch_outlives_a_store_that_is_away() -> None:
    """Promotions come when the store is back; none is missed."""
    store = Away(MemoryStore())
    async with running(store) as (_, registry):
        await publish(registry, package())
        events = aiter(watch(registry))
        assert (await anext(events)).HasField("policy")
        store.error = StoreUnavailable("away")
        assert isinstance(
            await failure(registry.GetChannel, pb.GetChannelRequest(name=STABLE)), Unavailable
        )
        store.error = None
        await call(registry.PromoteVersion, promotion(STABLE, V100))
        async for event in events:
            if event.HasField("promotion"):
                assert event.promotion.sequence == 1
                break


async def test_what_crashes_is_internal_and_tells_nothing() -> None:
    """A defect is INTERNAL without its text, and the registry goes on."""
    store = Away(MemoryStore())
    async with running(store) as (_, registry):
        store.error = RuntimeError("secret")
        error = await failure(registry.ListModels, pb.ListModelsRequest())
        assert error.reason == "INTERNAL"
        assert "secret" not in error.message
        store.error = None
        await call(registry.ListModels, pb.ListModelsRequest())


@pytest.mark.parametrize("fault", ["flipped", "emptied", "missing"])
async def test_records_that_are_not_as_they_were_stored_are_data_loss(fault: str) -> None:
    """R27: a flipped bit, nothing at all, or an object that a record counts on and that is gone."""
    store = MemoryStore()
    key = version_key(VersionName.parse(V100))
    async with running(store) as (_, registry):
        await publish(registry, package())
        if fault == "missing":
            broken = Away(store)
            async with running(broken) as (_, other):
                broken.error = ObjectMissing("it was there")
                error = await failure(other.ListModels, pb.ListModelsRequest())
                assert isinstance(error, ContentCorrupt)
            return
        stored = store.get(key)
        at = stored.content.index(b"publish_time")
        flipped = bytearray(stored.content)
        flipped[at] ^= 1
        content = bytes(flipped) if fault == "flipped" else b""
        store.put(key, content, if_generation=stored.generation)
        error = await failure(registry.GetVersion, pb.GetVersionRequest(name=V100))
        assert isinstance(error, ContentCorrupt)
        assert error.reason == "CONTENT_CORRUPT"
