"""A cluster: an API server over HTTP that keeps objects and their resource versions, and pods.

It knows what a rollout asks of it, and refuses everything else. Deployments get the pods that they
ask for at once; a pod becomes ready, and ends, as its list is asked for. An autoscaler keeps its
Deployment within its bounds.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.fakes.cluster_pods import SimulatedPod
from tests.fakes.websockets import accept_key, forward

NAMESPACE = "speech"
SERVICE = "voiceflow-inference"
COLOUR = "voiceflow.dev/colour"
TOKEN = "a-token"  # noqa: S105 - of nothing
_LABELS = {"app.kubernetes.io/name": SERVICE}
_WAYS = {
    "services": "/api/v1",
    "pods": "/api/v1",
    "deployments": "/apis/apps/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
}


class Trouble(Enum):
    """What goes wrong with a request."""

    REFUSE = auto()
    """An error is answered, and nothing done."""
    STALL = auto()
    """Nothing is done, and nothing answered."""
    LOSE_REPLY = auto()
    """It is done, then the connection is closed."""
    MEDDLE = auto()
    """Something is done before it, by somebody else."""


@dataclass
class Fault:
    """A trouble and whom it befalls.

    Attributes:
        on: Such as `patch services`, `get deployments/scale`, `portforward pods`.
        trouble: What.
        status: Of REFUSE.
        times: How often; None: for ever.
        act: Of MEDDLE.
    """

    on: str
    trouble: Trouble = Trouble.REFUSE
    status: int = 500
    times: int | None = 1
    act: Callable[[], None] = lambda: None


class Refused(Exception):
    """A Status other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FakeCluster:
    """The cluster. Use `cluster()`.

    Attributes:
        endpoint: Of the API server.
        objects: By kind and name.
        pods: By name.
        seen: What was asked: verb and resource, with `?dryRun` where nothing was to be kept.
        unknown: What it does not know.
        looks_until_ready: Of pods that are made.
        on_pod: Called with each pod that is made.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[str, SimulatedPod] = {}
        self.seen: list[str] = []
        self.unknown: list[str] = []
        self.looks_until_ready = 0
        self.on_pod: Callable[[SimulatedPod], None] = lambda _: None
        self.released = threading.Event()
        self._faults: list[Fault] = []
        self._version = 100
        self._made = 0
        self._lock = threading.RLock()

    # What a test sets up and looks at.

    def add_service(self, colour: str | None = "blue") -> None:
        """The Service, which selects a colour, or both."""
        selector = _LABELS | ({COLOUR: colour} if colour else {})
        self._keep("services", SERVICE, {"spec": {"selector": selector}})

    def add_side(self, colour: str, replicas: int) -> None:
        """A Deployment and its pods, ready."""
        labels = _LABELS | {COLOUR: colour}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"image": f"registry.example/voiceflow:{colour}"}]},
            },
        }
        self._keep("deployments", f"{SERVICE}-{colour}", {"spec": spec})
        looks, self.looks_until_ready = self.looks_until_ready, 0
        self._reconcile()
        self.looks_until_ready = looks

    def add_autoscaler(self, colour: str, minimum: int, maximum: int) -> None:
        """It scales a side."""
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{SERVICE}-{colour}"}
        spec = {"scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": maximum}
        self._keep("horizontalpodautoscalers", f"{SERVICE}-{colour}", {"spec": spec})

    def plan(self, *faults: Fault) -> None:
        """Faults for requests to come; the first that fits befalls each."""
        with self._lock:
            self._faults.extend(faults)

    def change(self, kind: str, name: str, **spec: Any) -> None:
        """Somebody else changes an object."""
        with self._lock:
            self._merge(kind, name, {"spec": spec})

    def selected(self) -> str | None:
        """The colour that the Service selects."""
        selector: dict[str, str] = self.objects["services", SERVICE]["spec"]["selector"]
        assert _LABELS.items() <= selector.items()
        return selector.get(COLOUR)

    def replicas(self, colour: str) -> int:
        """How many pods a side is to have."""
        return int(self.objects["deployments", f"{SERVICE}-{colour}"]["spec"]["replicas"])

    def bounds(self, colour: str) -> tuple[int, int]:
        """Of a side's autoscaler."""
        spec = self.objects["horizontalpodautoscalers", f"{SERVICE}-{colour}"]["spec"]
        return spec["minReplicas"], spec["maxReplicas"]

    def annotations(self, kind: str, name: str) -> dict[str, str]:
        """Of an object."""
        return dict(self.objects[kind, name]["metadata"].get("annotations", {}))

    def side(self, colour: str) -> list[SimulatedPod]:
        """The pods of a side that stay."""
        return [pod for pod in self.pods.values() if pod.colour == colour and not pod.ending]

    def changes(self) -> list[str]:
        """What was asked that changes something."""
        return [one for one in self.seen if one.startswith("patch") and "?dryRun" not in one]

    def kubeconfig(self, path: Path, token: str = TOKEN) -> Path:
        """A kubeconfig that leads here, as context `test`."""
        context = {"cluster": "here", "user": "sre", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "here", "cluster": {"server": self.endpoint}}],
            "users": [{"name": "sre", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    # What the API server does.

    def fault(self, asked: str) -> Fault | None:
        """The fault that befalls a request."""
        with self._lock:
            for fault in self._faults:
                if fault.on == asked and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def answer(self, verb: str, kind: str, name: str, part: str, query: Any, body: Any) -> Any:
        """Does what is asked for.

        Raises:
            Refused: It does not.
        """
        with self._lock:
            if kind == "pods" and not name:
                return {"kind": "PodList", "items": self._list_pods()}
            if not name:
                found = [one for (its, _), one in self.objects.items() if its == kind]
                return {"kind": "List", "items": found}
            if (kind, name) not in self.objects:
                raise Refused(404, f'{kind} "{name}" not found')
            if verb == "patch":
                self._check_version(kind, name, body)
                if query.get("dryRun") == ["All"]:
                    return self._shown(_merged(self.objects[kind, name], body), part)
                self._merge(kind, name, body)
                self._reconcile()
            return self._shown(self.objects[kind, name], part)

    def _check_version(self, kind: str, name: str, body: Any) -> None:
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted not in {None, self.objects[kind, name]["metadata"]["resourceVersion"]}:
            raise Refused(
                409,
                f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified',
            )

    def _shown(self, found: dict[str, Any], part: str) -> dict[str, Any]:
        if part != "scale":
            return deepcopy(found)
        return {
            "kind": "Scale",
            "metadata": found["metadata"],
            "spec": {"replicas": found["spec"]["replicas"]},
        }

    def _keep(self, kind: str, name: str, made: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "generation": 1}
        self.objects[kind, name] = {"metadata": metadata, **made}
        self._touch(kind, name)

    def _merge(self, kind: str, name: str, patch: Any) -> None:
        self.objects[kind, name] = _merged(self.objects[kind, name], patch)
        self.objects[kind, name]["metadata"]["generation"] += 1
        self._touch(kind, name)

    def _touch(self, kind: str, name: str) -> None:
        self._version += 1
        self.objects[kind, name]["metadata"]["resourceVersion"] = str(self._version)

    def _reconcile(self) -> None:
        """What controllers do."""
        for (kind, name), scaler in self.objects.items():
            if kind == "horizontalpodautoscalers":
                spec = self.objects["deployments", name]["spec"]
                if spec["replicas"]:  # it is off at 0
                    least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
                    spec["replicas"] = min(max(spec["replicas"], least), most)
        for (kind, name), deployment in list(self.objects.items()):
            if kind == "deployments":
                self._fill(name.rpartition("-")[2], deployment)
                deployment["status"] = {
                    "observedGeneration": deployment["metadata"]["generation"],
                    "updatedReplicas": deployment["spec"]["replicas"],
                }
                self._touch(kind, name)

    def _fill(self, colour: str, deployment: dict[str, Any]) -> None:
        there = self.side(colour)
        wanted = deployment["spec"]["replicas"]
        for pod in there[wanted:]:
            pod.ending = True
        for _ in range(wanted - len(there)):
            self._made += 1
            name = f"{SERVICE}-{colour}-{self._made}"
            self.pods[name] = SimulatedPod(name, colour, self.looks_until_ready)
            self.on_pod(self.pods[name])

    def _list_pods(self) -> list[dict[str, Any]]:
        listed = [_pod(pod) for pod in self.pods.values()]
        for name, pod in list(self.pods.items()):
            pod.looks_until_ready = max(0, pod.looks_until_ready - 1)
            if pod.ending:
                self.pods.pop(name).stop()
        for kind, name in list(self.objects):
            if kind == "deployments":
                self._touch(kind, name)  # its status tells of pods
        return listed


@contextmanager
def cluster() -> Iterator[FakeCluster]:
    """A cluster on loopback, until the block ends; what stalls is let go then."""
    fake = FakeCluster()
    server = _Server(fake)
    fake.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        fake.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
        for pod in fake.pods.values():
            pod.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeCluster) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - as it is called
        """Says nothing."""

    def do_GET(self) -> None:
        self._serve("get")

    def do_PATCH(self) -> None:
        self._serve("patch")

    def _serve(self, verb: str) -> None:
        fake = self.server.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        where = urlsplit(self.path)
        query = parse_qs(where.query)
        try:
            kind, name, part = self._route(where.path)
            verb = _verb(verb, name, part)
            resource = f"{kind}/{part}" if part == "scale" else kind
            asked = f"{verb} {resource}"
            fake.seen.append(asked + ("?dryRun" if query.get("dryRun") else ""))
            fault = fake.fault(asked)
            if self._befallen(fault):
                return
            if verb == "portforward":
                self._forward(name, int(query["ports"][0]))
                return
            self._check_format(verb)
            answer = fake.answer(verb, kind, name, part, query, json.loads(body or b"null"))
            if fault is not None and fault.trouble is Trouble.LOSE_REPLY:
                self.close_connection = True
                return
            self._send(200, answer)
        except Refused as refused:
            self._send(
                refused.status,
                {"kind": "Status", "message": refused.message, "code": refused.status},
            )

    def _check_format(self, verb: str) -> None:
        if verb == "patch" and self.headers["Content-Type"] != "application/merge-patch+json":
            raise Refused(415, "the body of the request was in an unknown format")

    def _befallen(self, fault: Fault | None) -> bool:
        """Whether a fault keeps the request from being done."""
        if fault is None or fault.trouble is Trouble.LOSE_REPLY:
            return False
        if fault.trouble is Trouble.MEDDLE:
            fault.act()
            return False
        if fault.trouble is Trouble.STALL:
            self.server.fake.released.wait()
            self.close_connection = True
            return True
        raise Refused(fault.status, f"planned: {fault.on}")

    def _route(self, path: str) -> tuple[str, str, str]:
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized")
        route = re.fullmatch(
            rf"(/apis?/[a-z0-9/]+)/namespaces/{NAMESPACE}/([a-z]+)(?:/([^/]+))?(?:/([a-z]+))?", path
        )
        if route is None or _WAYS.get(route[2]) != route[1]:
            self.server.fake.unknown.append(f"{self.command} {path}")
            raise Refused(404, f"the server could not find {path}")
        return route[2], route[3] or "", route[4] or ""

    def _forward(self, name: str, port: int) -> None:
        pod = self.server.fake.pods.get(name)
        if pod is None:
            raise Refused(404, f'pods "{name}" not found')
        with socket.create_connection(("127.0.0.1", pod.port)) as connection:
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept_key(self.headers["Sec-WebSocket-Key"]))
            self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
            self.end_headers()
            forward(self.rfile, self.connection, port, connection)
        self.close_connection = True

    def _send(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _verb(method: str, name: str, part: str) -> str:
    if part == "portforward":
        return part
    return method if name else "list"


def _pod(pod: SimulatedPod) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": pod.name, "labels": _LABELS | {COLOUR: pod.colour}}
    if pod.ending:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    state = {"waiting": {"reason": pod.waiting}} if pod.waiting else {"running": {}}
    return {
        "metadata": metadata,
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(pod.ready)}],
            "containerStatuses": [
                {"state": state, "started": not (pod.waiting or pod.looks_until_ready)}
            ],
        },
    }


def _merged(found: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    merged = dict(found) if isinstance(found, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
