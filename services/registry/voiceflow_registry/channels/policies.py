"""Policies of channels: who may promote, what is demanded, when pods go back. A history of its own.

A promotion is judged by the policy that stood when it was read; a policy that is set at the same
time holds from the next promotion on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from pydantic import BaseModel

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import Conflict, InvalidInput, NotAllowedNow
from voiceflow.identity.caller import Caller
from voiceflow_registry.channels.etags import etag_of
from voiceflow_registry.channels.history import History
from voiceflow_registry.channels.wishes import MAXIMUM_SEQUENCE
from voiceflow_registry.records import PolicyRecord, policy_key
from voiceflow_registry.requests import request_of
from voiceflow_registry.storage.object_store import ObjectStore

MAXIMUM_PROMOTERS: Final = 100

_MAXIMUM_PRINCIPAL_CHARACTERS: Final = 512
_SMALLEST_QUORUM_PODS: Final = 2
_OUTPUT_ONLY: Final = frozenset({"sequence", "etag", "principal", "update_time"})


class Policies:
    """The policies of all channels; a channel need not exist to have one.

    Args:
        store: Holds them.
        clock: Tells when a policy was set, for people.
        default: Holds where none was set.

    Raises:
        InvalidInput: FIELD_INVALID, if the default breaks a rule.
    """

    def __init__(
        self, store: ObjectStore, clock: Callable[[], datetime], default: ChannelPolicy
    ) -> None:
        _check(default)
        self._default = default
        self._clock = clock
        self._history = History(store, PolicyRecord, policy_key)

    def get(self, name: ChannelName) -> ChannelPolicy:
        """The policy of a channel; the default, with sequence 0, if none was set."""
        newest = self._history.newest(name)
        if newest is not None:
            return newest.policy
        return self._default.model_copy(
            update={
                "name": name.policy,
                "sequence": 0,
                "etag": etag_of(0, _said(self._default)),
                "principal": "",
                "update_time": None,
            }
        )

    def after(self, name: ChannelName, sequence: int) -> ChannelPolicy | None:
        """The newest policy, if it is newer than a sequence."""
        newest = None
        for newest in self._history.after(name, sequence):  # noqa: B007 - the last one counts
            pass
        return newest.policy if newest is not None else None

    def update(
        self,
        caller: Caller,
        policy: ChannelPolicy,
        *,
        update_mask: Sequence[str] | None,
        etag: str,
        request_id: str,
        validate_only: bool,
    ) -> ChannelPolicy:
        """Sets a channel's policy, or some fields of it; where nothing changes, that it has stands.

        Args:
            caller: Who.
            policy: The channel by its name, and the values.
            update_mask: Paths of the fields to set, as the API names them, also within budgets and
                rules: `cost_budget.call_p99`. None or none: all fields.
            etag: As last read; required.
            request_id: Makes it safe to retry; may be empty.
            validate_only: Check, and answer as if it were done.

        Raises:
            InvalidInput: NAME_INVALID, MASK_INVALID, FIELD_REQUIRED, FIELD_INVALID,
                REQUEST_ID_REUSED.
            Conflict: ETAG_STALE.
        """
        name = ChannelName.parse_policy(policy.name, field="policy.name")
        request = request_of(
            caller,
            "UpdateChannelPolicy",
            request_id,
            {
                "policy": policy.model_dump(mode="json", exclude=set(_OUTPUT_ONLY)),
                "update_mask": sorted(update_mask or ()),
                "etag": etag,
            },
        )
        newest = self._history.newest(name)
        earlier = self._history.answered(name, request, etag, newest)
        if earlier is not None:
            return earlier.policy
        present = self.get(name) if newest is None else newest.policy
        if not etag:
            raise InvalidInput(
                "etag: missing; send the policy's, as last read",
                reason="FIELD_REQUIRED",
                field="etag",
            )
        if etag != present.etag:
            raise _stale(name, etag)
        wanted = _ordered(masked(present, policy, update_mask or None))
        _check(wanted)
        if present.sequence and _said(wanted) == _said(present):
            return present
        if present.sequence >= MAXIMUM_SEQUENCE:
            raise NotAllowedNow(
                f"{name.policy} is at sequence {present.sequence}, the last there is",
                reason="SEQUENCE_EXHAUSTED",
            )
        sequence = present.sequence + 1
        made = wanted.model_copy(
            update={
                "name": name.policy,
                "sequence": sequence,
                "etag": etag_of(sequence, _said(wanted)),
                "principal": caller.principal,
                "update_time": self._clock(),
            }
        )
        if validate_only:
            return made
        stands = self._history.append(name, PolicyRecord(policy=made, request=request))
        if stands is None:
            raise _stale(name, etag)
        return stands.policy


def settable_paths() -> dict[str, tuple[str, ...]]:
    """Every path that a mask may name, with the attributes that lead there."""
    paths: dict[str, tuple[str, ...]] = {}
    for name, field in ChannelPolicy.model_fields.items():
        if name in _OUTPUT_ONLY:
            continue
        paths[_on_wire(name)] = (name,)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for part in field.annotation.model_fields:
                paths[f"{_on_wire(name)}.{_on_wire(part)}"] = (name, part)
    return paths


def masked(
    present: ChannelPolicy, wanted: ChannelPolicy, mask: Iterable[str] | None
) -> ChannelPolicy:
    """The present policy with those fields as wanted that a mask names; None names all.

    Raises:
        InvalidInput: MASK_INVALID, for a path that is no field, or output only.
    """
    paths = settable_paths()
    for path in paths if mask is None else mask:
        if path not in paths:
            raise InvalidInput(
                f"update_mask: {path[:100]!r} is not to be set; allowed are {', '.join(paths)}",
                reason="MASK_INVALID",
                field="update_mask",
            )
        first, *rest = paths[path]
        value = getattr(wanted, first)
        if rest:
            part = {rest[0]: getattr(value, rest[0])}
            value = getattr(present, first).model_copy(update=part)
        present = present.model_copy(update={first: value})
    return present


def _on_wire(name: str) -> str:
    # The API has durations where the values here have seconds.
    return name.removesuffix("_seconds")


def _ordered(policy: ChannelPolicy) -> ChannelPolicy:
    """The same policy; each gate once, in their order."""
    gates = tuple(gate for gate in Gate if gate in policy.demanded_gates)
    return policy.model_copy(update={"demanded_gates": gates})


def _check(policy: ChannelPolicy) -> None:
    if len(policy.promoters) > MAXIMUM_PROMOTERS:
        raise _invalid(
            "policy.promoters", f"{len(policy.promoters)} of them; allowed are {MAXIMUM_PROMOTERS}"
        )
    for index, pattern in enumerate(policy.promoters):
        if len(pattern) > _MAXIMUM_PRINCIPAL_CHARACTERS or not re.fullmatch(
            r"[A-Za-z][A-Za-z0-9+.-]*:[!-)+-~]*(?:/\*)?", pattern
        ):
            raise _invalid(
                f"policy.promoters[{index}]",
                f"{pattern[:100]!r}; allowed is a URI of at most {_MAXIMUM_PRINCIPAL_CHARACTERS} "
                "characters, whose last segment may be `*`",
            )
    fleet = policy.fleet_rollback
    if fleet.enabled and fleet.minimum_pods < _SMALLEST_QUORUM_PODS:
        raise _invalid(
            "policy.fleet_rollback.minimum_pods",
            f"{fleet.minimum_pods}; where fleet_rollback is enabled, allowed are at least "
            f"{_SMALLEST_QUORUM_PODS}: one sick pod moves nobody else",
        )


def _said(policy: ChannelPolicy) -> bytes:
    """All of a policy that can be set, as text that is the same for the same values."""
    said = policy.model_dump(mode="json", exclude={*_OUTPUT_ONLY, "name"})
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _stale(name: ChannelName, etag: str) -> Conflict:
    return Conflict(
        f"{name.policy} is no longer as {etag!r:.80} says; read it again, and decide again",
        reason="ETAG_STALE",
        field="etag",
    )


def _invalid(field: str, seen: str) -> InvalidInput:
    return InvalidInput(f"{field}: {seen}", reason="FIELD_INVALID", field=field)
