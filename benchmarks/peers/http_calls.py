"""Calls over HTTP, for the servers that speak it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import aiohttp

from benchmarks.peers.load import Call, CallFailed

TENSOR_BYTES: Final = 4 * (75 * 2 + 2 * 256)
"""Activity and embedding of the fast-cnn shape as float32, one after the other."""


@asynccontextmanager
async def http_calls(
    url: str, content_type: str, body: Callable[[bytes], bytes], check: Callable[[bytes], object]
) -> AsyncIterator[Call]:
    """A client that posts windows over a connection of its own.

    Args:
        url: To post to.
        content_type: Of what is posted.
        body: What to post for a window.
        check: Raises `CallFailed` for an answer that is none.
    """
    headers = {"Content-Type": content_type}
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=60.0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call(window: bytes) -> None:
            try:
                async with session.post(url, data=body(window)) as response:
                    content = await response.read()
            except aiohttp.ClientError as error:
                raise CallFailed(type(error).__name__) from error
            if response.status != 200:
                raise CallFailed(f"status {response.status}")
            check(content)

        yield call


def binary_calls(url: str) -> AbstractAsyncContextManager[Call]:
    """A client that posts samples as they are, and is answered with tensors as they are."""
    return http_calls(url, "application/octet-stream", bytes, check_tensors)


def check_tensors(content: bytes) -> None:
    """Whether an answer is as long as the tensors are.

    Raises:
        CallFailed: It is not.
    """
    if len(content) != TENSOR_BYTES:
        raise CallFailed(f"an answer of {len(content)} bytes")
