"""The connection to an API server: who is asked, as whom, and what its refusals mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from yaml import YAMLError

from voiceflow.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
    VoiceFlowError,
)

_TIMEOUT_SECONDS: Final = (5.0, 15.0)
"""To connect, and between two parts of an answer."""

_IN_CLUSTER_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_UNREADABLE: Final = (
    ConfigException,
    OSError,
    YAMLError,
    # What the client trips over in a file that is something else.
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_ERRORS: Final[Mapping[int, tuple[type[VoiceFlowError], str]]] = {
    401: (Unauthenticated, "CLUSTER_UNAUTHENTICATED"),
    403: (Forbidden, "CLUSTER_FORBIDDEN"),
    404: (NotFound, "CLUSTER_OBJECT_NOT_FOUND"),
    409: (Conflict, "CLUSTER_OBJECT_CHANGED"),
    429: (Unavailable, "CLUSTER_UNAVAILABLE"),
}


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to a cluster.

    Attributes:
        api: The client's.
        context: As kubeconfig names it; empty: from inside the cluster.
        namespace: That everything is in.
    """

    api: client.ApiClient
    context: str
    namespace: str

    async def ask(self, method: Callable[..., Any], *arguments: str, **options: Any) -> Any:
        """Calls a method of the client; gives what the API server answers, as JSON says it.

        Raises:
            VoiceFlowError: As `told`.
        """

        def answer() -> Any:
            # As it is: the client's classes refuse answers of newer servers.
            reply = method(
                *arguments, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS, **options
            )
            return json.loads(reply.data)

        try:
            return await asyncio.to_thread(answer)
        except (ApiException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise told(error, self.api.configuration.host) from None

    def close(self) -> None:
        """Ends it."""
        self.api.close()


def connect(context: str | None, namespace: str | None, kubeconfig: Path | None) -> Connection:
    """Finds the cluster as kubectl does; inside one that no kubeconfig stands in for, it is that.

    Args:
        context: Of kubeconfig; None: the current one.
        namespace: None: that of the context.
        kubeconfig: The file; None: that of KUBECONFIG, or ~/.kube/config.

    Raises:
        InvalidInput: KUBECONFIG_INVALID.
    """
    settings = client.Configuration()
    settings.retries = urllib3.Retry(0)  # whether trying again is safe is known elsewhere
    path = None if kubeconfig is None else str(kubeconfig)
    try:
        if context is None and kubeconfig is None and _inside():
            config.load_incluster_config(client_configuration=settings)
            own = _IN_CLUSTER_NAMESPACE.read_text("utf-8").strip()
            return Connection(client.ApiClient(settings), "", namespace or own)
        contexts, current = config.list_kube_config_contexts(path)
        chosen = next((one for one in contexts if one["name"] == context), current)
        config.load_kube_config(path, context=context, client_configuration=settings)
    except _UNREADABLE as error:
        raise InvalidInput(
            f"no cluster to talk to: {error}", reason="KUBECONFIG_INVALID", field="context"
        ) from None
    own = chosen["context"].get("namespace") or "default"
    return Connection(client.ApiClient(settings), chosen["name"], namespace or own)


def told(error: Exception, host: str) -> VoiceFlowError:
    """What a failed call means.

    Args:
        error: Of the client, or of what it stands on.
        host: Of the API server.

    Returns:
        Unauthenticated, Forbidden, NotFound, Conflict, Unavailable, or InvalidInput for what an
        API server refuses as wrong; its own words are in the message.
    """
    if not isinstance(error, ApiException) or not error.status:
        what = "does not answer"
        if isinstance(error, ApiException):
            what = str(error.reason)
        elif isinstance(error, ValueError):
            what = f"answers what is no JSON: {error}"
        return Unavailable(f"the API server {host}: {what}", reason="CLUSTER_UNREACHABLE")
    status = int(error.status)
    words = _words(error)
    if status >= 500:
        return Unavailable(f"the API server: {words}", reason="CLUSTER_UNAVAILABLE")
    kind, reason = _ERRORS.get(status, (InvalidInput, "CLUSTER_REFUSED"))
    return kind(f"the API server: {words}", reason=reason)


def _inside() -> bool:
    """Whether this runs in a pod that may talk to its cluster, and nothing else is set up."""
    return _IN_CLUSTER_NAMESPACE.exists() and not any(
        Path(one).expanduser().exists()
        for one in config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(":")
    )


def _words(error: ApiException) -> str:
    """The message of the Status that an API server answers with."""
    try:
        status = json.loads(error.body or "")
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
