"""Commands over TLS: options, variables, exit codes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.fakes.client_identity import BY_CERTIFICATE, BY_TOKEN, CA, FOLDER, WRONG_CA, with_token
from tests.fakes.identity import pair
from tests.fakes.models import write_stream_package
from tests.fakes.registry import running as registry_running
from tests.fakes.service import running as service_running
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A small model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("package"))))


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--ca", CA, "--cert", "reader.pem", "--key", "reader-key.pem"], 0, ""),
        (["--ca", WRONG_CA], 7, "SERVER_NOT_TRUSTED"),
        (["--ca", CA, "--server-name", "elsewhere"], 7, "SERVER_NAME_MISMATCH"),
        (["--ca", CA], 4, "UNAVAILABLE"),
        (["--ca", CA, "--cert", "client.pem", "--key", "client-key.pem"], 7, "ROLE_MISSING"),
    ],
)
async def test_a_command_tells_in_a_line_why_it_is_not_known(
    options: list[str | Path], code: int, reason: str
) -> None:
    """Nothing else goes to standard error, not from gRPC either."""
    async with registry_running(**BY_CERTIFICATE) as (app, _):
        registry = ("--registry", app.server.address)
        seen, out, err = await command("models", "list", *registry, *options)
    assert (seen, reason in err) == (code, True), err
    if code == 0:
        assert (out.strip(), err) == ("no models yet", "")
    else:
        assert err.startswith("voiceflow: ")
        assert len(err.splitlines()) == 1, err


async def test_commands_take_what_they_are_known_by_from_the_environment(
    model: BoundModel, tmp_path: Path
) -> None:
    """An option wins over its variable; --insecure leaves them all aside."""
    own = pair("operator")
    by_certificate = {"VOICEFLOW_CERT": str(own.certificate), "VOICEFLOW_KEY": str(own.key)}
    by_token = with_token(tmp_path, "operator", "voiceflow-inference").token_file
    async with service_running(model, **BY_TOKEN) as (_, address):
        state = ("serving-state", "--json", "--server", address)
        variables = {"VOICEFLOW_CA": str(CA), "VOICEFLOW_TOKEN_FILE": str(by_token)}
        code, _, err = await command(*state, environment=variables)
        assert code == 0, err
        code, _, err = await command(*state, "--ca", WRONG_CA, environment=variables)
        assert (code, "SERVER_NOT_TRUSTED" in err) == (7, True)
        code, _, err = await command(*state, "--insecure", environment=variables)
        assert (code, "(ca)" in err) == (4, True)
    async with service_running(model, **BY_CERTIFICATE) as (_, address):
        variables = {"VOICEFLOW_CA": str(CA), **by_certificate, "VOICEFLOW_SERVER": address}
        code, _, err = await command("serving-state", environment=variables)
        assert code == 0, err


async def test_a_load_is_put_on_a_server_over_tls(model: BoundModel, tmp_path: Path) -> None:
    """Each of its connections says who dials; a server that is not trusted gets none."""
    token = with_token(tmp_path, "client", "voiceflow-inference").token_file
    load = ("bench", "streams", "--streams", "2", "--seconds", "1", "--token-file", str(token))
    async with service_running(model, **BY_TOKEN) as (_, address):
        code, _, err = await command(*load, "--server", address, "--ca", CA)
        assert code == 0, err
        code, _, err = await command(*load, "--server", address, "--ca", WRONG_CA)
        assert (code, "SERVER_NOT_TRUSTED" in err) == (7, True)


async def test_what_is_said_in_plain_text_does_not_leave_by_a_proxy() -> None:
    """What the environment names as one is for other machines."""
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    async with registry_running() as (app, _):
        registry = ("--registry", app.server.address)
        code, out, err = await command("models", "list", *registry, environment=proxy)
    assert (code, out.strip()) == (0, "no models yet"), err


async def command(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """A command to its end, in the folder of the identity: exit code, output, error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from voiceflow.cli import main; main()"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=FOLDER,
        env=environment,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
