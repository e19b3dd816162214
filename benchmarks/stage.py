"""Where a blue/green switch is rehearsed: a registry, servers, and everybody's keys."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.service import Service, running_registry, running_service
from voiceflow.client import ClientIdentity, DiarizationClient
from voiceflow.identity.development import write_development_identity
from voiceflow.identity.key_set import read_token_key
from voiceflow.identity.tokens import issue_token
from voiceflow.package import load_package

_EMPTY_WITHIN_SECONDS = 300.0


class Side:
    """Blue or green.

    Args:
        name: Which.
        service: Its process.
        operator: Dials it by itself, past the balancer.
    """

    def __init__(self, name: str, service: Service, operator: DiarizationClient) -> None:
        self.name = name
        self.process = service.process.pid
        self._operator = operator

    async def leave(self, deadline_seconds: float) -> None:
        """Takes it out of service."""
        await self._operator.set_draining(draining=True, deadline_seconds=deadline_seconds)

    async def come_back(self) -> None:
        """Takes it into service."""
        await self._operator.set_draining(draining=False)

    async def empty(self) -> float:
        """Waits until it has no stream; gives the moment."""
        async with asyncio.timeout(_EMPTY_WITHIN_SECONDS):
            while (await self._operator.serving_state()).streams:  # noqa: ASYNC110 another process
                await asyncio.sleep(0.2)
        return asyncio.get_running_loop().time()


@contextmanager
def stage(packages: Mapping[str, Path], folder: Path) -> Iterator[tuple[dict[str, Service], Path]]:
    """A registry that serves each package on the channel of its name, and a server for each.

    Args:
        packages: By channel.
        folder: For everything.

    Yields:
        The servers, and the folder with everybody's identity.
    """
    identity = folder / "identity"
    write_development_identity(identity)
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(folder / "store"))
        for channel, package in packages.items():
            _voiceflow("models", "publish", str(package), registry=registry.address)
            name = f"diarizer@{load_package(package).manifest.version}"
            promote = ("models", "promote", name, "--channel", channel, "--validate")
            _voiceflow(*promote, registry=registry.address)
        services = {
            colour: stack.enter_context(
                running_service(
                    None,
                    registry=registry.address,
                    channel=colour,
                    pod_name=colour,
                    pod_label=f"colour={colour}",
                    cache_dir=folder / f"cache-{colour}",
                    state_dir=folder / f"state-{colour}",
                    tls_cert=str(identity / "server.pem"),
                    tls_key=str(identity / "server-key.pem"),
                    access=str(identity / "access.yaml"),
                    keys=str(identity / "keys.json"),
                    streams=1000,
                    streams_per_principal=1000,
                    log_level="warning",
                )
            )
            for colour in packages
        }
        for colour in packages:
            wait = ("fleet", f"diarizer/{colour}", "--wait", "--timeout", "60s")
            _voiceflow(*wait, registry=registry.address)
        yield services, identity


def known_as(role: str, identity: Path) -> ClientIdentity:
    """A caller by token, with a role."""
    token = issue_token(
        read_token_key(identity / "token-key.json"),
        principal=f"spiffe://voiceflow.local/{role}/dev",
        audience="voiceflow-inference",
        valid_seconds=3600,
    )
    path = identity / f"{role}.token"
    path.write_text(token)
    return ClientIdentity(ca=identity / "ca.pem", token_file=path)


def _voiceflow(*arguments: str, registry: str) -> None:
    code = "from voiceflow.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments, "--registry", registry]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"voiceflow {' '.join(arguments)}: {done.stdout}{done.stderr}")
