"""What the accounts of the bucket may do is what the registry does, no less and no more."""

from __future__ import annotations

import ast
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.gcp_project import BUCKET, Project, may
from tests.deploy.queries import ROOT
from tests.fakes import gcs
from tests.fakes.gcs_bucket import Bucket
from tests.fakes.publishing import package
from tests.fakes.registry import call, publish, running
from tests.integration.registry.seeded import STABLE, V100, V110, V120, etag_of, pod, seeded
from tests.integration.registry.test_pods import now
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow_registry import collect
from voiceflow_registry.channels import promoting
from voiceflow_registry.records import CondemnedObject, CondemnedRecord, condemned_key, encode
from voiceflow_registry.storage.gcs import GcsStore
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
    create_once,
)

REGISTRY: Final = "voiceflow-registry"
COLLECTION: Final = "voiceflow-collection"
PREFIX: Final = "registry"
KEPT: Final = {
    "audit",
    "deletions",
    "history",
    "policies",
    "requests",
    "reverts",
    "versions",
    "yanks",
}
"""What docs/security.md says that nobody may replace or delete."""
EVERYTHING: Final = "all"
CODE: Final = ROOT / "services/registry/voiceflow_registry"

SITES: Final = {
    ("channels/holds.py", "_release", "delete"): {"holds"},
    ("channels/promoting.py", "_leave_hint", "put"): {"channels"},
    ("files/condemned.py", "decide", "put"): {"condemned"},
    ("files/condemned.py", "finish", "delete"): {
        "blobs", "condemned", "holds", "pods", "reports", "uploads",
    },
    ("files/condemned.py", "_break", "delete"): {"condemned"},
    ("files/uploads.py", "begin", "put"): {"uploads"},
    ("files/uploads.py", "_remove", "delete"): {"uploads"},
    ("pods/pods.py", "_replace", "put"): {"pods"},
    ("publishing/committing.py", "secure", "delete"): {"blobs", "reports"},
}  # fmt: skip
"""Every place that deletes or replaces objects, and of which kinds. Who adds one grants it, too, in
deploy/gcp/grants.txt, or does without."""


GARBAGE: Final = [
    f"blobs/sha256/{'0' * 64}",
    f"holds/tones/1.0.0/stable/{1:020}-0",
    f"reports/{'0' * 64}/0.json",
    f"uploads/{'0' * 64}/tones/9.0.0/0/0/{0:020}",
]
"""What nothing refers to."""


def grants() -> dict[tuple[str, str], set[str]]:
    """Kinds by account and operation, as they are written."""
    lines = (ROOT / "deploy/gcp/grants.txt").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {(account, operation): set(kinds) for account, operation, *kinds in rows}


def modules() -> Iterator[Path]:
    """What stands on the store, and not the store itself."""
    return (path for path in CODE.rglob("*.py") if path.parent.name != "storage")


def sites() -> Iterator[tuple[str, str, str]]:
    """Module, function and method of each call of a store that deletes or may replace."""
    for path in modules():
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                stated = {one.arg: ast.unparse(one.value) for one in node.keywords}
                if (
                    node.func.attr in {"put", "delete"}
                    and stated.get("if_generation", "ABSENT") != "ABSENT"
                ):
                    yield str(path.relative_to(CODE)), function.name, node.func.attr


