"""The windowed model behind Ray Serve: PCM16 in the body of a request, float32 in the answer's.

python -m benchmarks.peers.ray.server --model PATH --port PORT
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Final

import numpy as np
import onnxruntime as ort
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

BATCH_LIMIT: Final = 16
BATCH_WAIT_SECONDS: Final = 0.002
ONGOING_LIMIT: Final = 64
"""Calls that a replica takes in at once; Ray's default, 5, would starve the batch."""


class Window:
    """One model, in a worker process of Ray's.

    Args:
        model: Path of the ONNX file.
    """

    def __init__(self, model: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(model, options, providers=providers)

    async def __call__(self, request: Request) -> Response:
        """Both tensors, one after the other, from a window's samples."""
        content = await self.predict(await request.body())
        return Response(content, media_type="application/octet-stream")

    @serve.batch(max_batch_size=BATCH_LIMIT, batch_wait_timeout_s=BATCH_WAIT_SECONDS)
    async def predict(self, windows: list[bytes]) -> list[bytes]:
        """What the model says of windows that came together."""
        audio = np.stack([np.frombuffer(one, "<i2") for one in windows]).astype(np.float32) / 32768
        outputs = await asyncio.to_thread(
            self._session.run, ["activity", "embedding"], {"audio": audio}
        )
        return [a.tobytes() + e.tobytes() for a, e in zip(*outputs, strict=True)]


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": arguments.port},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    deployment = serve.deployment(num_replicas=1, max_ongoing_requests=ONGOING_LIMIT)(Window)
    serve.run(deployment.bind(arguments.model))
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
