"""A small strict server of the JSON API of Google Cloud Storage, with faults on demand.

It knows objects only: insert (media, multipart, resumable), get (metadata, media, ranges, pinned
generations), list, delete, each under `ifGenerationMatch`. What it does not know it refuses, query
parameters too. See https://cloud.google.com/storage/docs/json_api/v1.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.gcs_bucket import Bucket, Refused
from tests.fakes.gcs_requests import (
    QUANTUM,
    Reply,
    Seen,
    Upload,
    insert,
    json_reply,
    listed,
    media,
    number,
    parsed,
)


class Trouble(Enum):
    """What goes wrong with a request."""

    REFUSE = auto()
    """An error is answered, and nothing done."""
    STALL = auto()
    """Nothing is done, and nothing answered."""
    LOSE_REPLY = auto()
    """It is done, then the connection is closed."""
    STALL_AFTER = auto()
    """It is done, and nothing answered."""
    CUT = auto()
    """Half of the reply's body comes, then the connection is closed."""
    SHORTEN = auto()
    """Half of the reply's body is sent as if it were all."""
    FLIP = auto()
    """One bit of the reply's body is wrong."""
    SAY_LITTLE = auto()
    """It is done, and the reply has no more to say than that."""
    KEEP_LESS = auto()
    """Only the first 256 KiB of an upload's chunk are kept."""


@dataclass
class Fault:
    """A trouble and whom it befalls.

    Attributes:
        trouble: What.
        on: The operation: list, get, media, insert, begin, chunk, cancel, delete; empty for any.
        times: How often still; None: for ever.
        skip: How many that it would befall are spared first.
        status: Of REFUSE.
    """

    trouble: Trouble
    on: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503


class FakeGcs:
    """The server. Use `serving()`.

    Attributes:
        endpoint: Where it is.
        buckets: By name.
        seen: Every request that it knows, in the order in which they came.
        refused: Requests that it does not know.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.buckets: dict[str, Bucket] = {}
        self.seen: list[Seen] = []
        self.refused: list[str] = []
        self.released = threading.Event()
        self._faults: list[Fault] = []
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def add_bucket(self, name: str) -> Bucket:
        """Makes an empty bucket."""
        self.buckets[name] = Bucket(name)
        return self.buckets[name]

    def plan(self, *faults: Fault) -> None:
        """Faults for requests to come; the first that fits befalls each."""
        with self._lock:
            self._faults.extend(faults)

    def heal(self) -> None:
        """Forgets all faults planned."""
        with self._lock:
            self._faults.clear()

    def unfinished_uploads(self) -> int:
        """How many uploads were begun, and neither ended nor were cancelled."""
        return sum(upload.unfinished for upload in self._uploads.values())

    def forget_uploads(self) -> None:
        """Drops all that is known of uploads, as after a week."""
        self._uploads.clear()

    def take(self, seen: Seen) -> Fault | None:
        """Notes a request; the fault that befalls it."""
        with self._lock:
            self.seen.append(seen)
            for fault in self._faults:
                if fault.on in {"", seen.operation} and fault.times != 0:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def answer(self, bucket_name: str, seen: Seen, body: bytes) -> Reply:
        """Does what a request asks for.

        Raises:
            Refused: It does not.
        """
        bucket = self.buckets.get(bucket_name)
        if bucket is None:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        condition = number(seen.query.get("ifGenerationMatch"))
        generation = number(seen.query.get("generation"))
        if seen.operation == "list":
            reply = listed(bucket, seen.query)
        elif seen.operation == "get":
            found = bucket.find(seen.name, generation, condition)
            reply = json_reply(found.metadata(bucket.name))
        elif seen.operation == "media":
            reply = media(bucket.find(seen.name, generation, condition), seen.headers)
        elif seen.operation == "delete":
            bucket.delete(seen.name, generation, condition)
            reply = Reply(204)
        elif seen.operation == "insert":
            reply = insert(bucket, seen, condition, body)
        elif seen.operation == "begin":
            reply = self._begin(bucket, seen, condition, body)
        elif seen.operation == "chunk":
            reply = self._upload(seen).take(bucket, seen, body)
        else:
            reply = self._upload(seen).cancel()
        return reply

    def _begin(self, bucket: Bucket, seen: Seen, condition: int | None, body: bytes) -> Reply:
        described = json.loads(body or b"{}")
        name = seen.query.get("name") or described.get("name", "")
        bucket.check_writer(name)
        bucket.expect(name, condition)
        upload_id = uuid.uuid4().hex
        total = number(seen.headers.get("x-upload-content-length"))
        self._uploads[upload_id] = Upload(name, condition, total, described)
        place = f"{self.endpoint}/upload/storage/v1/b/{bucket.name}/o"
        return Reply(
            200, headers={"Location": f"{place}?uploadType=resumable&upload_id={upload_id}"}
        )

    def _upload(self, seen: Seen) -> Upload:
        try:
            return self._uploads[seen.query["upload_id"]]
        except KeyError:
            raise Refused(404, "notFound", "Upload not found.") from None


@contextmanager
def serving() -> Iterator[FakeGcs]:
    """A server on loopback, until the block ends; what stalls is let go then."""
    fake = FakeGcs()
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake: FakeGcs) -> None:
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
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        fake = self.server.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            bucket, seen = parsed(self.command, self.path, headers)
        except Refused as refused:
            fake.refused.append(f"{self.command} {self.path}: {refused.message}")
            self._send(Reply(refused.status, refused.body), None)
            return
        fault = fake.take(seen)
        trouble = fault.trouble if fault else None
        if trouble is Trouble.STALL:
            fake.released.wait()
            self.close_connection = True
            return
        if trouble is Trouble.KEEP_LESS:
            body = body[:QUANTUM]
            first = seen.headers["content-range"].removeprefix("bytes ").partition("-")[0]
            seen = Seen(
                seen.operation,
                seen.name,
                seen.query,
                {**seen.headers, "content-range": f"bytes {first}-{int(first) + QUANTUM - 1}/*"},
            )
        reply = self._reply(bucket, seen, body, fault)
        if trouble is Trouble.STALL_AFTER:
            fake.released.wait()
        if trouble in {Trouble.LOSE_REPLY, Trouble.STALL_AFTER}:
            self.close_connection = True
            return
        self._send(reply, trouble)

    def _reply(self, bucket: str, seen: Seen, body: bytes, fault: Fault | None) -> Reply:
        if fault and fault.trouble is Trouble.REFUSE:
            refused = Refused(fault.status, "backendError", "Try again, or do not.")
        else:
            try:
                return self.server.fake.answer(bucket, seen, body)
            except Refused as error:
                refused = error
        # Google answers a download with bare text.
        text = refused.message.encode() if seen.operation == "media" else refused.body
        return Reply(refused.status, text)

    def _send(self, reply: Reply, trouble: Trouble | None) -> None:
        body = reply.body
        middle = len(body) // 2
        if trouble is Trouble.SAY_LITTLE:
            body = b"{}"
        if trouble is Trouble.SHORTEN:
            body = body[:middle]
        if trouble is Trouble.FLIP:
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if trouble is Trouble.CUT:
            body = body[:middle]
            self.close_connection = True
        self.wfile.write(body)
