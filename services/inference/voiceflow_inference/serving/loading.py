"""Loads a version: looks at it in a process of its own first, then loads it here and warms it.

Nothing of this holds up live streams: the threads and the process that do it stand behind all
others, and a model that crashes takes nothing along but that process.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from voiceflow.artifact import Digest, LatencyMode, digest_of
from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow.errors import NotAllowedNow, PackageInvalid, Unavailable
from voiceflow.onnx import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.onnx.runtime import check_provider
from voiceflow.package import (
    GOLDEN_FILE,
    MODEL_FILE,
    ModelPackage,
    file_missing,
    load_package,
    read_manifest,
)
from voiceflow.pipeline.model import BoundModel
from voiceflow.provider import Provider
from voiceflow.telemetry.metrics import BATCH_SIZE
from voiceflow.telemetry.thinning import Thinner
from voiceflow.validation.sandbox import (
    JsonValue,
    Layer,
    Limits,
    Sandbox,
    SandboxFailure,
    address_space_bytes,
)
from voiceflow.validation.sandbox.process import plain
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher, BatchRun
from voiceflow_inference.priority import run_apart, run_behind
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.memory import give_back, hold_little
from voiceflow_inference.serving.tally import Tally
from voiceflow_inference.serving.tracing import step
from voiceflow_inference.serving.warm import (
    HopCost,
    joined_hops,
    stream_costs,
    streams_at_once,
    usable_cores,
    warm_up,
)
from voiceflow_inference.settings import Settings

Result = TypeVar("Result")
OnState = Callable[[GenerationState], None]


class Loader:
    """Loads one version after the other; after the first, behind everything else.

    Args:
        settings: Provider, threads, batches, streams, and how long a look may take.
        hang_seconds: After how long a call counts as one that does not come back; None: never.
        child: The module that looks at a version first; see ``load_child``.

    Raises:
        NotAllowedNow: PROVIDER_MISSING, no model can be loaded with these settings.
        Unavailable: PROVIDER_UNUSABLE, likewise.
    """

    def __init__(
        self,
        settings: Settings,
        hang_seconds: Callable[[], float | None],
        child: str = "voiceflow_inference.serving.load_child",
    ) -> None:
        self._settings = settings
        self._hang_seconds = hang_seconds
        self._child = child
        self._streams = settings.streams
        self._first = True
        hold_little()
        check_provider(settings.provider)

    async def load(
        self, found: Found, pin: VersionPin, number: int, on_state: OnState
    ) -> Generation:
        """Verifies a package, looks at it, loads it and warms it; its engine runs then.

        Cancelled, it leaves no process and nothing loaded.

        Args:
            found: The package.
            pin: What it must be; without a digest, any of that version.
            number: Of the generation.
            on_state: Told LOADING, then WARMING.

        Raises:
            PackageInvalid: It is damaged, breaks its contract, does not do here what it says, or
                MODEL_CRASHED, MODEL_TOO_LARGE, MODEL_LOAD_SLOW.
            Untrusted: It is not signed as it must be.
            Unavailable: SANDBOX_UNAVAILABLE or PROVIDER_UNUSABLE, nothing can be looked at now.
        """
        on_state(GenerationState.LOADING)
        with step("verify", pin.version, number):
            package, digest = await self._run(partial(_read, found))
            pin = _exactly(pin, package, digest)
            await self._look_first(package, found.folder)
            threads, provider = self._settings.threads, self._settings.provider
            # Threads of a model's own begin with the priority of the one that loads it.
            run = self._run if threads == 1 else run_apart
            model = await self._in_time(run(partial(_load_here, package, threads, provider)))
        return await self.warmed(model, pin, number, on_state)

    async def warmed(
        self, model: BoundModel, pin: VersionPin, number: int, on_state: OnState
    ) -> Generation:
        """Warms a model that is loaded and starts its engine; see `load`."""
        on_state(GenerationState.WARMING)
        settings = self._settings
        try:
            with step("warm", pin.version, number):
                work = self._run(partial(_warm_here, model, settings.batch_limit))
                costs, joined = await self._in_time(work)
        except BaseException:
            model.terminate()  # what goes on after a timeout, or when this was cancelled
            raise
        cores = usable_cores(settings.workers)
        # The same room for each: that of the first, whose capacity admission counts by.
        self._streams = self._streams or streams_at_once(costs, cores)
        # A slot is free a moment later than its place: the last hop may still be in flight.
        slots = 2 * self._streams + 2 * settings.files
        tally = Tally()
        version = {"version": model.manifest.resource_name}

        thinner = Thinner(_MEASURED_BATCHES_PER_SECOND)

        def add_batch(run: BatchRun) -> None:
            tally.add_batch(run)
            if thinner.admits(time.monotonic_ns()):
                BATCH_SIZE.record(run.hops, version)

        batcher = Batcher(
            SlotBackend(model, slots, joins_hops=joined > 1),
            batch_limit=settings.batch_limit,
            joined_hops=joined,
            on_batch=add_batch,
            hang_seconds=self._hang_seconds,
        )
        batcher.start()
        self._first = False
        places = stream_costs(costs, cores)
        return Generation(number, pin, model.manifest, model, batcher, costs, places, tally)

    async def _look_first(self, package: ModelPackage, folder: Path) -> None:
        look = _FirstLook(self._child, package, folder, self._settings)
        try:
            await self._run(look.run)
        except asyncio.CancelledError:
            await asyncio.to_thread(look.cancel)
            raise

    async def _run(self, work: Callable[[], Result]) -> Result:
        """In a thread that steps back, unless nobody is served yet whom it could slow down."""
        return await (run_apart if self._first else run_behind)(work)

    async def _in_time(self, work: Coroutine[None, None, Result]) -> Result:
        seconds = self._settings.load_seconds
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            raise _refused(
                f"not loaded and warm after {seconds:g} s", reason="MODEL_LOAD_SLOW"
            ) from None


class _FirstLook:
    """One look at a version, in a process that may die of it.

    Args:
        child: The module that looks.
        package: Verified.
        folder: Where its files are.
        settings: Limits.
    """

    def __init__(self, child: str, package: ModelPackage, folder: Path, settings: Settings) -> None:
        self._child = child
        self._files = {name: folder / name for name in (MODEL_FILE, GOLDEN_FILE)}
        self._arguments: dict[str, JsonValue] = {
            "manifest": package.manifest.to_json(),
            "batch": settings.batch_limit,
            "provider": settings.provider,
        }
        self._layers = _LAYERS if settings.provider == "cpu" else _LAYERS_BESIDE_A_GPU
        self._limits = Limits(
            cpu_seconds=settings.load_seconds,
            wall_seconds=settings.load_seconds,
            address_space_bytes=address_space_bytes(len(package.model_bytes)),
            reply_bytes=_REPLY_BYTES,
        )
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._cancelled = False

    def run(self) -> None:
        """Waits for what the process says.

        Raises:
            PackageInvalid: It finds something wrong, dies, or takes too much of something.
            NotAllowedNow: PROVIDER_MISSING.
            Unavailable: There is no process, it was cancelled, or PROVIDER_UNUSABLE.
        """
        with self._lock:
            if self._cancelled:
                return
            # Whatever holds it here is welcome: what it loads was published, and is trusted.
            self._sandbox = Sandbox(floor=frozenset(), wanted=self._layers, probes=self._child)
        with self._sandbox as sandbox:
            try:
                with sandbox.open(
                    "load", files=self._files, arguments=self._arguments, limits=self._limits
                ) as process:
                    answer = process.ask()
            except SandboxFailure as failure:
                raise _failed(failure) from failure
            except OSError as error:
                raise file_missing(Path(str(error.filename)), error) from error
        _check(answer)

    def cancel(self) -> None:
        """Ends the process; `run` ends then, too."""
        with self._lock:
            self._cancelled = True
        if self._sandbox is not None:
            self._sandbox.close()


_LAYERS: Final = frozenset(Layer)
_LAYERS_BESIDE_A_GPU: Final = frozenset({Layer.NO_NEW_PRIVS})
"""A GPU's driver opens devices, loads libraries and starts threads when a model is loaded, and
reserves far more addresses than it uses: each of the other layers forbids one of these."""

_REPLY_BYTES: Final = 16_384
_MEASURED_BATCHES_PER_SECOND: Final = 20


def _read(found: Found) -> tuple[ModelPackage, Digest]:
    digest = found.manifest_digest or digest_of(read_manifest(found.folder))
    package = load_package(
        found.folder, manifest_digest=digest, check_manifest=found.check_manifest
    )
    return package, digest


def _exactly(pin: VersionPin, package: ModelPackage, digest: Digest) -> VersionPin:
    """The pin, with a digest; refuses a package of something else."""
    seen = VersionPin(version=package.manifest.resource_name, manifest_digest=digest)
    if seen != pin.model_copy(update={"manifest_digest": pin.manifest_digest or digest}):
        raise PackageInvalid(
            f"manifest.json: is of {seen.version} with the digest {digest}; asked for is"
            f" {pin.version} {pin.manifest_digest}",
            reason="DIGEST_MISMATCH",
            field="files.manifest.json",
        )
    return seen


def _load_here(package: ModelPackage, threads: int, provider: Provider) -> BoundModel:
    model = bind(package, threads=threads, provider=provider)
    reproduce(package, threads=threads, provider=provider)
    return model


def _warm_here(model: BoundModel, batch_limit: int) -> tuple[dict[LatencyMode, HopCost], int]:
    """What a hop of each mode costs, and how many of a recording may be one call."""
    try:
        costs = warm_up(model, batch_limit)
        joined = joined_hops(model, batch_limit // 2)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise _refused(
            f"fails while it is warmed: {plain(str(error))}", reason="MODEL_CRASHED"
        ) from error
    give_back()  # of what was loaded twice
    return costs, joined


_NOT_THE_PACKAGE: Final[Mapping[str, type[NotAllowedNow | Unavailable]]] = {
    "PROVIDER_MISSING": NotAllowedNow,
    "PROVIDER_UNUSABLE": Unavailable,
}
"""What a process may find wrong that is no fault of the version."""


def _failed(failure: SandboxFailure) -> PackageInvalid:
    """What a failure of the process says of the version."""
    match failure.rule:
        case "wall-clock" | "cpu-limit":
            return _refused(failure.message, reason="MODEL_LOAD_SLOW")
        case "memory-limit":
            return _refused(failure.message, reason="MODEL_TOO_LARGE")
        case _:
            return _refused(failure.message, reason="MODEL_CRASHED")


def _refused(what: str, *, reason: str) -> PackageInvalid:
    return PackageInvalid(f"{MODEL_FILE}: {what}", reason=reason, field=f"files.{MODEL_FILE}")


def _check(answer: JsonValue) -> None:
    """Raises what the process found; of what it says, no more is believed than fits an error."""
    match answer:
        case {**nothing} if not nothing:
            return
        case {"reason": str(reason), "message": str(message), "field": str(field)} if re.fullmatch(
            r"[A-Z_]{1,64}", reason
        ):
            kind = _NOT_THE_PACKAGE.get(reason, PackageInvalid)
            raise kind(plain(message, 500), reason=reason, field=plain(field) or None)
    raise _refused("its process answers nonsense", reason="MODEL_CRASHED")
