"""The services as child processes, as their users start them: for benchmarks and tests."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A service that answers.

    Attributes:
        address: `host:port` on loopback.
        process: The child.
        log: What it has written to its standard error.
    """

    address: str
    process: subprocess.Popen[str]
    log: Path

    def resident_bytes(self) -> int:
        """Memory that the process holds now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, all threads."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def running_service(
    package: Path | None, module: str = "voiceflow_inference", /, **settings: float | str | Path
) -> Iterator[Service]:
    """Starts the inference service at a free port and ends it with the block.

    Args:
        package: Folder of the model package; None: the settings name a registry.
        module: What is run.
        settings: Of the service, by name; see `python -m voiceflow_inference --help`.

    Raises:
        RuntimeError: It does not start; its log is in the message.
    """
    source = {} if package is None else {"model_dir": package}
    with _running(module, {**source, **settings}) as service:
        yield service


@contextlib.contextmanager
def running_registry(store: Path | str, **settings: float | str | Path) -> Iterator[Service]:
    """Starts a registry at a free port and ends it with the block.

    Args:
        store: Folder, or `gs://…`.
        settings: Of the registry, by name; see `python -m voiceflow_registry --help`.

    Raises:
        RuntimeError: It does not start; its log is in the message.
    """
    with _running("voiceflow_registry", {"store": store, **settings}) as service:
        yield service


@contextlib.contextmanager
def _running(module: str, settings: Mapping[str, object]) -> Iterator[Service]:
    command = [sys.executable, "-m", module, "--port", "0"]
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        command += [option] if value is True else [option, str(value)]
    inherited = {n: value for n, value in os.environ.items() if not n.startswith("VOICEFLOW")}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        with (
            log.open("w") as errors,
            subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=inherited
            ) as process,
        ):
            try:
                assert process.stdout is not None  # noqa: S101 asked for above
                yield Service(_announced(process.stdout, log), process, log)
            finally:
                _end(process)


def _announced(output: IO[str], log: Path) -> str:
    """The address in the line that says that the service is ready."""
    deadline = time.monotonic() + _START_SECONDS
    while select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = output.readline()
        if not line:
            break
        if line.startswith("ready "):
            return dict(word.split("=", 1) for word in line.split()[1:])["address"]
    raise RuntimeError(f"the service does not start:\n{log.read_text()}")


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the process to end; one that is frozen or does not want to is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
