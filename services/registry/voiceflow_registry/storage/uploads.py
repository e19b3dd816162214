"""One resumable upload of the JSON API, from an iterator, in the memory of one piece.

The client library can do this from a file that can be sought, not from what comes only once: it
cannot ask how far the server came after a reply was lost. The protocol is
https://cloud.google.com/storage/docs/performing-resumable-uploads.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import google_crc32c
import requests
from google.api_core import exceptions

PIECE_BYTES: Final = 8 << 20
"""Sent in one request and held in memory; a multiple of 256 KiB, as the protocol asks for."""

Metadata = Mapping[str, Any]
"""What the server says of an object."""

_RANGE: Final = re.compile(r"bytes=0-(\d+)")
_DONE: Final = {200, 201}
_GO_ON: Final = 308


class ResumableUpload:
    """Sends one object's content; nothing is seen of it before the server has the last byte.

    A context manager: what is not finished at the end is cancelled.

    Args:
        session: Authorizes requests.
        what: For messages. The address of an upload is as good as a credential: no message has it.
        size_bytes: Of the whole object.
        timeout_seconds: To connect, and to wait for more of a reply.
        retrying: Makes a function try again while its failure may pass, and turns those that do
            not into what the caller wants raised. They are of `google.api_core.exceptions` or of
            requests.

    Attributes:
        checksum: CRC32C of all that was sent, in base 64.
    """

    def __init__(
        self,
        session: requests.Session,
        *,
        what: str,
        size_bytes: int,
        timeout_seconds: float,
        retrying: Callable[[Callable[[], Any]], Callable[[], Any]],
    ) -> None:
        self._session = session
        self._what = what
        self._size_bytes = size_bytes
        self._timeout_seconds = timeout_seconds
        self._retrying = retrying
        self._crc32c = 0
        self._url = ""
        self._sent_bytes = 0
        self._kept_bytes = 0
        self._unsure = False
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._url and not self._finished:
            # If this fails as well, the server drops it by itself after a week.
            with contextlib.suppress(Exception):
                self._ask("DELETE", self._url)

    @property
    def checksum(self) -> str:  # noqa: D102 - an attribute
        return base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()

    def begin(self, url: str) -> None:
        """Opens the upload.

        Args:
            url: Where uploads begin, with the object's name and condition.
        """
        self._url = self._retrying(lambda: self._begun(url))()

    def send(self, chunks: Iterable[bytes]) -> Metadata:
        """Sends everything.

        Args:
            chunks: The content, in pieces of any length.

        Returns:
            The finished object; little or nothing of it, if a reply was lost on the way.

        Raises:
            ValueError: They are not as long as announced.
        """
        came_bytes = 0
        held = bytearray()
        for chunk in chunks:
            came_bytes += len(chunk)
            if came_bytes > self._size_bytes:
                break
            held += chunk
            # The last piece waits until it is known to be the last.
            while len(held) > PIECE_BYTES:
                self._send(bytes(held[:PIECE_BYTES]))
                del held[:PIECE_BYTES]
        if came_bytes != self._size_bytes:
            raise ValueError(
                f"{self._what}: {came_bytes} bytes came of {self._size_bytes} announced"
            )
        return self._send(bytes(held)) or {}

    def _begun(self, url: str) -> str:
        headers = {"X-Upload-Content-Length": str(self._size_bytes)}
        reply = self._checked(self._ask("POST", url, headers), _DONE)
        if "Location" not in reply.headers:
            raise exceptions.BadGateway(f"{self._what}: the upload was begun at no address")
        return str(reply.headers["Location"])

    def _send(self, piece: bytes) -> Metadata | None:
        """Sends the next piece; the object if it was the last one."""
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        start = self._sent_bytes
        self._sent_bytes += len(piece)
        metadata: Metadata | None = self._retrying(lambda: self._try(piece, start))()
        return metadata

    def _try(self, piece: bytes, start: int) -> Metadata | None:
        if self._unsure:
            metadata = self._put(b"", f"bytes */{self._size_bytes}")
            if metadata is not None:
                return metadata
        last = self._sent_bytes == self._size_bytes
        while self._kept_bytes < self._sent_bytes or last:
            before = self._kept_bytes
            if before < start:
                raise exceptions.DataLoss(
                    f"{self._what}: bytes from {before} on were taken, then forgotten"
                )
            ends = f"{before}-{self._sent_bytes - 1}" if self._sent_bytes > before else "*"
            metadata = self._put(piece[before - start :], f"bytes {ends}/{self._size_bytes}")
            if metadata is not None:
                return metadata
            if self._kept_bytes <= before:
                raise exceptions.ServiceUnavailable(f"{self._what}: no byte was taken")
        return None

    def _put(self, content: bytes, content_range: str) -> Metadata | None:
        headers = {"Content-Range": content_range}
        if self._sent_bytes == self._size_bytes:
            # So that the server makes no object of anything else.
            headers["X-Goog-Hash"] = f"crc32c={self.checksum}"
        self._unsure = True
        reply = self._checked(self._ask("PUT", self._url, headers, content), _DONE | {_GO_ON})
        self._unsure = False
        if reply.status_code == _GO_ON:
            taken = _RANGE.fullmatch(reply.headers.get("Range", ""))
            self._kept_bytes = int(taken[1]) + 1 if taken else 0
            return None
        self._finished = True
        try:
            metadata: Metadata = reply.json()
        except ValueError:
            return {}
        return metadata

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                data=content,
                headers=dict(headers or {}),
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
        except requests.ConnectionError as error:
            # Its text has the address.
            raise requests.ConnectionError(f"{self._what}: {type(error).__name__}") from None
        except requests.Timeout:
            raise requests.Timeout(f"{self._what}: no reply in {self._timeout_seconds} s") from None

    def _checked(self, reply: requests.Response, allowed: set[int]) -> requests.Response:
        if reply.status_code not in allowed:
            raise exceptions.from_http_status(
                reply.status_code, f"{self._what}: {reply.text[:500]}", response=reply
            )
        return reply
