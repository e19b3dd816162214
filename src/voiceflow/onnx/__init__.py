"""Runs models: the only importer of ONNX Runtime."""

import os

# Wheels from 1.29 on send telemetry and open a database under the home folder otherwise; the
# runtime reads this once, when it is imported: by the first of this package's modules.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from voiceflow.onnx.binding import bind

__all__ = ["bind"]
