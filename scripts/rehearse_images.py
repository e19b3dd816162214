"""Makes the images in folders and has them work together: `make rehearse-images`, as root.

The registry and the inference service are started with what the manifests of `dev` say, and the
validator with what production's say, as containers in one pod would be: they share a network that
leads nowhere. A model is published, promoted and served, a conversation is streamed, a version is
validated, and each service is told to end.

    python -m scripts.rehearse_images --folder /var/tmp/voiceflow-images
    python -m scripts.rehearse_images --folder /var/tmp/voiceflow-images --made
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, Final

import yaml

from benchmarks.paths import DEFAULT_MODEL
from scripts.chroots import Builder, Image, Mount
from scripts.dockerfile import DOCKERFILE, PREFIX, ROOT, read_stages

_IMAGES: Final = ("inference", "registry", "validator")
_RENDERED: Final = ROOT / "deploy" / "k8s" / "rendered"
_DATA: Final = "/var/lib/voiceflow"
_VERSION: Final = DEFAULT_MODEL.name
_MODEL: Final = f"/mnt/diarizer/{_VERSION}"
_START_SECONDS: Final = 300
_END_SECONDS: Final = 120
_TOLD: Final = ("models are run behind",)
_WAITS: Final = "no --trust-root"
_LONE: Final = ("unshare", "--net", "--mount")
_FORBIDDEN: Final = ("gcc", "cc", "pip", "pip3")


@dataclass(frozen=True)
class Pod:
    """The first container of a workload, as a manifest has it."""

    image: str
    command: tuple[str, ...]
    variables: dict[str, str]

    @classmethod
    def read(cls, overlay: str, name: str) -> Pod:
        """That of a Deployment of an overlay as it is rendered."""
        (found,) = (
            one
            for one in yaml.safe_load_all((_RENDERED / f"{overlay}.yaml").read_text("utf-8"))
            if (one["kind"], one["metadata"]["name"]) == ("Deployment", name)
        )
        spec: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        image = spec["image"].rpartition("/")[2].partition(":")[0].removeprefix(PREFIX)
        variables = {one["name"]: one["value"] for one in spec.get("env") or []}
        return cls(image, (*spec["command"], *spec["args"]), variables)

    def but(self, old: str, new: str) -> Pod:
        """With another argument."""
        assert old in self.command  # noqa: S101 - else nothing would be replaced
        command = tuple(new if word == old else word for word in self.command)
        return Pod(self.image, command, self.variables)


class Rehearsal:
    """Starts containers of the images.

    Args:
        folder: Where the images and what containers write are.
        images: By their targets' names.
    """

    def __init__(self, folder: Path, images: dict[str, Image]) -> None:
        self._folder = folder / "volumes"
        self._images = images
        shutil.rmtree(self._folder, ignore_errors=True)
        self._hosts = self._folder / "hosts"
        self._folder.mkdir()
        names = "localhost voiceflow-registry voiceflow-inference voiceflow-validator"
        self._hosts.write_text(f"127.0.0.1 {names}\n")

    def ask(self, image: str, *arguments: str, status: int = 0) -> str:
        """What a command says that is run in a container of its own.

        Raises:
            RuntimeError: It ended with another status.
        """
        _say(f"$ [{image}] {' '.join(arguments)}")
        command = self._images[image].command(
            *arguments, name=image, mounts=self._mounts(f"{image}-command")
        )
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        for line in ended.stdout.splitlines():
            _say(f"    {line}")
        if ended.returncode != status:
            raise RuntimeError(f"{arguments[0]} ended with {ended.returncode}, and not {status}")
        return ended.stdout

    @contextmanager
    def serving(
        self, pod: Pod, *, begun: str = "ready address=", status: int = 0
    ) -> Iterator[None]:
        """A service in a container, from when it has begun; then it is told to end.

        Args:
            pod: What is started.
            begun: What a line of its output or log holds when it has.
            status: What it is to end with when it is told to.

        Raises:
            RuntimeError: It ended before, or otherwise, or not at all.
        """
        image = self._images[pod.image]
        _say(f"$ [{pod.image}] {' '.join(pod.command)}")
        command = image.command(
            *pod.command,
            name=f"{PREFIX}{pod.image}",
            variables=pod.variables,
            mounts=self._mounts(pod.image),
        )
        log = self._folder / f"{pod.image}.log"
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            reader = _Reader(process, log, begun)
            try:
                reader.wait()
                yield
                _signal_first(process, Signals[image.config.stop_signal])
                ended = process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                raise RuntimeError(
                    f"{pod.image}: was told to end, and goes on; see {log}"
                ) from None
            finally:
                process.kill()
                reader.join()
        _say(f"    {pod.image}: ended with {ended}")
        if ended != status:
            raise RuntimeError(f"{pod.image}: ended with {ended}, and not {status}; see {log}")

    def health(self, image: str, status: int = 0) -> None:
        """Asks as a container engine does."""
        self.ask(image, *self._images[image].config.health, status=status)

    def look(self, image: str) -> None:
        """Tells what is in an image and what a container of it may write to.

        Raises:
            RuntimeError: It holds what only a build needs, or may write to its own files.
        """
        self.ask(image, "sh", "-c", "id -u; id -g; command -v voiceflow; python --version")
        self.ask(image, "sh", "-c", "touch /opt/voiceflow/a /a 2>&1; touch /tmp/a && echo /tmp")
        looking = f"for tool in {' '.join(_FORBIDDEN)}; do command -v $tool; done; true"
        found = self.ask(image, "sh", "-c", looking)
        if found:
            raise RuntimeError(f"{image}: has {found}")
        self.ask(image, "python", "-c", "import pip", status=1)

    def _mounts(self, volume: str) -> Sequence[Mount]:
        data = self._folder / volume
        if not data.exists():
            data.mkdir()
            user, _, group = self._images[volume.partition("-")[0]].config.user.partition(":")
            os.chown(data, int(user), int(group))
        return (
            Mount(data, _DATA, writable=True),
            Mount(self._hosts, "/etc/hosts"),
            Mount(ROOT / "models", "/mnt"),
        )


class _Reader:
    """Reads what a service tells, into a file, so that it never has to wait for a reader.

    Args:
        process: Tells.
        log: The file.
        begun: What a line holds when it has begun.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path, begun: str) -> None:
        self._process = process
        self._log = log
        self._wanted = begun
        self._begun = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait(self) -> None:
        """Until it has begun.

        Raises:
            RuntimeError: It ended before, or took too long.
        """
        if not self._begun.wait(_START_SECONDS) or self._ended:
            raise RuntimeError(f"it has not begun; see {self._log}")

    def join(self) -> None:
        """Until there is nothing more to read."""
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for
        with self._log.open("w") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                if any(word in line for word in (self._wanted, *_TOLD)):
                    _say(f"    {line.rstrip()}")
                if self._wanted in line:
                    self._begun.set()
        self._ended = not self._begun.is_set()
        self._begun.set()


