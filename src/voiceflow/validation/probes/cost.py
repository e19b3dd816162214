"""Loads, times, unloads. What memory the process has is seen from outside."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Annotated, BinaryIO, Final

from pydantic import Field, TypeAdapter

from voiceflow.onnx import bind
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, empty_state
from voiceflow.validation.measured import Calls, Done, Reload, Timed
from voiceflow.validation.probes.model import load, told, voices
from voiceflow.validation.sandbox.limits import JsonValue

_ASKED: Final[TypeAdapter[Calls | Reload]] = TypeAdapter(
    Annotated[Calls | Reload, Field(discriminator="do")]
)


def probe(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Answers `Calls` with a `Timed` and `Reload` with a `Done`."""
    package = load(files, arguments)
    loaded = [bind(package)]

    def answer(question: JsonValue) -> JsonValue:
        asked = _ASKED.validate_python(question)
        if isinstance(asked, Calls):
            return told(lambda: _time(loaded[0], asked))
        return told(lambda: _reload(package, loaded, asked.times))

    return answer


def _time(model: BoundModel, asked: Calls) -> Timed:
    samples = max(model.manifest.hop_samples.values())
    audio = voices(31, asked.rows, samples)
    state = empty_state(model, asked.rows)
    taken = []
    for _ in range(asked.calls):
        began = time.perf_counter()
        _, state = model.run(audio, state)
        taken.append(time.perf_counter() - began)
    return Timed(seconds=tuple(taken))


def _reload(package: ModelPackage, loaded: list[BoundModel], times: int) -> Done:
    for _ in range(times):
        loaded.clear()
        gc.collect()
        loaded.append(bind(package))
        _time(loaded[0], Calls(rows=1, calls=1))
    return Done(done=True)
