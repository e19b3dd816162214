"""What the groups of methods of the registry's client have in common."""

from __future__ import annotations

import uuid
from typing import Final

from voiceflow.client.registry.connection import Connection
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc

ALL_MODELS: Final = "models/-"


class Methods:
    """A group of methods on one connection, which the client opens."""

    _connection: Connection
    _stub: pb_grpc.ModelRegistryStub


def made(request_id: str | None) -> str:
    """The caller's request id, or a new one."""
    return str(uuid.uuid4()) if request_id is None else request_id
