"""The JSON API of Google Cloud Storage as functions: a request read, a reply made."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.gcs_bucket import Bucket, Held, Refused, invalid

QUANTUM: Final = 256 << 10
_COMMON: Final = frozenset({"alt", "fields", "prettyPrint", "projection", "ifGenerationMatch"})
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "list": frozenset({"prefix", "delimiter", "startOffset", "maxResults", "pageToken"}),
    "get": frozenset({"generation"}),
    "media": frozenset({"generation"}),
    "delete": frozenset({"generation"}),
    "insert": frozenset({"uploadType", "name"}),
    "begin": frozenset({"uploadType", "name"}),
    "chunk": frozenset({"uploadType", "upload_id", "name"}),
    "cancel": frozenset({"uploadType", "upload_id", "name"}),
}


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    operation: str
    name: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass
class Reply:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


_OBJECTS: Final = re.compile(r"(/upload|/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?")
_OPERATIONS: Final[Mapping[tuple[str, str, bool], str]] = {
    ("GET", "", False): "list",
    ("GET", "", True): "get",
    ("GET", "/download", True): "media",
    ("DELETE", "", True): "delete",
    ("POST", "/upload", False): "insert",
    ("PUT", "/upload", False): "chunk",
    ("DELETE", "/upload", False): "cancel",
}


def parsed(method: str, target: str, headers: Mapping[str, str]) -> tuple[str, Seen]:
    """The bucket that a request is about, and the request."""
    split = urlsplit(target)
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    found = _OBJECTS.fullmatch(split.path)
    key = (method, found[1] or "", found[3] is not None) if found else ("", "", False)
    operation = _OPERATIONS.get(key, "")
    if not found or not operation:
        raise Refused(501, "notImplemented", f"{method} {split.path} is not known here")
    if operation == "get" and query.get("alt") == "media":
        operation = "media"
    if operation == "insert" and query.get("uploadType") == "resumable":
        operation = "begin"
    strange = set(query) - _COMMON - _ALLOWED[operation]
    if strange:
        raise invalid(f"unknown query parameters {sorted(strange)}")
    return unquote(found[2]), Seen(operation, unquote(found[3] or ""), query, headers)


def number(text: str | None) -> int | None:
    """A decimal number of a query or header."""
    if text is None:
        return None
    if not text.isdecimal():
        raise invalid(f"{text!r} is no number")
    return int(text)


def json_reply(value: object) -> Reply:
    """200 with a value."""
    return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def listed(bucket: Bucket, query: Mapping[str, str]) -> Reply:
    """A page of a list, so much of it as a mask such as `items(name),nextPageToken` asks for."""
    page = bucket.page(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        maximum=min(number(query.get("maxResults")) or 1000, 1000),
        token=query.get("pageToken", ""),
    )
    fields = query.get("fields")
    if fields is None:
        return json_reply(page)
    wanted = re.findall(r"(\w+)(?:\(([\w,]+)\))?", fields)
    chosen: dict[str, Any] = {}
    for name, inner in wanted:
        if name in page:
            chosen[name] = page[name]
        if inner and name in page:
            chosen[name] = [{part: item[part] for part in inner.split(",")} for item in page[name]]
    return json_reply(chosen)


def media(held: Held, headers: Mapping[str, str]) -> Reply:
    """An object's content, or the range that is asked for."""
    length = len(held.content)
    given = {
        "Content-Type": held.content_type,
        "X-Goog-Generation": str(held.generation),
        "X-Goog-Metageneration": "1",
        "X-Goog-Stored-Content-Length": str(length),
        "X-Goog-Stored-Content-Encoding": "identity",
    }
    wanted = headers.get("range")
    if wanted is None:
        given["X-Goog-Hash"] = f"crc32c={held.crc32c},md5={held.md5}"
        return Reply(200, held.content, given)
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    if found is None:
        raise invalid(f"Range {wanted!r}")
    first, last = int(found[1]), min(int(found[2] or length), length - 1)
    if first > last:
        raise Refused(416, "requestedRangeNotSatisfiable", "Requested range not satisfiable")
    given["Content-Range"] = f"bytes {first}-{last}/{length}"
    return Reply(206, held.content[first : last + 1], given)


