"""Pods of a simulated cluster: each a server of the operator's calls, that does as a test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from voiceflow.diarization.v1 import diarization_pb2 as pb

_SERVICE = "voiceflow.diarization.v1.Diarization"


class SimulatedPod:
    """One pod.

    Attributes:
        name: Its name.
        colour: Its side.
        version: That it serves.
        desired: The sequence that its channel wants.
        serving: The sequence that it serves.
        streams: Live ones; while it drains, one ends each time that it is asked.
        stuck: Its streams do not end.
        draining: It takes none.
        deadlines: Of each drain that it was told of, in seconds; None: without.
        looks_until_ready: How often its list is asked for before it is ready.
        waiting: Why its container does not start; empty: it does.
        ending: It was told to end.
        refuses: What it answers operators with; None: what they ask for.
    """

    def __init__(self, name: str, colour: str, looks_until_ready: int = 0) -> None:
        self.name = name
        self.colour = colour
        self.version = "1.0.0" if colour == "blue" else "1.1.0"
        self.desired = self.serving = 1
        self.streams = 0
        self.stuck = False
        self.draining = False
        self.deadlines: list[float | None] = []
        self.looks_until_ready = looks_until_ready
        self.waiting = ""
        self.ending = False
        self.refuses: grpc.StatusCode | None = None
        self.on_asked: Callable[[SimulatedPod], None] = lambda _: None
        self._started_at = time.time()
        self._server = grpc.server(ThreadPoolExecutor(2))
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetServingState": grpc.unary_unary_rpc_method_handler(
                self._state,
                pb.GetServingStateRequest.FromString,
                pb.GetServingStateResponse.SerializeToString,
            ),
            "SetDraining": grpc.unary_unary_rpc_method_handler(
                self._drain,
                pb.SetDrainingRequest.FromString,
                pb.SetDrainingResponse.SerializeToString,
            ),
        }
        handler = grpc.method_handlers_generic_handler(_SERVICE, handlers)
        self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def ready(self) -> bool:
        """As Kubernetes sees it."""
        return not (self.looks_until_ready or self.draining or self.waiting)

    def stop(self) -> None:
        """Ends it."""
        self._server.stop(None).wait()

    def begin_anew(self) -> None:
        """Its process ended and began again: it drains no more."""
        self._started_at += 1.0
        self.draining = False

    def _state(
        self, _request: pb.GetServingStateRequest, context: Any
    ) -> pb.GetServingStateResponse:
        self._check(context)
        self.on_asked(self)
        response = pb.GetServingStateResponse(
            streams=self.streams,
            draining=self.draining,
            desired_sequence=self.desired,
            serving_sequence=self.serving,
            software_version="0.1.0",
            refusals={"DRAINING": 2},
            real_time_factor=0.25,
        )
        response.started_at.FromMilliseconds(round(self._started_at * 1000))
        response.generations.add(
            generation=1,
            model_version=f"models/diarizer/versions/{self.version}",
            state=pb.GenerationState.STATE_ACTIVE,
            role=pb.GenerationState.ROLE_PRIMARY,
        )
        if self.draining and self.streams and not self.stuck:
            self.streams -= 1
        return response

    def _drain(self, request: pb.SetDrainingRequest, context: Any) -> pb.SetDrainingResponse:
        self._check(context)
        self.draining = request.draining
        if request.draining:
            deadline = request.deadline.ToTimedelta().total_seconds()
            self.deadlines.append(deadline if request.HasField("deadline") else None)
        return pb.SetDrainingResponse(draining=self.draining, streams=self.streams)

    def _check(self, context: Any) -> None:
        if self.refuses is not None:
            context.abort(self.refuses, "not for you")
