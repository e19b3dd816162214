"""The windowed model behind MLServer: PCM16 as a BYTES tensor of the V2 protocol, over gRPC.

MLSERVER_MODEL_URI=PATH mlserver start benchmarks/peers/mlserver
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, ResponseOutput
from numpy.typing import NDArray


class WindowRuntime(MLModel):
    """One model, in a worker process of MLServer's.

    Numbers other than bytes become Python lists on their way through MLServer; as bytes they pass
    as they are.
    """

    async def load(self) -> bool:
        """Loads the model, in the worker."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        parameters = self.settings.parameters
        self._session = ort.InferenceSession(
            parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """What the model says of the windows of a batch."""
        (windows,) = payload.inputs
        audio = np.stack([np.frombuffer(one, "<i2") for one in windows.data.root])
        activity, embedding = self._session.run(
            ["activity", "embedding"], {"audio": audio.astype(np.float32) / 32768}
        )
        return InferenceResponse(
            model_name=self.name,
            outputs=[_output("activity", activity), _output("embedding", embedding)],
        )


def _output(name: str, rows: NDArray[np.float32]) -> ResponseOutput:
    """A tensor with an element of bytes for each window."""
    return ResponseOutput(
        name=name,
        shape=[len(rows), 1],
        datatype="BYTES",
        parameters=Parameters(content_type="raw"),
        data=[row.tobytes() for row in rows],
    )
