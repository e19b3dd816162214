"""The command that measures how well speakers are told apart, through the real service."""

from voiceflow.cli.evaluate.command import evaluate

__all__ = ["evaluate"]
