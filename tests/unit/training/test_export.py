"""The exported graph computes what the network was trained to compute."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from benchmarks.paths import DEFAULT_MODEL  # noqa: E402
from training.export import export  # noqa: E402
from training.features import log_mel  # noqa: E402
from training.network import StreamNetwork, WindowNetwork  # noqa: E402
from training.shape import FRAME_SAMPLES, Array, Shape, zero_states  # noqa: E402
from voiceflow.onnx.runtime import open_session  # noqa: E402
from voiceflow.package import MODEL_FILE  # noqa: E402

SHAPE = Shape(channels=16, hidden=32, dilations=(1, 2, 8), head=16, embedding_dim=8)
FRAMES = 36
AnyTrunk = TypeVar("AnyTrunk", StreamNetwork, WindowNetwork)
OUTPUTS = ("speech", "activity", "embedding")


@pytest.fixture(scope="module")
def network() -> StreamNetwork:
    """A small network with nothing left at its initial value of zero or one."""
    torch.manual_seed(4)
    return _unlike_its_start(StreamNetwork(SHAPE))


@pytest.fixture(scope="module")
def session(network: StreamNetwork) -> Any:
    """The network as an ONNX Runtime session."""
    return open_session(export(network).SerializeToString(), threads=1)


def test_graph_equals_network(network: StreamNetwork, session: Any) -> None:
    """Speech, activity and embedding agree, from loud to very faint audio."""
    audio = _audio(3)
    with torch.inference_mode():
        logits, vectors = network(torch.from_numpy(log_mel(audio)))
    likely = torch.sigmoid(logits).numpy()
    graph = _run(session, audio, zero_states(3, SHAPE))
    np.testing.assert_allclose(graph["speech"], likely[..., 0], atol=1e-5)
    np.testing.assert_allclose(graph["activity"], likely[..., 1:], atol=1e-5)
    np.testing.assert_allclose(graph["embedding"], vectors.numpy(), atol=1e-4)


def test_window_graph_equals_network() -> None:
    """Local speakers and their vectors agree, from loud to very faint audio."""
    torch.manual_seed(4)
    shape = replace(SHAPE, window_frames=FRAMES)
    network = _unlike_its_start(WindowNetwork(shape))
    audio = _audio(3)
    with torch.inference_mode():
        logits, vectors = network(torch.from_numpy(log_mel(audio)))
    graph = _run(open_session(export(network).SerializeToString(), threads=1), audio, {})
    np.testing.assert_allclose(graph["activity"], torch.sigmoid(logits).numpy(), atol=1e-5)
    np.testing.assert_allclose(graph["embedding"], vectors.numpy(), atol=1e-4)


@pytest.mark.parametrize("hop", [1, 2, 12])
def test_hops_equal_the_whole(session: Any, hop: int) -> None:
    """The memory that goes out and in again is all that a stream needs."""
    audio, states = _audio(2), zero_states(2, SHAPE)
    whole = _run(session, audio, states)
    heard: dict[str, list[Array]] = {name: [] for name in OUTPUTS}
    for start in range(0, FRAMES * FRAME_SAMPLES, hop * FRAME_SAMPLES):
        told = _run(session, audio[:, start : start + hop * FRAME_SAMPLES], states)
        states = {f"state.{name[5:]}": told[name] for name in told if name.startswith("next.")}
        for name in OUTPUTS:
            heard[name].append(told[name])
    for name in OUTPUTS:
        np.testing.assert_allclose(np.concatenate(heard[name], axis=1), whole[name], atol=1e-4)


@pytest.mark.parametrize("hop", [2, 12])
@pytest.mark.parametrize("batch", [2, 3, 8, 16, 32])
def test_answer_does_not_depend_on_neighbours(hop: int, batch: int) -> None:
    """The committed graph gives a stream the same bits alone and in any batch."""
    path = DEFAULT_MODEL / MODEL_FILE
    session = open_session(path.read_bytes(), threads=1)
    rng = np.random.default_rng(6)
    audio = (rng.standard_normal((batch, hop * FRAME_SAMPLES)) * 0.1).astype(np.float32)
    states = {
        name: rng.standard_normal(state.shape).astype(np.float32)
        for name, state in zero_states(batch).items()
    }
    together = _run(session, audio, states)
    for row in {0, batch // 2, batch - 1}:
        alone = _run(
            session, audio[row : row + 1], {name: s[row : row + 1] for name, s in states.items()}
        )
        for name, value in alone.items():
            np.testing.assert_array_equal(value[0], together[name][row])


def _unlike_its_start(network: AnyTrunk) -> AnyTrunk:
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    return network.eval()


def _audio(batch: int) -> Array:
    rng = np.random.default_rng(batch)
    level = np.exp(rng.normal(-4, 2, (batch, FRAMES))).repeat(FRAME_SAMPLES, axis=1)
    noise = rng.standard_normal((batch, FRAMES * FRAME_SAMPLES))
    return np.clip(noise * level, -1, 1).astype(np.float32)


def _run(session: Any, audio: Array, states: dict[str, Array]) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"audio": audio} | states), strict=True))
