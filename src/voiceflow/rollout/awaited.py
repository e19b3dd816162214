"""What keeps a side from serving, or from being empty: pure rules, a line for each reason."""

from __future__ import annotations

from voiceflow.rollout.state import Pod, Side


def not_serving(side: Side, pods: int) -> list[str]:
    """Why fewer pods than wanted serve what their channel wants; empty: enough do.

    Args:
        side: The side, its pods asked.
        pods: Wanted.
    """
    reasons = [] if side.rolled_out else [f"{side.deployment} is still being rolled out"]
    lacking = {pod.name: why for pod in side.staying if (why := _not_serving(pod))}
    serving = len(side.staying) - len(lacking)
    if serving < pods:
        reasons.append(f"{serving} of {pods} pods serve")
        reasons += [f"{name}: {why}" for name, why in lacking.items()]
    return reasons


def not_empty(side: Side) -> list[str]:
    """Why a side may still have callers; empty: it has none."""
    return [f"{pod.name}: {why}" for pod in side.pods if (why := _not_empty(pod))]


def _not_serving(pod: Pod) -> str:
    if not pod.ready:
        return pod.remark or "not ready"
    said = pod.serving
    if said is None:
        return pod.silence or "it was not asked"
    if said.draining:
        return "it drains"
    if not said.versions:
        return "it serves no version"
    if said.serving_sequence < said.desired_sequence:
        return f"it serves {said.serving_sequence}, its channel wants {said.desired_sequence}"
    return ""


def _not_empty(pod: Pod) -> str:
    said = pod.serving
    if said is None:
        # One that ends may have ended, since it was listed.
        return "" if pod.ending or not pod.started else pod.silence or "it was not asked"
    if said.streams or said.files:
        return f"{said.streams} live streams and {said.files} recordings"
    return ""
