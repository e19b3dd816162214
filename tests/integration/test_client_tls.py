"""Clients of both real services over TLS: who they are, and that they are renewed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.client_identity import (
    BY_CERTIFICATE,
    BY_TOKEN,
    CA,
    FOLDER,
    SOON,
    WRONG_CA,
    asked_registry,
    asked_service,
    principal,
    renew,
    renewable,
    shown,
    tls_server,
    with_token,
)
from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.identity import other_authority, pair, token
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.publishing import package
from tests.fakes.registry import running as registry_running
from tests.fakes.service import pcm16
from tests.fakes.service import running as service_running
from voiceflow.catalog.channels import ChannelCursor, Heartbeat, Promotion
from voiceflow.client import (
    AudioFormat,
    ClientIdentity,
    DiarizationClient,
    Encoding,
    RegistryClient,
    StreamConfig,
    Summary,
)
from voiceflow.errors import Forbidden, InvalidInput, Unauthenticated, Unavailable, Untrusted
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.app import opened
from voiceflow_inference.settings import Settings

CHANNEL = "models/tones/channels/stable"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A small model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("package"))))


def written(folder: Path, version: str) -> Path:
    """A package that passes the gates as they are told here."""
    what = package(version, weights=version.encode())
    folder /= version
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(what.manifest)
    for name, content in what.files.items():
        (folder / name).write_bytes(content)
    return folder


async def publish(address: str, folder: Path, *versions: str) -> None:
    """By the publisher."""
    async with RegistryClient(address, identity=shown("publisher")) as client:
        for version in versions:
            await client.publish(written(folder, version))


# Both services


@pytest.mark.parametrize("way", ["certificate", "token"])
async def test_the_registry_knows_a_client(way: str, tmp_path: Path) -> None:
    """By either; who may not do a thing is told so once, and does not ask again."""

    def identity(who: str) -> ClientIdentity:
        return shown(who) if way == "certificate" else with_token(tmp_path, who)

    settings = BY_CERTIFICATE if way == "certificate" else BY_TOKEN
    async with (
        registry_running(**settings) as (app, _),
        RegistryClient(app.server.address, identity=identity("publisher")) as publisher,
        RegistryClient(app.server.address, identity=identity("reader")) as reader,
    ):
        published = await publisher.publish(written(tmp_path, "1.0.0"))
        assert published.version.publisher == "spiffe://voiceflow.local/publisher/dev"
        assert [one.name async for one in reader.list_models()] == ["models/tones"]
        fetched = await reader.download(published.version.name, tmp_path / "fetched")
        assert (fetched / "manifest.json").exists()
        with pytest.raises(Forbidden) as caught:
            await reader.promote(CHANNEL, published.version.name)
        assert caught.value.reason == "ROLE_MISSING"


@pytest.mark.parametrize("way", ["certificate", "token"])
async def test_the_inference_service_knows_a_client(
    way: str, model: BoundModel, tmp_path: Path
) -> None:
    """Streams, recordings, its state, and its health, which is told to anybody."""

    def identity(who: str) -> ClientIdentity:
        return (
            shown(who) if way == "certificate" else with_token(tmp_path, who, "voiceflow-inference")
        )

    async def audio() -> AsyncIterator[bytes]:
        yield pcm16(tones(Spoken((2,), 1.0)))

    config = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
    settings = BY_CERTIFICATE if way == "certificate" else BY_TOKEN
    async with (
        service_running(model, **settings) as (_, address),
        DiarizationClient(address, identity=identity("client")) as client,
        DiarizationClient(address, identity=identity("operator")) as operator,
    ):
        await client.wait_until_serving(timeout_seconds=30)
        events = [event async for event in client.diarize(audio(), config)]
        assert isinstance(events[-1], Summary)
        assert (await client.diarize_file(audio, config)).summary.complete
        assert (await operator.serving_state()).generations
        with pytest.raises(Forbidden):
            await client.serving_state()


async def test_a_registry_is_found_by_every_kind_of_target() -> None:
    """By name, by address of either family, and through the resolver that gRPC names."""
    for host, dialled in (
        ("127.0.0.1", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"]),
        ("::1", ["[::1]:{}", "dns:///[::1]:{}"]),
    ):
        async with registry_running(host=host, **BY_CERTIFICATE) as (app, _):
            port = app.server.address.rpartition(":")[2]
            for target in dialled:
                identity = shown("reader")
                async with RegistryClient(target.format(port), identity=identity) as client:
                    assert [one async for one in client.list_models()] == []


async def test_an_inference_service_fetches_its_model_as_the_pod_that_it_is(
    tmp_path: Path, model: BoundModel
) -> None:
    """By the files that its settings name; without them it is not known."""
    del model
    stream_package = write_stream_package(tmp_path / "package")
    async with registry_running(**BY_CERTIFICATE, demanded_gates="manifest") as (app, _):
        address = app.server.address
        async with RegistryClient(address, identity=shown("publisher")) as publisher:
            published = await publisher.publish(stream_package)
        async with RegistryClient(address, identity=shown("promoter")) as promoter:
            await promoter.promote(CHANNEL, published.version.name)
        pod = pair("pod")
        common: dict[str, Any] = {
            "registry": address,
            "model": "tones",
            "cache_dir": tmp_path / "cache",
            "state_dir": tmp_path / "state",
            "registry_wait_seconds": 0.1,
        }
        own: dict[str, Any] = {"registry_cert": pod.certificate, "registry_key": pod.key}
        assert await wanted(Settings(**common, **own, registry_ca=CA)) == published.version.name
        with pytest.raises(Unavailable, match="demand a certificate"):
            await wanted(Settings(**common, registry_ca=CA))
        with pytest.raises(Untrusted):
            await wanted(Settings(**common, **own, registry_ca=WRONG_CA))
        far = common | {"registry": "registry.example:50061"}
        with pytest.raises(InvalidInput, match="plain text is meant") as caught:
            await wanted(Settings(**far))
        assert caught.value.reason == "INSECURE_ADDRESS"


async def wanted(settings: Settings) -> str:
    """The version that a service with these settings would serve; it is fetched."""
    async with opened(settings) as origin, aclosing(origin.source.wanted()) as wishes:
        pin = (await anext(wishes)).rollout.primary
        package = load_package((await origin.source.fetch(pin)).folder)
        assert package.manifest.resource_name == pin.version
        return pin.version


# Tokens


async def test_the_token_of_a_file_is_read_again_for_each_call(tmp_path: Path) -> None:
    """What is written there counts at once; what is no token leaves the one before."""
    identity = with_token(tmp_path, "reader")
    path = identity.token_file
    assert path is not None
    reader, audience = principal("reader"), "voiceflow-registry"
    async with (
        registry_running(**BY_TOKEN) as (app, _),
        RegistryClient(app.server.address, identity=identity, retry=SOON) as client,
    ):

        async def models() -> list[Any]:
            return [one async for one in client.list_models()]

        assert await models() == []
        path.write_text(token(reader, audience, age_seconds=3600))
        with pytest.raises(Unauthenticated) as caught:
            await models()
        assert caught.value.reason == "CREDENTIALS_EXPIRED"
        path.write_text(token(reader, "somebody-else"))
        with pytest.raises(Unauthenticated) as caught:
            await models()
        assert caught.value.reason == "CREDENTIALS_INVALID"
        path.write_text(token(reader, audience))
        assert await models() == []
        path.write_text("half a tok")
        assert await models() == []


async def test_a_token_never_travels_in_plain_text(tmp_path: Path) -> None:
    """Nor to a server that cannot prove its name: all that either sees is a TLS hello."""
    identity = with_token(tmp_path, "reader")
    assert identity.token_file is not None
    secret = identity.token_file.read_text()
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        for error in (
            await asked_registry(target, identity),
            await asked_service(target, identity),
        ):
            assert isinstance(error, Unavailable)
    assert heard.startswith(b"\x16\x03")  # a TLS handshake
    assert secret.encode() not in heard
    assert secret.rpartition(".")[2].encode() not in heard


# Renewal


async def test_a_renewed_certificate_is_used_while_what_runs_goes_on(tmp_path: Path) -> None:
    """The same client is somebody else for its next call; its watch tells on, and comes back."""
    own = renewable(tmp_path / "own", pair("reader"))
    identity = ClientIdentity(CA, own.certificate, own.key)
    access = tmp_path / "access.yaml"
    shutil.copy(FOLDER / "access.yaml", access)
    async with registry_running(**BY_CERTIFICATE | {"access": access}) as (app, _):
        await publish(app.server.address, tmp_path, "1.0.0", "1.1.0", "1.2.0")
        async with (
            cutting_proxy(app.server.address) as (proxy, address),
            RegistryClient(address, identity=identity, retry=SOON) as client,
            watching(client) as told,
        ):
            await told.standing.wait()
            with pytest.raises(Forbidden):
                await client.promote(CHANNEL, "models/tones/versions/1.0.0")

            renew(own, pair("promoter"))
            await client.promote(CHANNEL, "models/tones/versions/1.0.0")
            await told.until(1)
            assert proxy.connections == 2, "the watch goes on over the first"

            # From now on a reader is nobody: only the promoter's certificate brings a watch back.
            grants = yaml.safe_load(access.read_text())
            kept = [one for one in grants["grants"] if one["roles"] != ["reader"]]
            kept.append({"principal": principal("promoter"), "roles": ["reader"]})
            access.write_text(yaml.safe_dump(grants | {"grants": kept}))
            for source in app.server.security.sources:
                source.check()
            proxy.cut()
            await client.promote(CHANNEL, "models/tones/versions/1.1.0")
            await told.until(2)
        assert told.sequences == [1, 2]


async def test_a_standing_watch_outlasts_a_registry_that_cannot_prove_its_name(
    tmp_path: Path,
) -> None:
    """To begin with it is an error at once; later somebody will see to it."""
    async with (
        registry_running(**BY_CERTIFICATE) as (app, _),
        tls_server(pair("server", other_authority())) as impostor,
        cutting_proxy(app.server.address) as (proxy, address),
    ):
        await publish(app.server.address, tmp_path, "1.0.0")
        async with (
            RegistryClient(address, identity=shown("reader"), retry=SOON) as client,
            RegistryClient(app.server.address, identity=shown("promoter")) as promoter,
            watching(client) as told,
        ):
            await told.standing.wait()
            proxy.upstream = impostor
            refused = proxy.connections
            proxy.cut()
            async with asyncio.timeout(30):
                while proxy.connections < refused + 2:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
            with pytest.raises(Untrusted):
                await client.get_channel(CHANNEL)
            proxy.upstream = app.server.address
            await promoter.promote(CHANNEL, "models/tones/versions/1.0.0")
            await told.until(1)


class Told:
    """What a watch has told.

    Attributes:
        sequences: Of promotions.
        standing: The registry has answered.
    """

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.standing = asyncio.Event()
        self._news = asyncio.Event()

    def take(self, event: Any) -> None:
        """The next event."""
        if isinstance(event, Promotion):
            self.sequences.append(event.sequence)
        if isinstance(event, Promotion | Heartbeat):
            self.standing.set()
            self._news.set()

    async def until(self, sequence: int) -> None:
        """Waits for a promotion."""
        async with asyncio.timeout(30):
            while self.sequences[-1:] != [sequence]:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watching(client: RegistryClient) -> AsyncIterator[Told]:
    """Follows the channel."""
    told = Told()

    async def follow() -> None:
        async with aclosing(client.watch([ChannelCursor(channel=CHANNEL)])) as events:
            async for event in events:
                told.take(event)

    task = asyncio.create_task(follow())
    try:
        yield told
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
