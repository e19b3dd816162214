"""What a bucket does, without HTTP: objects under generations, conditions, lists by pages."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import google_crc32c


class Refused(Exception):
    """What the API answers instead."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.body = json.dumps(
            {
                "error": {
                    "code": status,
                    "message": message,
                    "errors": [{"message": message, "domain": "global", "reason": reason}],
                }
            }
        ).encode()


def invalid(message: str) -> Refused:
    """400: the request is not as the API wants it."""
    return Refused(400, "invalid", message)


def base64_of(crc32c: int) -> str:
    """A CRC32C as the API writes it."""
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


@dataclass(frozen=True)
class Held:
    """One generation of an object."""

    name: str
    content: bytes
    generation: int
    crc32c: str
    md5: str
    created: str
    content_type: str

    def metadata(self, bucket: str) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "size": str(len(self.content)),
            "crc32c": self.crc32c,
            "md5Hash": self.md5,
            "timeCreated": self.created,
            "updated": self.created,
            "storageClass": "STANDARD",
        }


class Bucket:
    """Objects without older versions of them. Safe to use from many threads.

    Attributes:
        name: Its name.
        may: Whether whoever asks has one of get, list, create and delete, for an object's name;
            empty for `list`, which is asked of the bucket.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.may: Callable[[str, str], bool] = lambda _permission, _name: True
        self._lock = threading.RLock()
        self._objects: dict[str, Held] = {}
        self._generation = 1_700_000_000_000_000

    def insert(
        self,
        name: str,
        content: bytes,
        condition: int | None,
        claimed: Mapping[str, str],
        content_type: str = "application/octet-stream",
    ) -> Held:
        """Makes an object, if it is as claimed and the one there is of that generation.

        Args:
            name: Its name.
            content: Its content.
            condition: The generation, 0 for none; None: any.
            claimed: `crc32c` and `md5Hash` of the content, so far as the sender said.
            content_type: For downloads.
        """
        if not name or len(name.encode()) > 1024 or "\r" in name or "\n" in name:
            raise invalid(f"Invalid object name {name!r}.")
        crc32c = base64_of(google_crc32c.value(content))
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        for kind, said, seen in (
            ("CRC32C", claimed.get("crc32c"), crc32c),
            ("MD5 hash", claimed.get("md5Hash"), md5),
        ):
            if said is not None and said != seen:
                raise invalid(f'Provided {kind} "{said}" doesn\'t match calculated "{seen}".')
        with self._lock:
            self.check_writer(name)
            self.expect(name, condition)
            self._generation += 1
            created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            held = Held(name, content, self._generation, crc32c, md5, created, content_type)
            self._objects[name] = held
            return held

    def check_may(self, permission: str, name: str) -> None:
        """Refuses whoever has no such permission."""
        if not self.may(permission, name):
            raise Refused(403, "forbidden", f"no storage.objects.{permission} access to {name}")

    def check_writer(self, name: str) -> None:
        """Refuses whoever may not create an object, or delete the one that is there.

        Before any condition is looked at, which is the harder one of what Google may do.
        """
        with self._lock:
            self.check_may("create", name)
            if name in self._objects:
                self.check_may("delete", name)

    def expect(self, name: str, condition: int | None) -> None:
        """Refuses if the object is of another generation."""
        with self._lock:
            live = self._objects.get(name)
            if condition is not None and condition != (live.generation if live else 0):
                raise Refused(
                    412,
                    "conditionNotMet",
                    "At least one of the pre-conditions you specified did not hold.",
                )

    def find(self, name: str, generation: int | None, condition: int | None) -> Held:
        """The object, of that generation if one is given."""
        self.check_may("get", name)
        return self._find(name, generation, condition)

    def _find(self, name: str, generation: int | None, condition: int | None) -> Held:
        with self._lock:
            live = self._objects.get(name)
            if live is None or generation not in {None, live.generation}:
                raise Refused(404, "notFound", f"No such object: {self.name}/{name}")
            self.expect(name, condition)
            return live

    def delete(self, name: str, generation: int | None, condition: int | None) -> None:
        """Removes it."""
        with self._lock:
            self.check_may("delete", name)
            self._find(name, generation, condition)
            del self._objects[name]

    def corrupt(self, name: str) -> None:
        """Flips a bit of what is stored, and leaves everything that is said of it."""
        with self._lock:
            held = self._objects[name]
            changed = bytearray(held.content)
            changed[len(changed) // 2] ^= 1
            self._objects[name] = Held(
                held.name,
                bytes(changed),
                held.generation,
                held.crc32c,
                held.md5,
                held.created,
                held.content_type,
            )

    def page(
        self, *, prefix: str, delimiter: str, start: str, maximum: int, token: str
    ) -> dict[str, Any]:
        """One page of a list: objects and folders together make up its length."""
        self.check_may("list", "")
        after = base64.b64decode(token).decode() if token else ""
        items: list[dict[str, Any]] = []
        folders: list[str] = []
        last = ""
        with self._lock:
            names = sorted(self._objects, key=str.encode)
            for name in names:
                if not name.startswith(prefix) or name < start:
                    continue
                rest = name[len(prefix) :]
                folder = prefix + rest.split(delimiter)[0] + delimiter if delimiter else ""
                entry = folder if delimiter and delimiter in rest else name
                if entry <= after or (folders and entry == folders[-1]):
                    continue
                if len(items) + len(folders) == maximum:
                    return self._page(items, folders, last)
                last = entry
                if entry is name:
                    items.append(self._objects[name].metadata(self.name))
                else:
                    folders.append(entry)
        return self._page(items, folders, "")

    @staticmethod
    def _page(items: list[dict[str, Any]], folders: list[str], last: str) -> dict[str, Any]:
        page: dict[str, Any] = {"kind": "storage#objects"}
        if items:
            page["items"] = items
        if folders:
            page["prefixes"] = folders
        if last:
            page["nextPageToken"] = base64.b64encode(last.encode()).decode()
        return page
