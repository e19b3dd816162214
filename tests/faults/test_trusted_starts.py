"""Starts with a trust root, when the registry, the cache or the memory is not what it was."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service import Service, running_service
from tests.fakes.models import write_stream_package
from tests.fakes.publishing import Package
from tests.fakes.simulated_registry import MODEL, Pod, SimulatedRegistry, serving
from tests.fakes.trust import publisher, signed_manifest, trust_roots
from tests.fakes.trust import trust_root as root_version
from voiceflow.client import DiarizationClient
from voiceflow.errors import (
    ContentCorrupt,
    NotAllowedNow,
    PackageInvalid,
    Untrusted,
    VoiceFlowError,
)
from voiceflow.package import MANIFEST_FILE, REQUIRED_FILES, SIGNATURE_FILE, load_package
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot
from voiceflow_inference.app import Origin, build, opened, secure
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.state_file import Remembered, StateFile
from voiceflow_inference.settings import Settings

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def pod(tmp_path: Path) -> Pod:
    """One that serves 1.0.0; its registry is away."""
    registry = SimulatedRegistry()
    registry.promote("1.0.0")
    async with serving(registry) as address:
        pod = Pod(tmp_path / "pod", address)
        assert await pod.start() == "1.0.0"
    pod.address = NOBODY
    return pod


async def test_r38_a_pod_that_holds_a_package_starts_without_the_registry(pod: Pod) -> None:
    """From its cache, verified anew, and without an alarm; also a day later (R39)."""
    for days in range(2):
        pod.now += timedelta(days=days)
        assert await pod.start() == "1.0.0"
        assert pod.alarms.raised == {}


async def test_r38_a_pod_that_holds_nothing_does_not_start_without_the_registry(
    pod: Pod, tmp_path: Path
) -> None:
    """A cache alone is not believed: what it should hold nobody has said."""
    empty = Pod(tmp_path / "empty", NOBODY)
    shutil.copytree(pod.disk / "cache", empty.disk / "cache")
    with pytest.raises(VoiceFlowError) as caught:
        await empty.start()
    assert caught.value.reason == "UNAVAILABLE"


async def test_r38_a_newer_version_that_did_not_arrive_is_not_needed(pod: Pod) -> None:
    """What was trusted since and never fetched does not stand in the way of what is held."""
    registry = SimulatedRegistry()
    registry.promote("1.0.0")
    registry.promote("2.0.0")
    name = f"models/{MODEL}/versions/2.0.0"
    async with serving(registry) as pod.address:
        with registry.attacked(lambda one: one.files.update({(name, "model.onnx"): b""})):
            assert await pod.start() == "1.0.0"
            assert pod.remembers().trusted.sequence == 2
        with registry.attacked(lambda one: one.history.pop()):
            assert await pod.start() == "1.0.0"
            assert pod.alarms.raised["registry"].reason == "SEQUENCE_BEHIND"
    pod.address = NOBODY
    assert await pod.start() == "1.0.0"


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        *(("flipped", name) for name in ("model.onnx", MANIFEST_FILE, SIGNATURE_FILE)),
        *(("short", name) for name in ("model.onnx", "golden.npz")),
        *(("gone", name) for name in ("model.onnx", SIGNATURE_FILE)),
    ],
)
async def test_r37_a_damaged_cache_is_never_loaded(pod: Pod, name: str, harm: str) -> None:
    """Without the registry the pod does not start; with it, what is damaged is fetched anew."""
    (path,) = (pod.disk / "cache").rglob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-5] if harm == "short" else content)
    with pytest.raises(VoiceFlowError):
        await pod.start()
    registry = SimulatedRegistry()
    registry.promote("1.0.0")
    async with serving(registry) as pod.address:
        assert await pod.start() == "1.0.0"


async def test_r37_what_is_no_package_any_more_is_fetched_anew(pod: Pod, tmp_path: Path) -> None:
    """The cache is the pod's own; what a link in it leads to is not."""
    (folder,) = (path.parent for path in (pod.disk / "cache").rglob(MANIFEST_FILE))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letters").write_text("dear")
    registry = SimulatedRegistry()
    registry.promote("1.0.0")
    async with serving(registry) as pod.address:
        for put in (Path.touch, lambda path: path.symlink_to(elsewhere)):
            shutil.rmtree(folder)
            put(folder)
            assert await pod.start() == "1.0.0"
            assert not folder.is_symlink()
    assert (elsewhere / "letters").read_text() == "dear"


