"""Makes a generation of a version: fetches it, loads and warms it, sees how streams get to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow.errors import PackageInvalid, Unavailable, VoiceFlowError
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.priority import run_behind
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How
from voiceflow_inference.serving.roster import Roster
from voiceflow_inference.serving.seams import Loads
from voiceflow_inference.serving.source import Source
from voiceflow_inference.serving.tracing import step

_LOG = logging.getLogger(__name__)


class NotNow(Exception):
    """A version is not here, or cannot be looked at now; it may be good.

    Args:
        cause: Why.
    """

    def __init__(self, cause: VoiceFlowError) -> None:
        super().__init__(cause.message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Made:
    """A generation that may serve.

    Attributes:
        generation: Loaded and warm.
        hows: How streams get to it from each other, and back.
    """

    generation: Generation
    hows: dict[tuple[int, int], How]


class Maker:
    """Makes one generation at a time.

    Args:
        source: Fetches versions.
        loader: Loads them.
        verify: Says how streams get from one model to another; called in a thread.
        roster: What is loaded already.
    """

    def __init__(
        self,
        source: Source,
        loader: Loads,
        verify: Callable[[BoundModel, BoundModel], How],
        roster: Roster,
    ) -> None:
        self._source = source
        self._loader = loader
        self._verify = verify
        self._roster = roster

    async def make(
        self, pin: VersionPin, number: int, on_state: Callable[[GenerationState], None]
    ) -> Made:
        """Makes a generation; cancelled, it leaves nothing behind.

        Args:
            pin: The version.
            number: Of the generation.
            on_state: Told LOADING, then WARMING.

        Raises:
            NotNow: It may come yet.
            VoiceFlowError: It does not do here what it should.
        """
        try:
            with step("download", pin.version, number):
                found = await self._source.fetch(pin)
        except VoiceFlowError as error:
            raise NotNow(error) from error
        except Exception as error:  # such as a disk that may not be written to
            _LOG.exception("%s cannot be fetched", pin.version)
            cause = Unavailable(f"{pin.version} cannot be fetched", reason="FETCH_FAILED")
            raise NotNow(cause) from error
        try:
            generation = await self._loader.load(found, pin, number, on_state)
            try:
                return Made(generation, await self._hows(generation))
            except BaseException:
                await generation.close()
                raise
        except Unavailable as error:
            raise NotNow(error) from error
        except VoiceFlowError:
            raise
        except Exception as error:
            _LOG.exception("%s cannot be loaded", pin.version)
            raise PackageInvalid(
                f"{pin.version} cannot be loaded", reason="MODEL_CRASHED"
            ) from error

    async def _hows(self, new: Generation) -> dict[tuple[int, int], How]:
        hows: dict[tuple[int, int], How] = {}
        others = self._roster.generations()
        if not others:
            return hows
        with step("match", new.pin.version, new.number):
            for old in others:
                pair = (old.model, new.model)
                hows[old.number, new.number] = await run_behind(partial(self._verify, *pair))
                hows[new.number, old.number] = await run_behind(partial(self._verify, *pair[::-1]))
        return hows


class Pauses:
    """Between two tries to make a version, each twice as long as the one before it."""

    def __init__(self) -> None:
        self._seconds: dict[VersionPin, float] = {}

    def next(self, pin: VersionPin) -> float:
        """Seconds until the next try."""
        seconds = self._seconds.get(pin, _FIRST_SECONDS)
        self._seconds[pin] = min(2 * seconds, _LONGEST_SECONDS)
        return seconds

    def forget(self) -> None:
        """Begins anew with all of them."""
        self._seconds.clear()


_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
