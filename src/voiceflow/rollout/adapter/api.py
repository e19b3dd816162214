"""A `Cluster` behind the API server of Kubernetes."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from kubernetes import client

from voiceflow.errors import VoiceFlowError
from voiceflow.rollout.adapter.connection import Connection
from voiceflow.rollout.adapter.reading import (
    LEFT_ANNOTATION,
    MINIMUM_ANNOTATION,
    autoscaler_of,
    selection_of,
    side_of,
)
from voiceflow.rollout.cluster import Seen
from voiceflow.rollout.state import COLOUR_LABEL, Autoscaler, Colour, Selection, Situation

_MANAGER: Final = "voiceflow-rollout"
"""Who has changed a field, as the API server keeps it."""

_MERGE: Final = "application/merge-patch+json"


class KubernetesCluster:
    """The Deployments `{service}-blue` and `{service}-green`, and the Service before them.

    Args:
        connection: To the API server.
        service: Its name.
    """

    def __init__(self, connection: Connection, service: str) -> None:
        self._connection = connection
        self._service = service
        self._core = client.CoreV1Api(connection.api)
        self._apps = client.AppsV1Api(connection.api)
        self._scaling = client.AutoscalingV2Api(connection.api)

    async def look(self) -> Situation:
        """See `Cluster`."""
        labels = await self._ask(self._core.read_namespaced_service, self._service)
        selection = selection_of(labels)
        names = {colour: f"{self._service}-{colour}" for colour in Colour}
        blue, green, pods, scalers = await asyncio.gather(
            *(self._ask(self._apps.read_namespaced_deployment, names[one]) for one in Colour),
            self._ask(self._core.list_namespaced_pod, label_selector=COLOUR_LABEL),
            self._ask(self._scaling.list_namespaced_horizontal_pod_autoscaler),
        )
        return Situation(
            self._connection.namespace,
            self._service,
            selection,
            *(
                side_of(colour, deployment, pods["items"], scalers["items"])
                for colour, deployment in ((Colour.BLUE, blue), (Colour.GREEN, green))
            ),
        )

    async def replicas(self, deployment: str) -> Seen[int]:
        """See `Cluster`."""
        scale = await self._ask(self._apps.read_namespaced_deployment_scale, deployment)
        return Seen(scale["spec"].get("replicas", 0), scale["metadata"]["resourceVersion"])

    async def set_replicas(
        self, deployment: str, replicas: int, resource_version: str, *, dry_run: bool
    ) -> None:
        """See `Cluster`."""
        patch = _patch(resource_version, spec={"replicas": replicas})
        method = self._apps.patch_namespaced_deployment_scale
        await self._change(method, deployment, patch, dry_run=dry_run)

    async def autoscaler(self, name: str) -> Seen[Autoscaler]:
        """See `Cluster`."""
        method = self._scaling.read_namespaced_horizontal_pod_autoscaler
        scaler = await self._ask(method, name)
        return Seen(autoscaler_of(scaler), scaler["metadata"]["resourceVersion"])

    async def set_autoscaler(
        self, autoscaler: Autoscaler, resource_version: str, *, dry_run: bool
    ) -> None:
        """See `Cluster`."""
        before = autoscaler.minimum_before
        patch = _patch(
            resource_version,
            {MINIMUM_ANNOTATION: None if before is None else str(before)},
            {"minReplicas": autoscaler.minimum},
        )
        method = self._scaling.patch_namespaced_horizontal_pod_autoscaler
        await self._change(method, autoscaler.name, patch, dry_run=dry_run)

    async def selection(self) -> Seen[Selection]:
        """See `Cluster`."""
        service = await self._ask(self._core.read_namespaced_service, self._service)
        return Seen(selection_of(service), service["metadata"]["resourceVersion"])

    async def select(self, selection: Selection, resource_version: str, *, dry_run: bool) -> None:
        """See `Cluster`."""
        patch = _patch(
            resource_version,
            {LEFT_ANNOTATION: selection.left},
            {"selector": {COLOUR_LABEL: selection.colour}},
        )
        method = self._core.patch_namespaced_service
        await self._change(method, self._service, patch, dry_run=dry_run)

    async def _change(self, method: Any, name: str, patch: Any, *, dry_run: bool) -> None:
        options = {"dry_run": "All"} if dry_run else {}
        await self._ask(
            method,
            name,
            body=patch,
            field_manager=_MANAGER,
            _content_type=_MERGE,
            **options,
        )

    async def _ask(self, method: Any, *names: str, **options: Any) -> Any:
        try:
            answer = await self._connection.ask(
                method, *names, namespace=self._connection.namespace, **options
            )
        except VoiceFlowError as error:
            error.message = f"{error.message} (namespace {self._connection.namespace})"
            raise
        return answer


def _patch(
    resource_version: str,
    annotations: dict[str, str | None] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A merge patch that is refused once the object has another resource version."""
    metadata: dict[str, Any] = {"resourceVersion": resource_version}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": spec}
