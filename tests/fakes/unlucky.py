"""What looks at a version first, with an accident that the version's pre-release asks for."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from voiceflow.artifact import Manifest
from voiceflow.validation.sandbox import JsonValue
from voiceflow_inference.serving import load_child


def _load(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    version = Manifest.from_json(cast("str", arguments["manifest"])).version

    def answer(_request: JsonValue) -> JsonValue:
        match version.prerelease:
            case "crash":
                ctypes.string_at(0)
            case "hang":
                time.sleep(3600)
            case "nonsense":
                return {"reason": "all is well", "message": "", "field": ""}
            case "almost":
                return {"reason": "GOLDEN\nMISMATCH", "message": "", "field": ""}
            case "long":
                return {"reason": "GOLDEN_MISMATCH", "message": "\n" * 9 + "x" * 9000, "field": ""}
            case "device":
                Path(os.devnull).read_bytes()
            case "gone":
                return {"reason": "PROVIDER_UNUSABLE", "message": "no device", "field": ""}
            case "flood":
                return "x" * 1024**2
        return load_child.look(files, arguments)

    return answer


PROBES: Mapping[str, Callable[..., Callable[[JsonValue], JsonValue]]] = {"load": _load}
