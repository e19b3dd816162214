"""Whether a model gives, here, the outputs that its package states."""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - zipfile wants it, and it must be there before the lockdown

from voiceflow.errors import PackageInvalid
from voiceflow.onnx.golden import reproduce, stated_tolerance
from voiceflow.package import GOLDEN_FILE, ModelPackage
from voiceflow.pipeline.model import BoundModel
from voiceflow.validation.measured import TEXT_CHARACTERS, Golden, finite


def measure(package: ModelPackage, _model: BoundModel) -> Golden:
    """Runs every golden case."""
    try:
        tolerance = finite(stated_tolerance(package.files[GOLDEN_FILE]))
        reproduce(package)
    except PackageInvalid as error:
        return Golden(fault=error.message[:TEXT_CHARACTERS])
    return Golden(tolerance=tolerance)
