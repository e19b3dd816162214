"""`Pods` reached as `kubectl port-forward` reaches them, through the API server and the kubelet.

What may be asked and done there is said by the pods themselves, by who the caller is to them: the
cluster's own rights open the way and no more. The way begins at a socket in a folder that nobody
else may enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import websocket
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from voiceflow.client import DiarizationClient, RetryPolicy
from voiceflow.client.identity import ClientIdentity
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.rollout.adapter.connection import Connection, told
from voiceflow.rollout.state import Serving

_PIECE_BYTES: Final = 65_536
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS: Final = 2.0
_LOOK_EVERY_SECONDS: Final = 0.01
_PATIENCE: Final = RetryPolicy(attempts=3, longest_pause_seconds=2.0, resume_seconds=0.0)


class ForwardedPods:
    """Pods, each by a way of its own that stays open.

    Args:
        connection: To the API server.
        port: Of the containers: where they serve.
        identity: Who the pods are asked by; None: in plain text, by nobody.
    """

    def __init__(
        self, connection: Connection, port: int, identity: ClientIdentity | None = None
    ) -> None:
        self._connection = connection
        self._port = port
        self._identity = identity
        self._ways: dict[str, tuple[_Way, DiarizationClient]] = {}
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="voiceflow-"))
        self._folder = Path(folder)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def ask(self, pod: str) -> Serving:
        """See `Pods`."""
        way, asking = await self._way(pod)
        try:
            state = await asking.serving_state()
        except VoiceFlowError as error:
            raise way.explained(error) from None
        return Serving(
            streams=state.streams,
            files=state.files,
            draining=state.draining,
            versions=tuple(
                one.model_version.rpartition("/")[2]
                for one in state.generations
                if one.state == "active"
            ),
            desired_sequence=state.desired_sequence,
            serving_sequence=state.serving_sequence,
            refusals=sum(state.refusals.values()),
            real_time_factor=state.real_time_factor,
            software=state.software_version,
            started_at=state.started_at,
        )

    async def set_draining(
        self, pod: str, *, draining: bool, deadline_seconds: float | None = None
    ) -> None:
        """See `Pods`."""
        way, asking = await self._way(pod)
        try:
            await asking.set_draining(draining=draining, deadline_seconds=deadline_seconds)
        except VoiceFlowError as error:
            raise way.explained(error) from None

    async def _way(self, pod: str) -> tuple[_Way, DiarizationClient]:
        async with self._opening:
            if pod not in self._ways:
                way = _Way(self._connection, pod, self._port)
                path = self._folder / str(len(self._ways))  # a socket's path is short
                await way.open(path)
                self._stack.push_async_callback(way.close)
                asking = await self._stack.enter_async_context(
                    DiarizationClient(f"unix:{path}", identity=self._identity, retry=_PATIENCE)
                )
                self._ways[pod] = way, asking
            return self._ways[pod]


class _Way:
    """From a local socket to a port of a pod."""

    def __init__(self, connection: Connection, pod: str, port: int) -> None:
        self._connection = connection
        self._pod = pod
        self._port = port
        self._failure: VoiceFlowError | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def open(self, path: Path) -> None:
        """Listens there; the pod is reached for with each connection that is made."""
        self._server = await asyncio.start_unix_server(self._accept, path)

    async def close(self) -> None:
        """Ends it, once the connections have ended that their client has closed."""
        self._server.close()
        if self._carrying:
            _, left = await asyncio.wait(self._carrying, timeout=_CLOSE_SECONDS)
            for task in left:
                task.cancel()

    def explained(self, error: VoiceFlowError) -> VoiceFlowError:
        """An error of a call, or what kept the call from reaching the pod; with the pod's name."""
        cause = self._failure if isinstance(error, Unavailable) and self._failure else error
        cause.message = f"{self._pod}: {cause.message.removeprefix(f'{self._pod}: ')}"
        return cause

    def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(near, back))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            forward, far_end = await self._reach()
        except VoiceFlowError as error:
            self._failure = error
            back.close()
            return
        self._failure = None
        far, forth = await asyncio.open_connection(sock=far_end)
        try:
            # Read to its end in both directions: the client's thread fails on what is left unread.
            await asyncio.gather(_pump(near, forth, forth.write_eof), _pump(far, back, back.close))
            await _close(forward)
        finally:
            if failed := forward.error(self._port):
                self._failure = Unavailable(str(failed).strip(), reason="POD_UNREACHABLE")
            forth.close()
            back.close()

    async def _reach(self) -> tuple[Any, socket.socket]:
        """Opens the way; the client would wait for ever for an API server that does not answer.

        Raises:
            VoiceFlowError: It cannot be opened.
        """
        reached: Future[tuple[Any, socket.socket]] = Future()
        reached.set_running_or_notify_cancel()

        def reach() -> None:
            try:
                reached.set_result(self._forward())
            except VoiceFlowError as error:
                reached.set_exception(error)

        # No thread of the pool: a process waits for those before it ends.
        threading.Thread(target=reach, daemon=True).start()
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                return await asyncio.wrap_future(reached)
        except TimeoutError:
            reached.add_done_callback(_drop)
            raise Unavailable(
                f"the API server opens no way after {_HANDSHAKE_SECONDS:g} s",
                reason="CLUSTER_UNREACHABLE",
            ) from None

    def _forward(self) -> tuple[Any, socket.socket]:
        # The client changes itself while it forwards: each has one of its own.
        own = client.ApiClient(self._connection.api.configuration)
        try:
            forward = portforward(
                client.CoreV1Api(own).connect_get_namespaced_pod_portforward,
                self._pod,
                self._connection.namespace,
                ports=str(self._port),
            )
        except ApiException as error:
            # A handshake that was refused is told as no status at all; its cause has it.
            cause = error.__context__
            if isinstance(cause, websocket.WebSocketBadStatusException):
                error.status, error.body = cause.status_code, (cause.resp_body or b"").decode()
            raise told(error, self._connection.api.configuration.host) from None
        return forward, socket.socket(fileno=forward.socket(self._port).detach())


def _drop(reached: Future[tuple[Any, socket.socket]]) -> None:
    """Closes what came too late."""
    if reached.exception() is None:
        reached.result()[1].close()


async def _close(forward: Any) -> None:
    """Closes what the client's thread leaves open, once it has sent what it still had."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            while forward.websocket.connected:  # noqa: ASYNC110 another thread's doing
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
        forward.websocket.shutdown()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, end: Callable[[], None]
) -> None:
    """Carries what comes to the sink, as long as there is one."""
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE_BYTES):
            if not sink.is_closing():
                sink.write(piece)
                with contextlib.suppress(OSError):
                    await sink.drain()
    if not sink.is_closing():
        with contextlib.suppress(OSError):
            end()