async def test_r37_another_version_in_the_place_of_the_pinned_one_is_not_loaded(
    pod: Pod, tmp_path: Path
) -> None:
    """Though it is signed as well: it is not what was promoted."""
    registry = SimulatedRegistry()
    registry.promote("2.0.0")
    async with serving(registry) as address:
        other = Pod(tmp_path / "other", address)
        assert await other.start() == "2.0.0"
    with pod.trusting() as trusted:
        found = await pod.find(trusted)
        check_loads(found)
        put_in_place_of(other, pod)
        with pytest.raises(PackageInvalid) as caught:  # changed since it was found
            check_loads(found)
        assert caught.value.reason == "DIGEST_MISMATCH"
    with pytest.raises(VoiceFlowError):
        await pod.start()


def put_in_place_of(wrong: Pod, right: Pod) -> None:
    """Puts the package of one pod's cache where that of another was."""
    (theirs,), (ours,) = (
        [path.parent for path in (one.disk / "cache").rglob(MANIFEST_FILE)]
        for one in (wrong, right)
    )
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)


def check_loads(found: Found) -> None:
    """Loads what was found."""
    load_package(
        found.folder, manifest_digest=found.manifest_digest, check_manifest=found.check_manifest
    )


async def test_the_alarm_about_a_registry_ends_with_its_cause(pod: Pod) -> None:
    """In one process that asks it again."""
    registry = SimulatedRegistry()
    registry.promote("1.0.0")
    async with serving(registry) as pod.address:
        with pod.trusting() as trusted:
            with registry.attacked(lambda one: one.history.clear()):
                await pod.find(trusted)
                assert pod.alarms.raised["registry"].reason == "CHANNEL_NOT_FOUND"
            await pod.find(trusted)
            assert pod.alarms.raised == {}


async def test_a_damaged_memory_is_an_error_and_not_begun_anew(pod: Pod) -> None:
    """Otherwise damaging it would let an old promotion in."""
    pod.memory.write_bytes(pod.memory.read_bytes()[:-10])
    with pytest.raises(ContentCorrupt) as caught:
        await pod.start()
    assert caught.value.reason == "STATE_CORRUPT"


async def test_the_memory_of_another_channel_is_an_error(pod: Pod) -> None:
    """What it has seen says nothing about this one."""
    trusted = pod.remembers().trusted.model_copy(update={"channel": "models/a/channels/b"})
    with StateFile(pod.memory) as memory:
        memory.write(Remembered(trusted=trusted))
    with pytest.raises(ContentCorrupt, match="models/a/channels/b"):
        await pod.start()


async def test_two_pods_do_not_share_a_memory(pod: Pod) -> None:
    """Each would undo what the other has learnt."""
    with pod.trusting():
        with pytest.raises(NotAllowedNow) as caught:
            await pod.start()
        assert caught.value.reason == "STATE_LOCKED"
    assert await pod.start() == "1.0.0"


# ------------------------------------------------------------------ the service itself


