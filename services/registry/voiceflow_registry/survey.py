"""What gauges tell of the registry: how far channels are, who follows them, and who watches.

Nothing is looked at unless somebody reads the gauges: each reading is answered at once with what
was found for the one before it, and has the store looked at anew for the next one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from voiceflow.catalog.names import ChannelName
from voiceflow.errors import VoiceFlowError
from voiceflow.telemetry.metrics import CHANNEL_SEQUENCE, PODS, WATCHERS, Reading
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.channels.watch import WatchHub
from voiceflow_registry.pods.pods import Pods
from voiceflow_registry.storage.object_store import StoreError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """One look.

    Attributes:
        sequences: Of each channel, its newest promotion.
        pods: Of each channel, pods that report and serve that promotion (True), or do not.
    """

    sequences: Mapping[ChannelName, int] = field(default_factory=dict)
    pods: Mapping[tuple[ChannelName, bool], int] = field(default_factory=dict)


class Survey:
    """Looks at the channels and pods of a store for the gauges of one replica.

    Args:
        channels: Are looked at.
        pods: Likewise.
        hub: Knows who watches.
        executor: Where looking blocks.
    """

    def __init__(self, channels: Channels, pods: Pods, hub: WatchHub, executor: Executor) -> None:
        self._channels = channels
        self._pods = pods
        self._hub = hub
        self._executor = executor
        self._found = Found()
        self._looking: Future[None] | None = None
        self._telling = ExitStack()

    def open(self) -> None:
        """Gauges tell of it from now on."""
        self._telling.enter_context(CHANNEL_SEQUENCE.told_by(self._told_sequences))
        self._telling.enter_context(PODS.told_by(self._told_pods))
        self._telling.enter_context(WATCHERS.told_by(lambda: [(self._hub.watching, {})]))

    def close(self) -> None:
        """They tell of it no more."""
        self._telling.close()

    def look(self) -> Found:
        """Reads the store; what does not come is not told, rather than told as it was.

        Raises:
            StoreError: The store does not answer.
            VoiceFlowError: Something is not as it was stored.
        """
        sequences = dict(self._channels.sequences())
        following = Counter(
            (channel, pod.serving_sequence == sequences.get(channel, 0))
            for pod in self._pods.reporting()
            for channel in [ChannelName.parse(pod.channel)]
        )
        both = {(channel, done): 0 for channel, _ in following for done in (True, False)}
        return Found(sequences, both | following)

    def _told_sequences(self) -> list[Reading]:
        return [
            (sequence, {"model": channel.model, "channel": channel.channel})
            for channel, sequence in self._found.sequences.items()
        ]

    def _told_pods(self) -> list[Reading]:
        self._look_again()  # here alone: whoever reads one gauge reads them all
        return [
            (
                count,
                {
                    "model": channel.model,
                    "channel": channel.channel,
                    "converged": "yes" if converged else "no",
                },
            )
            for (channel, converged), count in self._found.pods.items()
        ]

    def _look_again(self) -> None:
        if self._looking is None or self._looking.done():
            with suppress(RuntimeError):  # the registry stops
                self._looking = self._executor.submit(self._try)

    def _try(self) -> None:
        try:
            self._found = self.look()
        except (StoreError, VoiceFlowError) as error:
            self._found = Found()
            _LOG.warning("gauges have nothing to tell of channels and pods: %s", error)
