"""The `voiceflow` command: arguments in, the client's work, results and exit codes out."""

from voiceflow.cli.main import main

__all__ = ["main"]
