"""The windowed model behind FastAPI: audio as a JSON list of floats, the answer as JSON lists.

MODEL=PATH uvicorn benchmarks.peers.fastapi.server:app --port PORT

What many begin with: no batching, every number as text.
"""

from __future__ import annotations

import os

import fastapi
import numpy as np
import onnxruntime as ort
import pydantic


class Window(pydantic.BaseModel):
    """What a caller sends."""

    audio: list[float]
    """Samples from -1 to 1 at 16 kHz."""


class Answer(pydantic.BaseModel):
    """What the model says."""

    activity: list[list[float]]
    embedding: list[list[float]]


def _session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(os.environ["MODEL"], options, providers=providers)


session = _session()
app = fastapi.FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    """Answers once the model is loaded."""
    return {"status": "ok"}


@app.post("/predict")
def predict(window: Window) -> Answer:
    """One call of the model, on a thread of FastAPI's pool: the event loop goes on meanwhile."""
    audio = np.asarray(window.audio, np.float32)[None]
    activity, embedding = session.run(["activity", "embedding"], {"audio": audio})
    return Answer(activity=activity[0].tolist(), embedding=embedding[0].tolist())
