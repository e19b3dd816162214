"""Runs models: the only importer of ONNX Runtime."""

from voiceflow.onnx.binding import bind

__all__ = ["bind"]
