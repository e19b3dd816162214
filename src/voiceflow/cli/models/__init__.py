"""`voiceflow models …`: everything that a publisher and an operator do with the registry."""

from voiceflow.cli.models.group import models

__all__ = ["models"]
