"""Where the project, the recordings and the model that is served by default lie."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SPEECH: Final = ROOT.parent / "shared" / "speech"
DEFAULT_MODEL: Final = ROOT / "models" / "diarizer" / "5.0.0"
