"""Who calls: a principal, and what it was granted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class CallerRole(StrEnum):
    """What a caller may be granted; which methods that opens stands in `voiceflow.rpc.access`."""

    CLIENT = "client"
    READER = "reader"
    PUBLISHER = "publisher"
    PROMOTER = "promoter"
    OPERATOR = "operator"
    COLLECTOR = "collector"
    VALIDATOR = "validator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        principal: A URI: that of the certificate, or the subject of the token; without
            authentication, the address that the call comes from.
        roles: What was granted.
        models: Of a publisher: ids of its own models; `*` stands for any characters.
        pods: Ids of the pods that it may report for, likewise; after the id of a model and a slash:
            only while they follow a channel of that model.
        credential: `sha256:…` of the certificate, or `jti:…` of the token; empty without any.
        peer: Address that the call comes from.
    """

    principal: str
    roles: frozenset[CallerRole] = frozenset()
    models: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    credential: str = ""
    peer: str = ""

    def owns_model(self, model: str) -> bool:
        """Whether a model is one of its own."""
        return _matches(model, self.models)

    def is_pod(self, pod: str, model: str) -> bool:
        """Whether it may report for a pod that follows a channel of a model."""
        bounded = (pattern if "/" in pattern else f"*/{pattern}" for pattern in self.pods)
        return _matches(f"{model}/{pod}", bounded)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
