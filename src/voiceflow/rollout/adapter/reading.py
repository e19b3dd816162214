"""Reads what a rollout needs out of Kubernetes' objects, as their JSON says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from voiceflow.errors import InvalidInput
from voiceflow.rollout.state import COLOUR_LABEL, Autoscaler, Colour, Pod, Selection, Side

MINIMUM_ANNOTATION: Final = "voiceflow.dev/rollout-min-replicas"
"""Of an autoscaler whose minimum a rollout has raised: what it was before."""

LEFT_ANNOTATION: Final = "voiceflow.dev/rollout-left"
"""Of a Service that a rollout has pointed elsewhere: the colour that may still have callers."""

Object = Mapping[str, Any]


def selection_of(service: Object) -> Selection:
    """What a Service selects.

    Raises:
        InvalidInput: SELECTOR_UNKNOWN: neither of the two colours, nor all.
    """
    labels = dict(service["spec"].get("selector") or {})
    colour = labels.pop(COLOUR_LABEL, None)
    left = _annotations(service).get(LEFT_ANNOTATION)
    try:
        return Selection(
            None if colour is None else Colour(colour),
            labels,
            None if left is None else Colour(left),
        )
    except ValueError:
        raise InvalidInput(
            f"Service {service['metadata']['name']} selects {COLOUR_LABEL}={colour}, left {left};"
            " there are blue and green",
            reason="SELECTOR_UNKNOWN",
        ) from None


def autoscaler_of(scaler: Object) -> Autoscaler:
    """A HorizontalPodAutoscaler's bounds."""
    before = _annotations(scaler).get(MINIMUM_ANNOTATION, "")
    return Autoscaler(
        scaler["metadata"]["name"],
        scaler["spec"].get("minReplicas", 1),
        scaler["spec"]["maxReplicas"],
        int(before) if before.isdecimal() else None,
    )


def side_of(
    colour: Colour,
    deployment: Object,
    pods: Iterable[Object],
    scalers: Iterable[Object],
) -> Side:
    """A Deployment, those of the pods that are its own, and the autoscaler that scales it."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    name = deployment["metadata"]["name"]
    replicas = spec.get("replicas", 1)
    template = spec["template"]
    wanted = spec["selector"].get("matchLabels") or {}
    own = [
        pod_of(pod)
        for pod in pods
        if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
    ]
    return Side(
        colour,
        name,
        replicas,
        rolled_out=status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= replicas,
        labels=template["metadata"].get("labels") or {},
        image=template["spec"]["containers"][0].get("image", ""),
        pods=tuple(sorted((pod for pod in own if pod is not None), key=lambda pod: pod.name)),
        autoscaler=next((autoscaler_of(one) for one in scalers if _scales(one, name)), None),
    )


def pod_of(pod: Object) -> Pod | None:
    """A pod; None: it has ended."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        return None
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    containers = status.get("containerStatuses") or []
    ready = conditions.get("Ready", {}).get("status") == "True"
    return Pod(
        pod["metadata"]["name"],
        ready=ready,
        started=bool(containers) and bool(containers[0].get("started")),
        ending=bool(pod["metadata"].get("deletionTimestamp")),
        remark="" if ready else _remark(conditions, containers),
    )


def _remark(conditions: Mapping[str, Object], containers: Iterable[Object]) -> str:
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return f"{waiting['reason']} {waiting.get('message', '')}".strip()
    for kind in ("PodScheduled", "Ready"):
        one = conditions.get(kind, {})
        if one.get("status") == "False":
            return f"{one.get('reason', 'not ready')} {one.get('message', '')}".strip()
    return "not ready"


def _scales(scaler: Object, deployment: str) -> bool:
    target: Object = scaler["spec"]["scaleTargetRef"]
    return bool(target["kind"] == "Deployment" and target["name"] == deployment)


def _annotations(thing: Object) -> Mapping[str, str]:
    annotations: Mapping[str, str] = thing["metadata"].get("annotations") or {}
    return annotations
