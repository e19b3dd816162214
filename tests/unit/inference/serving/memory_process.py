"""A process of its own, whose memory is looked at: `python -m … {keep|load}`; prints bytes."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.paths import DEFAULT_MODEL
from voiceflow.catalog.channels import VersionPin
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow_inference.batcher import Urgency
from voiceflow_inference.priority import run_behind
from voiceflow_inference.serving.loading import Loader
from voiceflow_inference.serving.memory import hold_little
from voiceflow_inference.settings import Settings

LOADS = 10


def resident_bytes() -> int:
    """Of this process."""
    return int(psutil.Process().memory_info().rss)


def keep() -> list[int]:
    """Before and after another thread has used 30 MiB, in pieces, for a while."""
    hold_little()
    for _ in range(3):
        np.ones(20 * 2**20, np.uint8)  # from now on the C library would keep as much

    def use() -> None:
        pieces = [b"x" * (100_000 + index) for index in range(300)]
        del pieces

    def run() -> None:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    before = resident_bytes()
    run()
    return [before, resident_bytes()]


async def load() -> list[int]:
    """After each of some loads of a version that were served from and unloaded."""
    chosen: dict[str, Any] = {"model_dir": Path("unused"), "batch_limit": 8, "streams": 100}
    loader = Loader(Settings(**chosen), lambda: None)
    pin = VersionPin(version="models/diarizer/versions/1.0.0")
    seen = [resident_bytes()]
    for number in range(LOADS):
        model = await run_behind(lambda: bind(load_package(DEFAULT_MODEL)))
        generation = await loader.warmed(model, pin, number, lambda _: None)
        del model
        lanes = [generation.batcher.open_lane() for _ in range(8)]
        hop = np.zeros(7680, np.float32)
        await asyncio.gather(*(lane.run(hop, 0.0, Urgency.LIVE) for lane in lanes))
        await generation.close()
        del generation
        seen.append(resident_bytes())
    return seen


if __name__ == "__main__":
    seen = keep() if sys.argv[1] == "keep" else asyncio.run(load())
    sys.stdout.write(" ".join(map(str, seen)))
