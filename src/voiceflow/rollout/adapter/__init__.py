"""Kubernetes, by its official client: the only importer of `kubernetes`.

Importing it needs the extra `voiceflow[kubernetes]`.
"""

from voiceflow.rollout.adapter.api import KubernetesCluster
from voiceflow.rollout.adapter.connection import Connection, connect
from voiceflow.rollout.adapter.pods import ForwardedPods

__all__ = ["Connection", "ForwardedPods", "KubernetesCluster", "connect"]
