"""Which model can go on with another one's stream."""

from __future__ import annotations

from voiceflow.artifact import Manifest


def can_follow(old: Manifest, new: Manifest) -> bool:
    """Whether frames of one model can come after frames of another in one stream.

    That is about their form alone: whether vectors and state mean the same is for the spaces to
    say, and for a gate to verify.
    """
    return _form(old) == _form(new)


def _form(manifest: Manifest) -> tuple[object, ...]:
    return (
        manifest.hop_samples,
        manifest.frame_samples,
        manifest.look_ahead_frames,
        manifest.tracks,
        manifest.embedding_dim,
    )
