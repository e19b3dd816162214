"""A registry that does what a test says: for what a healthy one never does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import google_crc32c
import grpc

from voiceflow.catalog.channels import (
    ChannelCursor,
    Heartbeat,
    Promotion,
    PromotionKind,
    Rollout,
    VersionPin,
)
from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.versions import Version, VersionFile
from voiceflow.client import RegistryClient
from voiceflow.client.registry import LocalPackage
from voiceflow.client.retry import RetryPolicy
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.registry import (
    promotion_to_wire,
    report_to_wire,
    version_file_to_wire,
    version_to_wire,
    watch_event_to_wire,
)
from voiceflow.rpc.status import abort_arguments

Step = Callable[[Any, Any], Awaitable[Any]]
"""One call: takes the request, or an iterator of them, and the context."""

SOON = RetryPolicy(attempts=3, first_pause_seconds=0.001, longest_pause_seconds=0.002)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANNEL = "models/tones/channels/stable"


class Script:
    """What each method does at each call; the last step answers all that come later.

    Attributes:
        calls: Requests of each method so far.
    """

    def __init__(self, **steps: Step | list[Step]) -> None:
        self.calls: dict[str, list[Any]] = {name: [] for name in steps}
        self._steps = {
            name: step if isinstance(step, list) else [step] for name, step in steps.items()
        }

    def servicer(self) -> Any:
        """The methods that are scripted."""
        methods = {name: self._method(name) for name in self._steps}
        return type("Scripted", (pb_grpc.ModelRegistryServicer,), methods)()

    def _method(self, name: str) -> Any:
        async def method(_self: Any, request: Any, context: Any) -> Any:
            calls, steps = self.calls[name], self._steps[name]
            calls.append(request)
            return await steps[min(len(calls), len(steps)) - 1](request, context)

        return method


@asynccontextmanager
async def scripted(
    retry: RetryPolicy = SOON, **steps: Step | list[Step]
) -> AsyncIterator[tuple[Script, RegistryClient]]:
    """Serves a script on a free port; yields it and a client of it."""
    script = Script(**steps)
    server = grpc.aio.server()
    pb_grpc.add_ModelRegistryServicer_to_server(script.servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with RegistryClient(f"127.0.0.1:{port}", retry=retry) as client:
            yield script, client
    finally:
        await server.stop(grace=0)


def refusing(error: Exception) -> Step:
    """A step that answers with an error."""

    async def step(_request: Any, context: Any) -> None:
        await context.abort(*abort_arguments(error))

    return step


async def cut(_request: Any, context: Any) -> None:
    """A step that ends as a lost connection does."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def answering(response: Any) -> Step:
    """A step that answers."""

    async def step(_request: Any, _context: Any) -> Any:
        return response

    return step


def version_of(package: LocalPackage) -> Version:
    """A package as a registry tells of it."""
    return Version(
        name=package.manifest.resource_name,
        manifest_digest=package.manifest_digest,
        manifest=package.content,
        files=tuple(
            VersionFile(file=file.name, size_bytes=file.size_bytes, digest=file.digest)
            for file in package.files
        ),
        contract=package.manifest.contract,
        embedding_space=package.manifest.embedding_space,
        publisher="somebody",
        publish_time=NOW,
    )


def published(package: LocalPackage) -> pb.PublishVersionResponse:
    """The answer to its publishing."""
    report = ValidationReport(
        manifest_digest=package.manifest_digest,
        passed=True,
        gates=(),
        start_time=NOW,
        end_time=NOW,
        software_version="0",
        runtime_version="0",
    )
    return pb.PublishVersionResponse(
        version=version_to_wire(version_of(package)), report=report_to_wire(report)
    )


def promotion(sequence: int, channel: str = CHANNEL) -> Promotion:
    """One entry of a history."""
    return Promotion(
        name=f"{channel}/promotions/{sequence}",
        sequence=sequence,
        kind=PromotionKind.PROMOTE,
        rollout=Rollout(primary=VersionPin(version=f"models/tones/versions/{sequence}.0.0")),
        principal="somebody",
        commit_time=NOW,
        statement=b"{}",
        etag=str(sequence),
    )


def told(*sequences: int, heartbeat: int | None = None) -> list[pb.WatchChannelsResponse]:
    """What a watch tells: promotions, and how far the channel is known."""
    messages = [
        pb.WatchChannelsResponse(promotion=promotion_to_wire(promotion(one))) for one in sequences
    ]
    if heartbeat is not None:
        cursor = ChannelCursor(channel=CHANNEL, after_sequence=heartbeat)
        messages.append(watch_event_to_wire(Heartbeat(channels=(cursor,), send_time=NOW)))
    return messages


def pieces(
    file: VersionFile, content: bytes, offset: int, size: int = 1000
) -> list[pb.DownloadVersionResponse]:
    """A file as a download sends it, from an offset on."""
    replies = []
    for start in range(offset, max(len(content), offset + 1), size):
        data = content[start : start + size]
        first = version_file_to_wire(file) if start == offset else None
        replies.append(
            pb.DownloadVersionResponse(
                file=first, offset=start, data=data, crc32c=google_crc32c.value(data)
            )
        )
    return replies
