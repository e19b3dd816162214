"""`voiceflow rollout …`: the switch between blue and green in a cluster."""

from voiceflow.cli.rollout.group import rollout

__all__ = ["rollout"]
