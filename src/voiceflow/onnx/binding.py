"""Binds a graph to its contract, so that both contracts look alike to whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from voiceflow.artifact import Manifest
from voiceflow.contract import STREAM_CONTRACT, check_signature
from voiceflow.errors import PackageInvalid
from voiceflow.onnx.runtime import Calls, open_session, signatures
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.provider import Provider


def bind(package: ModelPackage, *, threads: int = 1, provider: Provider = "cpu") -> BoundModel:
    """Loads a package's graph and checks it against the contract that its manifest names.

    Args:
        package: A verified package.
        threads: Threads of one call.
        provider: What computes it.

    Raises:
        PackageInvalid: If the graph does not load or breaks its contract.
        NotAllowedNow: PROVIDER_MISSING, see `open_session`.
        Unavailable: PROVIDER_UNUSABLE, likewise.
    """
    session = open_session(package.model_bytes, threads=threads, provider=provider)
    manifest = package.manifest
    state_shapes = check_signature(
        manifest, signatures(session.get_inputs()), signatures(session.get_outputs())
    )
    if manifest.contract == STREAM_CONTRACT:
        return StreamModel(manifest, session, state_shapes)
    return WindowModel(manifest, session)


class StreamModel:
    """`diarization-stream/1.0`: memory goes in and comes out as tensors."""

    def __init__(
        self,
        manifest: Manifest,
        session: ort.InferenceSession,
        state_shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.manifest = manifest
        self.state_shapes = state_shapes
        self._session = Calls(session)
        self._outputs = ["speech", "activity", "embedding", *(f"next.{n}" for n in state_shapes)]

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """See `BoundModel.run`."""
        feeds = {"audio": audio} | {f"state.{name}": array for name, array in state.items()}
        speech, activity, embedding, *memory = self._session.run(self._outputs, feeds)
        return Frames(speech, activity, embedding), dict(
            zip(self.state_shapes, memory, strict=True)
        )

    def terminate(self) -> None:
        """See `BoundModel.terminate`."""
        self._session.terminate()


class WindowModel:
    """`diarization-window/1.0`: the memory is the audio that the next window still needs."""

    def __init__(self, manifest: Manifest, session: ort.InferenceSession) -> None:
        if manifest.window_samples is None:
            raise PackageInvalid(
                "manifest.json: window_samples is missing; a windowed model needs it",
                reason="MANIFEST_INVALID",
                field="window_samples",
            )
        self.manifest = manifest
        self.state_shapes: Mapping[str, tuple[int, ...]] = {"window": (manifest.window_samples,)}
        self._session = Calls(session)

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """See `BoundModel.run`.

        Activity and embedding are read `look_ahead_frames` before the end of the window, where the
        model has heard both sides; speech at its very end.
        """
        hop_samples = audio.shape[1]
        frames = hop_samples // self.manifest.frame_samples
        window = audio
        if hop_samples < self.state_shapes["window"][0]:
            window = np.concatenate([state["window"][:, hop_samples:], audio], axis=1)
        activity, local = self._session.run(["activity", "embedding"], {"audio": window})
        # activity: (batch, window frames, local_speakers); local: (batch, local_speakers, dim)
        speech = activity[:, -frames:].max(axis=2)  # (batch, frames)
        end = activity.shape[1] - self.manifest.look_ahead_frames
        recent = activity[:, end - frames : end]  # (batch, frames, local_speakers)
        batch, tracks, dim = local.shape
        embedding = np.broadcast_to(local[:, None], (batch, frames, tracks, dim))
        return Frames(speech, recent, embedding), {"window": window}

    def terminate(self) -> None:
        """See `BoundModel.terminate`."""
        self._session.terminate()
