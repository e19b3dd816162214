"""Where a rollout takes place: the options that say so, and the way there."""

from __future__ import annotations

import functools
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from voiceflow.cli.options import Command, identity_options
from voiceflow.client.identity import ClientIdentity
from voiceflow.errors import NotServed
from voiceflow.rollout.cluster import Cluster, Pods

_SERVICE: Final = "voiceflow-inference"
_PORT: Final = 50051


@dataclass(frozen=True, slots=True)
class Place:
    """A Service of a cluster, with the two Deployments behind it.

    Attributes:
        context: Of kubeconfig; None: the current one.
        namespace: None: that of the context.
        kubeconfig: None: where kubectl looks.
        service: Its name; the Deployments are `{service}-blue` and `{service}-green`.
        port: Of the pods, where they serve.
        identity: Who the pods are asked by; None: in plain text, by nobody.
    """

    context: str | None
    namespace: str | None
    kubeconfig: Path | None
    service: str
    port: int
    identity: ClientIdentity | None

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[tuple[Cluster, Pods]]:
        """The cluster, and the pods in it.

        Raises:
            NotServed: KUBERNETES_MISSING: the client of Kubernetes is not installed.
            InvalidInput: KUBECONFIG_INVALID.
        """
        try:
            from voiceflow.rollout.adapter import (  # noqa: PLC0415 - needs an extra
                ForwardedPods,
                KubernetesCluster,
                connect,
            )
        except ImportError:
            raise NotServed(
                "rollouts need the package kubernetes: pip install 'voiceflow[kubernetes]'",
                reason="KUBERNETES_MISSING",
            ) from None
        connection = connect(self.context, self.namespace, self.kubeconfig)
        identity = self.identity
        if identity is not None and identity.server_name is None:
            identity = replace(identity, server_name=self.service)
        with closing(connection):
            async with ForwardedPods(connection, self.port, identity) as pods:
                yield KubernetesCluster(connection, self.service), pods

    def options(self) -> str:
        """The place in the words of a command line, after a space; identity is left out."""
        given = {
            "--context": self.context,
            "--namespace": self.namespace,
            "--kubeconfig": self.kubeconfig and str(self.kubeconfig),
            "--service": None if self.service == _SERVICE else self.service,
            "--port": None if self.port == _PORT else str(self.port),
        }
        words = [word for name, value in given.items() if value for word in (name, value)]
        return "".join(f" {shlex.quote(word)}" for word in words)


def place_options(command: Command) -> Command:
    """The options that say where; the command's argument `place` is a `Place`."""

    @functools.wraps(command)
    def with_place(**options: Any) -> Any:
        own = {name: options.pop(name) for name in Place.__dataclass_fields__}
        return command(place=Place(**own), **options)

    decorated: Command = identity_options(with_place)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_OPTIONS: Final = (
    click.option("--context", metavar="NAME", help="Of kubeconfig. [the current one]"),
    click.option("--namespace", "-n", metavar="NAME", help="[that of the context]"),
    click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, dir_okay=False),
        help="[$KUBECONFIG, or ~/.kube/config]",
    ),
    click.option(
        "--service",
        default=_SERVICE,
        show_default=True,
        metavar="NAME",
        help="The Service; behind it stand the Deployments NAME-blue and NAME-green.",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        default=_PORT,
        show_default=True,
        help="Of the pods, where they serve.",
    ),
)
