"""Where training reads and writes, relative to the project, and which commit it is at."""

import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SPEECH = PROJECT.parent / "shared" / "speech"
VAR = PROJECT / "var"
CACHE = VAR / "cache"
TUNING = VAR / "tuning"
MODELS = PROJECT / "models"


def head_commit() -> str:
    """The commit that the code is at."""
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()