@pytest.fixture
def trust_root(tmp_path: Path) -> Path:
    """The file."""
    path = tmp_path / "trust-root.json"
    write_root(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that runs; unsigned."""
    return write_stream_package(tmp_path / "model", model=MODEL)


async def test_a_service_serves_what_it_can_trust(
    tmp_path: Path, trust_root: Path, model: Path
) -> None:
    """From a registry, and again without it."""
    settings = {"trust_root": trust_root, "model": MODEL, "state_dir": tmp_path / "state"}
    manifest = (model / MANIFEST_FILE).read_bytes()
    files = {file: (model / file).read_bytes() for file in REQUIRED_FILES}
    registry = SimulatedRegistry()
    registry.promote(registry.publish(Package(manifest, files)))
    async with serving(registry) as address:
        for target in (address, NOBODY):
            async with started(
                registry=target, registry_wait_seconds=1, cache_dir=tmp_path / "cache", **settings
            ) as service:
                assert await served(service) == f"models/{MODEL}/versions/1.0.0"


async def test_a_service_does_not_load_an_unsigned_folder(
    tmp_path: Path, trust_root: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a trust root; without one, its log says that signatures are not checked."""
    unchecked = with_settings(model_dir=model)
    checked = with_settings(model_dir=model, trust_root=trust_root, state_dir=tmp_path / "state")
    with pytest.raises(Untrusted, match="must be signed, and is not"):
        await loaded(checked)
    assert "not checked" not in caplog.text
    assert await loaded(unchecked) == f"models/{MODEL}/versions/1.0.0"
    assert "signatures of models and promotions are not checked" in caplog.text
    sign(model)
    assert await loaded(checked) == f"models/{MODEL}/versions/1.0.0"


async def test_a_service_that_has_seen_a_newer_trust_root_does_not_start(
    tmp_path: Path, trust_root: Path, model: Path
) -> None:
    """Whichever way it comes by its model."""
    sign(model)
    settings = with_settings(model_dir=model, trust_root=trust_root, state_dir=tmp_path / "state")
    write_root(trust_root, root_version(version=2))
    assert await loaded(settings)
    write_root(trust_root)
    with pytest.raises(Untrusted) as caught:
        await loaded(settings)
    assert caught.value.reason == "ROOT_BEHIND"


async def test_a_running_service_follows_its_trust_root(
    tmp_path: Path, trust_root: Path, model: Path
) -> None:
    """A key that is revoked in the file is revoked in the service."""
    sign(model)
    settings = with_settings(
        model_dir=model, trust_root=trust_root, state_dir=tmp_path, reload_seconds=0.01
    )
    async with opened(settings) as origin:
        assert await first_served(settings, origin)
        revoked = root_version(version=2, publishers=[publisher(status=KeyStatus.REVOKED)])
        write_root(trust_root, revoked)
        async with asyncio.timeout(30):
            while "manifest" not in origin.alarms.raised:  # noqa: ASYNC110 looked at by turns
                await asyncio.sleep(0.01)
        assert origin.alarms.raised["manifest"].reason == "KEY_REVOKED"


def write_root(path: Path, *later: TrustRoot) -> None:
    """Writes a trust root's file: its first version, and later ones."""
    path.write_bytes(trust_roots(root_version(), *later).to_json())


def sign(package: Path) -> None:
    """Puts the publisher's signature beside a manifest."""
    signature = signed_manifest((package / MANIFEST_FILE).read_bytes())
    (package / SIGNATURE_FILE).write_bytes(signature.content)


def with_settings(**fields: Any) -> Settings:
    """Settings of a service."""
    return Settings(**fields)


async def loaded(settings: Settings) -> str:
    """The version that a service with these settings loads."""
    async with opened(settings) as origin:
        return await first_served(settings, origin)


async def first_served(settings: Settings, origin: Origin) -> str:
    """The version that a service serves first; it is dropped again."""
    app = await build(settings, secure(settings), origin)
    name = app.manager.primary.name
    await app.manager.close()
    return name


@asynccontextmanager
async def started(package: Path | None = None, /, **settings: Any) -> AsyncIterator[Service]:
    """A service as a process, while the registry in this one goes on answering."""
    service = running_service(package, **settings)
    running = await asyncio.to_thread(service.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(service.__exit__, None, None, None)


async def served(service: Service) -> str:
    """The version that it serves."""
    async with DiarizationClient(service.address) as client:
        return (await client.serving_state()).generations[0].model_version
