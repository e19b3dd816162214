"""How a client calls it: samples in, tensors out, as they are."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from benchmarks.peers.http_calls import binary_calls
from benchmarks.peers.load import Call


def connect(address: str) -> AbstractAsyncContextManager[Call]:
    """A client of a server at `host:port`."""
    return binary_calls(f"http://{address}/")
