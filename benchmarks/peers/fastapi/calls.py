"""How a client calls it: numbers as text, both ways."""

from __future__ import annotations

import array
import json
from contextlib import AbstractAsyncContextManager

from benchmarks.peers.http_calls import http_calls
from benchmarks.peers.load import Call, CallFailed


def connect(address: str) -> AbstractAsyncContextManager[Call]:
    """A client of a server at `host:port`."""
    return http_calls(f"http://{address}/predict", "application/json", _body, _check)


def _body(window: bytes) -> bytes:
    samples = array.array("h", window)
    return json.dumps({"audio": [sample / 32768 for sample in samples]}).encode()


def _check(content: bytes) -> None:
    answer = json.loads(content)
    if (len(answer["activity"]), len(answer["embedding"])) != (75, 2):
        raise CallFailed("an answer of another shape")
