"""The windowed model behind LitServe: PCM16 in the body of a request, float32 in the answer's.

python -m benchmarks.peers.litserve.server --model PATH --port PORT

Annotations are not postponed here: LitServe hands that of `decode_request` to FastAPI as it is.
"""

import argparse
from typing import Annotated, Final

import litserve
import numpy as np
import onnxruntime as ort
from fastapi import Body, Response
from numpy.typing import NDArray

BATCH_LIMIT: Final = 16
BATCH_WAIT_SECONDS: Final = 0.002
KEEP_ALIVE_SECONDS: Final = 120
"""How long uvicorn keeps a connection that is quiet; its own 5 s are short on a busy machine."""

Output = tuple[NDArray[np.float32], NDArray[np.float32]]


class Window(litserve.LitAPI):
    """One model, in a worker process of LitServe's.

    Args:
        model: Path of the ONNX file.
    """

    def __init__(self, model: str) -> None:
        super().__init__(max_batch_size=BATCH_LIMIT, batch_timeout=BATCH_WAIT_SECONDS)
        self._model = model

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Loads the model, in the worker."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(self._model, options, providers=providers)

    def decode_request(
        self, request: Annotated[bytes, Body(media_type="application/octet-stream")]
    ) -> NDArray[np.float32]:
        """A window from its samples."""
        return np.frombuffer(request, "<i2").astype(np.float32) / np.float32(32768)

    def batch(self, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Windows that are computed together."""
        return np.stack(inputs)

    def predict(self, x: NDArray[np.float32]) -> Output:
        """What the model says of them."""
        activity, embedding = self._session.run(["activity", "embedding"], {"audio": x})
        return activity, embedding

    def unbatch(self, output: Output) -> list[Output]:
        """An answer for each."""
        return list(zip(*output, strict=True))

    def encode_response(self, output: Output) -> Response:
        """Both tensors, one after the other."""
        activity, embedding = output
        content = activity.tobytes() + embedding.tobytes()
        return Response(content, media_type="application/octet-stream")


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    server = litserve.LitServer(Window(arguments.model), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=arguments.port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


if __name__ == "__main__":
    main()
