"""Objects in a bucket of Google Cloud Storage.

Every write and every removal names the generation that it expects, so each may be tried again after
any failure: it takes place once. Contents are checked by CRC32C on their way in and out.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import google.auth
import google_crc32c
import requests
import urllib3
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from voiceflow_registry.storage.keys import check_folder, check_key, check_prefix, is_key
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectCorrupt,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
    StoredObject,
    StoreUnavailable,
)
from voiceflow_registry.storage.uploads import PIECE_BYTES, Metadata, ResumableUpload

_CHUNK_BYTES: Final = 1 << 20
_CONNECTIONS: Final = 64
_ENDPOINT: Final = "https://storage.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_CONTENT_TYPE: Final = "application/octet-stream"
_PAGE: Final = 1000
_FAILURES: Final = (
    exceptions.GoogleAPIError,
    GoogleAuthError,
    urllib3.exceptions.HTTPError,
    # With those of requests.
    OSError,
)


class GcsStore:
    """An `ObjectStore` in a bucket. Safe to use from many threads and processes.

    It asks for nothing but storage.objects.{create,delete,get,list} on the bucket, and for delete
    only to remove and to replace. A removal that was carried out, but whose reply was lost, says
    that there was nothing to remove.

    Args:
        bucket: Its name.
        prefix: Of all keys in the bucket: `voiceflow/registry`; empty if the bucket is all ours.
        endpoint: Of a server for tests: `http://127.0.0.1:4443`. Nothing else is spoken to then,
            and without credentials.
        timeout_seconds: To connect, and to wait for more of a reply.
        retry_seconds: How long an operation is tried again while its failure may pass: 429, 5xx,
            connections that fail or stall. It may take this and one timeout more.
        on_retry: Told of each such failure, on the thread of the operation.

    Raises:
        StoreUnavailable: There are no credentials.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        timeout_seconds: float = 30.0,
        retry_seconds: float = 60.0,
        on_retry: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._prefix = f"{'/'.join(check_key(prefix.strip('/')))}/" if prefix else ""
        self._endpoint = (endpoint or _ENDPOINT).rstrip("/")
        self._timeout_seconds = timeout_seconds
        passing = DEFAULT_RETRY._predicate  # noqa: SLF001 - what the library itself takes to pass

        def may_pass(error: Exception) -> bool:
            passes: bool = passing(error)
            if passes:
                on_retry(error)
            return passes

        patient = DEFAULT_RETRY.with_predicate(may_pass).with_timeout(retry_seconds)
        self._retry = patient.with_delay(
            # 0.2 s for a minute: the first pause, by chance up to twice as long.
            initial=retry_seconds / 300,
            maximum=retry_seconds / 6,
            multiplier=2.0,
        )
        # Even with tracing off the library would look up the bucket behind our back.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        credentials: Any = AnonymousCredentials()
        if endpoint is None:
            try:
                credentials, _ = google.auth.default(scopes=[_SCOPE])
            except GoogleAuthError as error:
                raise StoreUnavailable(f"no credentials for Google Cloud: {error}") from error
        self._session = AuthorizedSession(credentials)
        self._session.trust_env = endpoint is None
        self._session.hooks["response"].append(_release)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
        self._client = storage.Client(
            # Only buckets need one.
            project="<none>",
            credentials=credentials,
            client_options={"api_endpoint": self._endpoint},
            _http=self._session,
        )
        self._bucket = self._client.bucket(bucket)

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        if len(content) > PIECE_BYTES:
            return self._upload(key, [content], len(content), if_generation)
        blob = self._blob(key)
        with self._writing(key, if_generation):
            blob.upload_from_string(
                content,
                content_type=_CONTENT_TYPE,
                if_generation_match=if_generation,
                checksum="crc32c",
                timeout=self._timeout_seconds,
                retry=self._retry,
            )
        metadata = {"generation": blob.generation, "crc32c": blob.crc32c}
        return self._made(key, metadata, _base64(google_crc32c.value(content)))

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """See the port."""
        return self._upload(key, chunks, size_bytes, ABSENT)

    def get(self, key: str) -> StoredObject:
        """See the port."""
        blob = self._blob(key)
        with self._reading(key):
            content = self._download(blob)
            if blob.crc32c is None:
                # Replies to reads that had to be resumed do not have it.
                blob.reload(timeout=self._timeout_seconds, retry=self._retry)
        _compare(key, _base64(google_crc32c.value(content)), blob.crc32c)
        return StoredObject(content, int(blob.generation))

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """See the port."""
        described = self._described(key)
        size_bytes = _size_bytes(described)
        if not 0 <= offset <= size_bytes:
            raise ValueError(f"offset: {offset} is not within the {size_bytes} bytes of {key}")
        checksum = 0
        position = offset
        while position < size_bytes:
            wanted_bytes = min(PIECE_BYTES, size_bytes - position)
            blob = self._blob(key, generation=described.generation)
            with self._reading(key):
                piece = self._download(blob, start=position, end=position + wanted_bytes - 1)
            if not 0 < len(piece) <= wanted_bytes:
                raise ObjectCorrupt(
                    f"{key}: {len(piece)} bytes came for {wanted_bytes} from {position} on"
                )
            checksum = google_crc32c.extend(checksum, piece)
            position += len(piece)
            for start in range(0, len(piece), _CHUNK_BYTES):
                if position == size_bytes and start + _CHUNK_BYTES >= len(piece) and offset == 0:
                    # Before the last chunk: nobody is given all of what is wrong.
                    _compare(key, _base64(checksum), described.crc32c)
                yield piece[start : start + _CHUNK_BYTES]

    def info(self, key: str) -> ObjectInfo | None:
        """See the port."""
        try:
            return self._info(self._described(key))
        except ObjectMissing:
            return None

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port."""
        check_prefix(prefix)
        blobs = self._listed(
            prefix,
            start_after,
            # One more than asked for: the first one may be `start_after` itself.
            page_size=_PAGE if limit is None else min(limit + 1, _PAGE),
            fields="items(name,size,generation,timeCreated),nextPageToken",
        )
        with self._reading(prefix):
            infos = (self._info(blob) for blob in blobs)
            # Something else may have put there what is none of ours.
            ours = (info for info in infos if info.key > start_after and is_key(info.key))
            yield from itertools.islice(ours, limit)

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See the port."""
        check_folder(prefix)
        blobs = self._listed(
            prefix,
            # Not `start_after` with its slash: that of `a-b` comes before that of `a`.
            f"{prefix}{start_after}" if start_after else "",
            page_size=_PAGE,
            delimiter="/",
            fields="prefixes,nextPageToken",
        )
        with self._reading(prefix):
            for _ in blobs.pages:
                pass
        above = len(self._prefix) + len(prefix)
        names = {str(folder)[above:].removesuffix("/") for folder in blobs.prefixes}
        yield from sorted(name for name in names if name > start_after and is_key(name))

    def delete(self, key: str, *, if_generation: int) -> bool:
        """See the port."""
        blob = self._blob(key)
        try:
            with self._reading(key):
                blob.delete(
                    if_generation_match=if_generation,
                    timeout=self._timeout_seconds,
                    retry=self._retry,
                )
        except ObjectMissing:
            return False
        return True

    def _blob(self, key: str, generation: int | None = None) -> Any:
        check_key(key)
        return self._bucket.blob(self._prefix + key, generation=generation)

    def _described(self, key: str) -> Any:
        blob = self._blob(key)
        with self._reading(key):
            blob.reload(timeout=self._timeout_seconds, retry=self._retry)
        return blob

    def _info(self, blob: Any) -> ObjectInfo:
        key = str(blob.name).removeprefix(self._prefix)
        return ObjectInfo(key, _size_bytes(blob), int(blob.generation), blob.time_created)

    def _download(self, blob: Any, **span: int) -> bytes:
        # The library checks no sum once a read had to be resumed; we do.
        content: bytes = blob.download_as_bytes(
            **span,
            raw_download=True,
            checksum=None,
            timeout=self._timeout_seconds,
            retry=self._retry,
        )
        return content

    def _listed(self, prefix: str, start_at: str, **options: Any) -> Any:
        return self._client.list_blobs(
            self._bucket,
            prefix=self._prefix + prefix,
            start_offset=self._prefix + start_at if start_at else None,
            timeout=self._timeout_seconds,
            retry=self._retry,
            **options,
        )

    def _upload(
        self, key: str, chunks: Iterable[bytes], size_bytes: int, if_generation: int
    ) -> int:
        check_key(key)
        query = {
            "uploadType": "resumable",
            "name": self._prefix + key,
            "ifGenerationMatch": if_generation,
        }
        url = (
            f"{self._endpoint}/upload/storage/v1/b/{quote(self._bucket.name)}/o?{urlencode(query)}"
        )
        upload = ResumableUpload(
            self._session,
            what=key,
            size_bytes=size_bytes,
            timeout_seconds=self._timeout_seconds,
            # Here and not around it all: what the chunks raise goes through as it is.
            retrying=lambda act: self._writing(key, if_generation)(self._retry(act)),
        )
        with upload:
            upload.begin(url)
            return self._made(key, upload.send(chunks), upload.checksum)

    def _made(self, key: str, metadata: Metadata, checksum: str) -> int:
        """The generation of what was written, once its checksum has been compared."""
        generation, made = metadata.get("generation"), metadata.get("crc32c")
        if generation is None or made is None:
            # A reply was lost, and the server no longer knows what it said.
            blob = self._blob(key)
            with self._writing(key, ABSENT):
                blob.reload(timeout=self._timeout_seconds, retry=self._retry)
            if blob.crc32c != checksum:
                raise PreconditionFailed(f"{key} exists")
            return int(blob.generation)
        if made != checksum:
            self.delete(key, if_generation=int(generation))
            raise ObjectCorrupt(f"{key}: CRC32C {checksum} was sent, {made} was stored")
        return int(generation)

    @contextlib.contextmanager
    def _writing(self, key: str, if_generation: int) -> Iterator[None]:
        with self._reading(key):
            try:
                yield
            except exceptions.Forbidden as error:
                # Whoever may create and not delete may hear this of what exists, in place of 412.
                if if_generation == ABSENT and self.info(key) is not None:
                    raise PreconditionFailed(f"{key} exists") from error
                raise
            except exceptions.NotFound as error:
                # It is the bucket, or an upload that was given up as too old.
                raise self._unavailable(error) from error

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except exceptions.PreconditionFailed as error:
            raise PreconditionFailed(f"{key} has another generation") from error
        except exceptions.NotFound as error:
            self._check_bucket(error)
            raise ObjectMissing(f"there is no object {key}") from error
        except _FAILURES as error:
            raise self._unavailable(error) from error

    def _check_bucket(self, error: exceptions.NotFound) -> None:
        """Makes sure that it is the object which is missing, and not the bucket."""
        if "No such object" in error.message:
            return
        try:
            # Reading the bucket itself would take another permission.
            next(iter(self._listed("", "", max_results=1, fields="items(name)")), None)
        except _FAILURES as failure:
            raise self._unavailable(failure) from failure

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"bucket {self._bucket.name}: {error}")


def _release(reply: requests.Response, **options: object) -> None:
    """Reads what an error says, for the library leaves that, and with it the connection, open."""
    del options
    if not reply.ok:
        _ = reply.content


def _size_bytes(blob: Any) -> int:
    # Servers that think in protocol buffers leave out a zero.
    return int(blob.size or 0)


def _compare(key: str, seen: str, stored: str) -> None:
    if seen != stored:
        raise ObjectCorrupt(f"{key}: CRC32C {seen} was read, {stored} was stored")


def _base64(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()
