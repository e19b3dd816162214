"""How a test's servers are secured, and how its callers prove who they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Self

import grpc
import yaml

from tests.fakes.identity import certificate, development_identity, pair, token

DOMAIN = "spiffe://voiceflow.test"
"""Of the principals; the CA is that of `development_identity`."""


class Way(Enum):
    """How callers prove who they are."""

    TOKEN = "token"  # noqa: S105 no secret
    CERTIFICATE = "certificate"
    DEVELOPMENT = "development"
    """Not at all."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Grant:
    """An entry of the access file."""

    principal: str
    roles: Sequence[str]
    models: Sequence[str] = ()
    pods: Sequence[str] = ()


@dataclass
class Access:
    """One way for all servers and callers of a test; a context manager closes what is open.

    Attributes:
        folder: For files.
        way: How callers prove who they are.
        grants: What is granted to them.
    """

    folder: Path
    way: Way
    grants: Iterable[Grant]
    _channels: dict[tuple[str, str | None], grpc.aio.Channel] = field(default_factory=dict)
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            await channel.close()

    def settings(self) -> dict[str, Any]:
        """What a server of either kind needs to be told."""
        if self.way is Way.DEVELOPMENT:
            return {}
        access = self.folder / "access.yaml"
        grants = [
            {name: value for name, value in vars(grant).items() if value} for grant in self.grants
        ]
        access.write_text(yaml.safe_dump({"schema_version": 1, "grants": grants}))
        server = pair("server")
        proof = (
            {"keys": development_identity() / "keys.json"}
            if self.way is Way.TOKEN
            else {"client_ca": server.ca}
        )
        return {"tls_cert": server.certificate, "tls_key": server.key, "access": access, **proof}

    def channel(self, address: str, principal: str | None) -> grpc.aio.Channel:
        """A connection of a caller; None: of one that proves nothing."""
        shown = principal if self.way is Way.CERTIFICATE else None
        if (address, shown) not in self._channels:
            self._channels[address, shown] = self._open(address, shown)
        return self._channels[address, shown]

    def metadata(self, audience: str, principal: str | None) -> tuple[tuple[str, str], ...]:
        """What goes with each call of a caller."""
        if self.way is not Way.TOKEN or principal is None:
            return ()
        if (audience, principal) not in self._tokens:
            self._tokens[audience, principal] = token(principal, audience)
        return (("authorization", f"Bearer {self._tokens[audience, principal]}"),)

    def _open(self, address: str, principal: str | None) -> grpc.aio.Channel:
        if self.way is Way.DEVELOPMENT:
            return grpc.aio.insecure_channel(address)
        ca = (development_identity() / "ca.pem").read_bytes()
        if principal is None:
            return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca))
        shown = certificate(self.folder, principal)
        credentials = grpc.ssl_channel_credentials(
            ca, shown.key.read_bytes(), shown.certificate.read_bytes()
        )
        return grpc.aio.secure_channel(address, credentials)