def _signal_first(process: subprocess.Popen[str], number: Signals) -> None:
    """Signals the first process of a container, which is the only child of what we started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
    os.kill(int(children), number)


def _say(line: str) -> None:
    print(line[:240], flush=True)


def _pair(rehearsal: Rehearsal) -> None:
    registry = Pod.read("dev", "voiceflow-registry")
    # Two pods have an address each; here both have one.
    inference = Pod.read("dev", "voiceflow-inference-blue").but(
        "--metrics-port=9464", "--metrics-port=9465"
    )
    at = ("--registry", "voiceflow-registry:50061", "--insecure")
    with rehearsal.serving(registry):
        rehearsal.health("registry")
        promote = ("--promote", "blue")
        rehearsal.ask("registry", "voiceflow", "models", "publish", _MODEL, *promote, *at)
        with rehearsal.serving(inference):
            rehearsal.health("inference")
            sample = f"{_DATA}/conversation.wav"
            rehearsal.ask("inference", "python", "-m", "voiceflow.sample", sample)
            rehearsal.ask("inference", "voiceflow", "diarize", sample)
            rehearsal.ask("registry", "voiceflow", "fleet", "diarizer/blue", *at)
        rehearsal.health("inference", status=1)
    forgets = inference.but("--state-dir=/var/lib/voiceflow/state", "--state-dir=/tmp/state")
    with rehearsal.serving(forgets, begun=_WAITS, status=128 + Signals.SIGTERM):
        pass


def _validator(rehearsal: Rehearsal) -> None:
    at = ("--registry", "voiceflow-validator:50061", "--insecure")
    with rehearsal.serving(Pod.read("production-gke", "voiceflow-validator")):
        rehearsal.health("validator")
        rehearsal.ask("validator", "voiceflow", "models", "publish", _MODEL, *at)
        rehearsal.ask("validator", "voiceflow", "models", "validate", f"diarizer@{_VERSION}", *at)


def _play(folder: Path) -> None:
    """Everything after the images are made, in a network of its own."""
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)  # noqa: S607 - in the path
    builder = Builder(folder, read_stages(DOCKERFILE.read_text("utf-8")))
    images = {name: builder.made(name) for name in _IMAGES}
    rehearsal = Rehearsal(folder, images)
    for name in _IMAGES:
        rehearsal.look(name)
    _pair(rehearsal)
    _validator(rehearsal)


def main() -> int:
    """Makes the images, and starts itself anew where there is no network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "images")
    parser.add_argument("--made", action="store_true", help="take the images that are there")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if arguments.play:
        _play(folder)
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.made:
        builder = Builder(folder, read_stages(DOCKERFILE.read_text("utf-8")))
        builder.bootstrap()
        for name in _IMAGES:
            builder.build(name)
    again = [sys.executable, "-m", "scripts.rehearse_images", "--play", "--folder", str(folder)]
    return subprocess.run([*_LONE, *again], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
