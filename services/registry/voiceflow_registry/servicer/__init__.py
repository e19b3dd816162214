"""Answers the methods of `voiceflow.registry.v1.ModelRegistry`.

Messages end here: what is below works on the values of `voiceflow.catalog`. The acts block, so each
runs in a thread.
"""

from voiceflow_registry.servicer.presence import Places, Presence
from voiceflow_registry.servicer.service import SERVICE_NAME, RegistryServicer, register
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import Acts

__all__ = ["SERVICE_NAME", "Acts", "Places", "Presence", "RegistryServicer", "Threads", "register"]
