"""Where training reads and writes, relative to the project."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SPEECH = PROJECT.parent / "shared" / "speech"
VAR = PROJECT / "var"
CACHE = VAR / "cache"
TUNING = VAR / "tuning"
RUN = VAR / "training"
PACKAGE = PROJECT / "models" / "diarizer" / "1.0.0"