class Guarded:
    """A bucket that asks, of each request, whether the account may.

    Args:
        project: As `identities.sh` has left it.
        bucket: Of the stand-in for Cloud Storage.
    """

    def __init__(self, project: Project, bucket: Bucket) -> None:
        self._state = project.state
        self._bucket = bucket
        self.account = REGISTRY
        self.used: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.refused: set[tuple[str, str, str]] = set()
        bucket.may = self._may

    def _may(self, permission: str, name: str) -> bool:
        allowed = may(self._state, self.account, permission, name)
        kind = name.split("/")[1] if name else ""
        if allowed:
            self.used[self.account, permission].add(kind)
        else:
            self.refused.add((self.account, permission, kind))
        return allowed

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What is done within is done by an owner."""
        self._bucket.may = lambda _permission, _name: True
        yield
        self._bucket.may = self._may


def condemn(store: ObjectStore, *, decided: bool) -> None:
    """Leaves behind what a collection that died was about to remove: all blobs and reports."""
    objects = tuple(
        CondemnedObject(
            key=info.key,
            generation=info.generation,
            size_bytes=info.size_bytes,
            create_time=info.create_time,
        )
        for prefix in ("blobs/", "reports/")
        for info in store.list(prefix)
    )
    key = condemned_key(f"left-{decided}")
    store.put(key, encode(CondemnedRecord(decided=decided, objects=objects)), if_generation=ABSENT)


def reverted() -> pb.ReportServingRequest:
    """A pod that has left a version."""
    revert = pb.Revert(
        name=f"{STABLE}/reverts/{uuid.uuid4()}",
        pod="pods/b",
        sequence=2,
        from_version=pb.VersionPin(version=V110),
        to_version=pb.VersionPin(version=V100),
        role=pb.ROLE_PRIMARY,
        cause=pb.Revert.CAUSE_NON_FINITE,
        revert_time=now(),
    )
    return pb.ReportServingRequest(
        pod=pod(name="pods/b", start_time=now()), report_number=1, reverts=[revert]
    )


async def test_each_account_can_do_its_work_and_uses_all_that_it_may_do(
    settled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a bucket that refuses what the conditions of IAM do not allow."""
    # So that a channel's hint is replaced by its third promotion, and not by a much later one.
    monkeypatch.setattr(promoting, "_HINT_EVERY", 2)
    monkeypatch.setattr(collect, "_POD_IS_LONG_GONE_AFTER", timedelta(0))
    with gcs.serving() as server:
        bucket = server.add_bucket(BUCKET)
        guarded = Guarded(settled, bucket)
        store = GcsStore(BUCKET, prefix=PREFIX, endpoint=server.endpoint, retry_seconds=1.0)
        async with seeded(store=store) as registry:
            again = await publish(registry, package("1.1.0", weights=b"weights of 1.1.0"))
            assert again.already_published
            etag = await etag_of(registry, STABLE)
            request = pb.RollbackChannelRequest(channel=STABLE, etag=etag)
            await call(registry.RollbackChannel, request)
            await call(registry.DeleteVersion, pb.DeleteVersionRequest(name=V120))
            for report in (reverted(), pb.ReportServingRequest(pod=pod(), report_number=3)):
                await call(registry.ReportServing, report)
            for decided in (False, True):
                with guarded.unseen():
                    condemn(store, decided=decided)
                made = package(f"1.5.{int(decided)}", weights=b"weights of 1.2.0")
                await publish(registry, made)
        assert guarded.refused <= {
            # What exists cannot be created, and is then read: an account without `delete` may be
            # told of that by 403.
            (REGISTRY, "delete", kind)
            for kind in KEPT
        }
        guarded.refused.clear()
        with guarded.unseen():
            for key in GARBAGE:
                store.put(key, b"{}", if_generation=ABSENT)
        guarded.account = COLLECTION
        async with running(store, collection_grace_seconds=1e-6, upload_expire_seconds=1e-6) as (
            _,
            registry,
        ):
            removed = await call(registry.CollectGarbage, pb.CollectGarbageRequest())
            assert removed.objects
        assert not guarded.refused
        store.close()

    for held, kinds in grants().items():
        if EVERYTHING not in kinds:
            assert guarded.used[held] == kinds, held


def test_every_place_that_deletes_or_replaces_is_known_and_granted() -> None:
    """A new one is told here, and granted, before it can be merged."""
    assert set(sites()) == set(SITES)
    collecting = {
        ("files/condemned.py", "finish", "delete"),
        ("files/condemned.py", "decide", "put"),
    }
    granted = grants()
    for account, places in ((COLLECTION, collecting), (REGISTRY, set(SITES) - collecting)):
        assert granted[account, "delete"] == {kind for place in places for kind in SITES[place]}


def test_every_kind_of_object_is_one_that_is_granted() -> None:
    """Kinds stand in the code as the first part of a key."""
    texts = [path.read_text() for path in modules()]
    named = {kind for text in texts for kind in re.findall(r'f?"([a-z]+)/', text)}
    granted = set().union(*grants().values()) - {EVERYTHING}
    assert named - {"application", "models", "validations", "var"} == granted


def test_nobody_may_delete_what_is_kept() -> None:
    """Who may not delete an object may not replace it either."""
    deleted = set().union(*(kinds for (_, what), kinds in grants().items() if what == "delete"))
    created = set().union(*(kinds for (_, what), kinds in grants().items() if what == "create"))
    assert created - deleted == KEPT
    page = (ROOT / "docs" / "security.md").read_text()
    for kind in KEPT:
        assert f"`{kind}/`" in page, kind


def test_what_exists_is_told_even_if_the_account_may_not_delete() -> None:
    """Creating it says that it is there, in one request as in many; replacing it is refused."""
    with gcs.serving() as server:
        bucket = server.add_bucket(BUCKET)
        store = GcsStore(BUCKET, endpoint=server.endpoint, retry_seconds=1.0)
        generation = store.put("versions/a", b"1", if_generation=ABSENT)
        bucket.may = lambda permission, _name: permission != "delete"
        with pytest.raises(PreconditionFailed):
            store.put("versions/a", b"2", if_generation=ABSENT)
        with pytest.raises(PreconditionFailed):
            store.put_stream("versions/a", [b"2"], size_bytes=1)
        assert create_once(store, "versions/a", b"2") == b"1"
        with pytest.raises(StoreUnavailable):
            store.put("versions/a", b"2", if_generation=generation)
        with pytest.raises(StoreUnavailable):
            store.delete("versions/a", if_generation=generation)
        bucket.may = lambda permission, _name: permission in {"get", "list"}
        with pytest.raises(StoreUnavailable):
            store.put("versions/b", b"2", if_generation=ABSENT)
        assert store.get("versions/a").content == b"1"
        store.close()
