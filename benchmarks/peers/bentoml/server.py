"""The windowed model behind BentoML: PCM16 in the body of a request, float32 in the answer's.

MODEL=PATH bentoml serve benchmarks.peers.bentoml.server:Window --port PORT
"""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1, threads=1, logging={"access": {"enabled": False}})
class Window:
    """One model, in a worker process of BentoML's."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(os.environ["MODEL"], options, providers=providers)

    @bentoml.api
    def predict(self, audio: bytes, /) -> bytes:
        """Both tensors, one after the other, from a window's samples."""
        window = np.frombuffer(audio, "<i2").astype(np.float32)[None] / 32768
        activity, embedding = self._session.run(["activity", "embedding"], {"audio": window})
        return bytes(activity.tobytes() + embedding.tobytes())
