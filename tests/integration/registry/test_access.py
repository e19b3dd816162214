"""Every method of every service of both real servers, against every kind of caller.

Who may call what is written out here once more, beside the table that the servers apply and the
words of the protos, so that none of the three changes alone.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha import reflection_pb2_grpc as reflection_grpc

from tests.fakes import registry, service
from tests.fakes.access import DOMAIN, Access, Grant, Way
from tests.fakes.models import write_window_package
from voiceflow.identity.caller import CallerRole
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.rpc.access import ACCESS
from voiceflow.rpc.status import from_rpc_error

ANYBODY: Final = "anybody"
ANY_ROLE: Final = "any role"

ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "grpc.health.v1.Health": {
        "Check": ANYBODY,
        "List": ANYBODY,
        "Watch": ANYBODY,
    },
    "grpc.reflection.v1alpha.ServerReflection": {
        "ServerReflectionInfo": ANY_ROLE,
    },
    "voiceflow.diarization.v1.Diarization": {
        "Diarize": "client",
        "DiarizeFile": "client",
        "GetServingState": "operator",
        "SetDraining": "operator",
    },
    "voiceflow.registry.v1.ModelRegistry": {
        "PublishVersion": "publisher",
        "GetUpload": "publisher",
        "ValidateVersion": "publisher validator promoter",
        "GetValidation": "reader",
        "ListValidations": "reader",
        "GetModel": "reader",
        "ListModels": "reader",
        "GetVersion": "reader",
        "ListVersions": "reader",
        "DownloadVersion": "reader",
        "DiffVersions": "reader",
        "YankVersion": "publisher operator",
        "DeleteVersion": "operator",
        "GetChannel": "reader",
        "ListChannels": "reader",
        "PromoteVersion": "promoter",
        "RollbackChannel": "promoter operator",
        "ListChannelHistory": "reader",
        "WatchChannels": "reader",
        "GetChannelPolicy": "reader",
        "UpdateChannelPolicy": "operator",
        "ReportServing": "client",
        "GetPod": "reader",
        "ListPods": "reader",
        "ListReverts": "reader",
        "CompareOutcomes": "reader",
        "CollectGarbage": "collector",
        "ListAuditEntries": "operator",
    },
}
METHODS: Final = {
    f"/{name}/{method}": who for name, methods in ROWS.items() for method, who in methods.items()
}
ROLES: Final = [
    "client",
    "reader",
    "publisher",
    "promoter",
    "operator",
    "collector",
    "validator",
]
STRANGER: Final = "stranger"
"""Proves who it is, and was granted nothing."""
NOBODY: Final = "nobody"
"""Proves nothing."""

PROTOS: Final = Path(__file__).parents[3] / "protos"


class Fate(Enum):
    """What becomes of a call."""

    LET_IN = "let in"
    NOT_KNOWN = "CREDENTIALS_MISSING"
    NOT_GRANTED = "ROLE_MISSING"
    NO_CONNECTION = "turned away by the transport"


def fate_of(who: str, caller: str, way: Way) -> Fate:
    """What has to become of a caller's call to a method of a row."""
    if way is Way.CERTIFICATE and caller == NOBODY:
        return Fate.NO_CONNECTION
    if way is Way.DEVELOPMENT or who == ANYBODY:
        return Fate.LET_IN
    if caller == NOBODY:
        return Fate.NOT_KNOWN
    if caller == STRANGER:
        return Fate.NOT_GRANTED
    return Fate.LET_IN if who == ANY_ROLE or caller in who.split() else Fate.NOT_GRANTED


@dataclass(frozen=True)
class Servers:
    """Both servers, and how callers prove who they are.

    Attributes:
        addresses: Of each server.
        access: Makes connections.
    """

    addresses: Mapping[str, str]
    access: Access

    async def fate(self, server: str, method: str, caller: str) -> Fate:
        """What becomes of a call with one empty message, whatever kind of method it is."""
        channel, metadata = self.connection(server, caller)
        try:
            # To a server all four kinds look alike. Not as a stream of requests: the client puts
            # INTERNAL in the place of a status that arrives while it writes (grpc/grpc#36066).
            begin: Any = channel.unary_stream(method)
            call = begin(b"", metadata=metadata, timeout=30.0)
            await call.read()
            call.cancel()
        except grpc.aio.AioRpcError as error:
            return _fate_of_error(error)
        return Fate.LET_IN

    def connection(self, server: str, caller: str) -> tuple[grpc.aio.Channel, Any]:
        """A connection of a caller to a server, and the metadata of its calls."""
        principal = None if caller == NOBODY else f"{DOMAIN}/{caller}/one"
        return (
            self.access.channel(self.addresses[server], principal),
            self.access.metadata(f"voiceflow-{server}", principal),
        )