def insert(bucket: Bucket, seen: Seen, condition: int | None, body: bytes) -> Reply:
    """Makes an object in one request."""
    kind = seen.headers.get("content-type", "")
    if seen.query.get("uploadType") == "media":
        described: dict[str, str] = {}
        name, content = seen.query.get("name", ""), body
    elif seen.query.get("uploadType") == "multipart":
        described, kind, content = _parts(kind, body)
        name = described.get("name", "")
    else:
        raise invalid(f"uploadType {seen.query.get('uploadType')!r}")
    claimed = {**described, **hashes(seen.headers.get("x-goog-hash", ""))}
    return json_reply(bucket.insert(name, content, condition, claimed, kind).metadata(bucket.name))


def _parts(content_type: str, body: bytes) -> tuple[dict[str, str], str, bytes]:
    """The metadata, content type and content of a multipart upload."""
    found = re.fullmatch(r'multipart/related; boundary="?([^"]+)"?', content_type)
    if found is None:
        raise invalid(f"Content-Type {content_type!r}")
    edge = b"--" + found[1].encode()
    pieces = body.split(edge)
    if len(pieces) != 4 or pieces[0] or pieces[3].strip() != b"--":
        raise invalid("a multipart upload has two parts")
    described, content = (piece.partition(b"\r\n\r\n") for piece in pieces[1:3])
    kind = re.search(rb"content-type: *([^\r\n]+)", content[0], re.IGNORECASE)
    return (
        json.loads(described[2]),
        kind[1].decode() if kind else "",
        content[2].removesuffix(b"\r\n"),
    )


def hashes(header: str) -> dict[str, str]:
    """What `X-Goog-Hash` claims, by the names that metadata has for it."""
    names = {"crc32c": "crc32c", "md5": "md5Hash"}
    given = (part.strip().partition("=") for part in header.split(",") if part.strip())
    return {names[name]: value for name, _, value in given if name in names}


class Upload:
    """A resumable upload: what came so far.

    Args:
        name: Of the object to be.
        condition: The generation that it replaces; None: any.
        total: How long it will be, if that was announced.
        claimed: Checksums, so far as they were announced.
    """

    def __init__(
        self, name: str, condition: int | None, total: int | None, claimed: Mapping[str, str]
    ) -> None:
        self._name = name
        self._condition = condition
        self._total = total
        self._claimed = claimed
        self._content = bytearray()
        self._lock = threading.Lock()
        self._made: Held | None = None
        self._ended: Refused | None = None

    @property
    def unfinished(self) -> bool:
        """Whether it neither made an object nor failed nor was cancelled."""
        return not (self._made or self._ended)

    def cancel(self) -> Reply:
        """Ends it."""
        with self._lock:
            self._ended = Refused(499, "clientClosedRequest", "The upload was cancelled.")
        return Reply(499)

    def take(self, bucket: Bucket, seen: Seen, body: bytes) -> Reply:
        """A chunk, or a query of how much came; the object is made with the last byte."""
        with self._lock:
            if self._ended:
                raise self._ended
            if self._made:
                return json_reply(self._made.metadata(bucket.name))
            total = self._add(seen.headers.get("content-range", ""), body)
            if total is None or len(self._content) < total:
                kept = len(self._content)
                return Reply(308, headers={"Range": f"bytes=0-{kept - 1}"} if kept else {})
            claimed = {**self._claimed, **hashes(seen.headers.get("x-goog-hash", ""))}
            try:
                self._made = bucket.insert(
                    self._name, bytes(self._content), self._condition, claimed
                )
            except Refused as refused:
                self._ended = refused
                raise
            return json_reply(self._made.metadata(bucket.name))

    def _add(self, header: str, body: bytes) -> int | None:
        """Adds what is new in a chunk; the length of the whole, if it is known."""
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", header)
        if found is None:
            raise invalid(f"Content-Range {header!r}")
        total = None if found[3] == "*" else int(found[3])
        if self._total is not None and total not in {None, self._total}:
            raise invalid(f"{self._total} bytes were announced, not {total}")
        if found[1] is None:
            if body:
                raise invalid("a query of the status has no content")
            return total
        first, last = int(found[1]), int(found[2])
        if last - first + 1 != len(body):
            raise invalid(f"Content-Range {header!r} does not fit {len(body)} bytes")
        if first > len(self._content):
            raise invalid(f"offset {first} exceeds the {len(self._content)} bytes uploaded")
        if (total is None or last + 1 < total) and len(body) % QUANTUM:
            raise invalid(f"a chunk but the last one is a multiple of {QUANTUM} bytes")
        # What is there already is not taken again.
        self._content += body[len(self._content) - first :]
        return total