def _fate_of_error(error: grpc.aio.AioRpcError) -> Fate:
    seen = from_rpc_error(error)
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        assert seen.reason == "CREDENTIALS_MISSING"
        return Fate.NOT_KNOWN
    if error.code() is grpc.StatusCode.PERMISSION_DENIED:
        assert seen.reason == "ROLE_MISSING"
        return Fate.NOT_GRANTED
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Fate.NO_CONNECTION
    # Anything else must be the method's own answer.
    assert seen.reason not in {"INTERNAL", error.code().name}, seen
    return Fate.LET_IN


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=Way, ids=str)
async def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Servers]:
    """Both of them, started as operators start them."""
    folder = tmp_path_factory.mktemp("servers")
    grants = [Grant(f"{DOMAIN}/{role}/*", [role]) for role in ROLES]
    model = bind(load_package(write_window_package(folder / "package")))
    async with (
        Access(folder, request.param, grants) as access,
        registry.running(**access.settings()) as (app, _),
        service.running(model, **access.settings()) as (_, address),
    ):
        yield Servers({"registry": app.server.address, "inference": address}, access)


def servers_of(method: str) -> list[str]:
    """The servers that have a method."""
    if method.startswith("/voiceflow.registry."):
        return ["registry"]
    if method.startswith("/voiceflow.diarization."):
        return ["inference"]
    return ["registry", "inference"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", METHODS)
async def test_a_method_lets_in_whom_its_row_says_and_nobody_else(
    servers: Servers, method: str
) -> None:
    """Each role alone, somebody without a role, and somebody unknown."""
    for server in servers_of(method):
        for caller in (*ROLES, STRANGER, NOBODY):
            seen = await servers.fate(server, method, caller)
            expected = fate_of(METHODS[method], caller, servers.access.way)
            assert seen is expected, (server, caller)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_method_that_a_server_has_stands_in_a_row(servers: Servers) -> None:
    """As the servers tell it themselves; a method that is added later needs a row here."""
    told = [await methods_told_by(servers, server) for server in servers.addresses]
    assert set.union(*told) == set(METHODS)
    for server, methods in zip(servers.addresses, told, strict=True):
        assert methods == {method for method in METHODS if server in servers_of(method)}


async def methods_told_by(servers: Servers, server: str) -> set[str]:
    """Paths of all methods of a server, by reflection."""
    channel, metadata = servers.connection(server, "client")
    ask = reflection_grpc.ServerReflectionStub(channel).ServerReflectionInfo

    async def answer(**what: str) -> reflection.ServerReflectionResponse:
        call = ask(iter([reflection.ServerReflectionRequest(**what)]), metadata=metadata)
        (response,) = [response async for response in call]
        assert isinstance(response, reflection.ServerReflectionResponse)
        return response

    methods = set()
    listed = await answer(list_services="")
    for one in listed.list_services_response.service:
        found = await answer(file_containing_symbol=one.name)
        for encoded in found.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(encoded)
            methods |= {
                f"/{one.name}/{method.name}"
                for service in file.service
                if f"{file.package}.{service.name}" == one.name
                for method in service.method
            }
    return methods


def test_the_table_that_servers_apply_says_the_same() -> None:
    """Nothing in it is left over, and every service of the protos has its place."""
    kinds = {ANYBODY: "ANYBODY", ANY_ROLE: "ANY_ROLE"}
    applied = {
        method: who.name if isinstance(who, Enum) else {str(role) for role in who}
        for method, who in ACCESS.items()
    }
    assert applied == {
        method: kinds.get(who) or set(who.split()) for method, who in METHODS.items()
    }
    assert set(ROLES) == {str(role) for role in CallerRole}
    for path in PROTOS.rglob("*.proto"):
        module = ".".join(path.relative_to(PROTOS).with_suffix("").parts)
        file = importlib.import_module(f"{module}_pb2").DESCRIPTOR
        for name, described in file.services_by_name.items():
            assert set(ROWS[f"{file.package}.{name}"]) == set(described.methods_by_name)


@pytest.mark.parametrize("path", sorted(PROTOS.rglob("*.proto")), ids=lambda path: path.stem)
def test_the_contract_says_the_same(path: Path) -> None:
    """The words after `Role:` on every method of the protos."""
    text = path.read_text("utf-8")
    package = re.findall(r"^package (.*);", text, re.MULTILINE)[0]
    (name,) = re.findall(r"^service (\w+)", text, re.MULTILINE)
    said = {}
    for comment, method in re.findall(r"((?:^ *//.*\n)+) *rpc (\w+)", text, re.MULTILINE):
        words = re.sub(r"\s*//\s?", " ", comment)
        ((role),) = re.findall(r"Role: ([^.]*)\.", words)
        said[method] = {word for word in re.findall(r"\w+", role) if word in ROLES}
    assert said == {method: set(who.split()) for method, who in ROWS[f"{package}.{name}"].items()}
