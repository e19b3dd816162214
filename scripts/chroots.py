"""Makes the stages of a Dockerfile in folders, and starts what they hold, with no container engine.

Linux, root, debootstrap and util-linux are all that it takes. Each stage is a folder: a copy of the
one that it begins with, and then what its steps do in it. What is started has the folder as its
root, which it cannot write to, processes and mounts of its own, and no right of root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.dockerfile import (
    IGNORED,
    ROOT,
    Config,
    Copy,
    Stage,
    after,
    configured,
    let_through,
    needed,
    read_copy,
)

PATH: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_BASE: Final = "debian:bookworm"
_SOURCES: Final = """\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
_SETTINGS: Final = {
    "dpkg/dpkg.cfg.d/unsafe-io": "force-unsafe-io\n",
    "dpkg/dpkg.cfg.d/slim": "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\n"
    "path-include /usr/share/doc/*/copyright\n",
    "apt/apt.conf.d/no-languages": 'Acquire::Languages "none";\n',
}
"""Of apt and dpkg, much as the official images of Debian have them."""
_DEVICES: Final = """
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 devices "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
"""
_STEP: Final = f"""
root=$1 folder=$2 step=$3; shift 3
{_DEVICES}
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount -t tmpfs run "$root/run"
if test -n "${{PIP_CERT:-}}"; then
    cp --dereference "$PIP_CERT" "$root/run/certificates.pem"
    set -- "$@" PIP_CERT=/run/certificates.pem
fi
exec chroot "$root" /usr/bin/env -i --chdir="$folder" "$@" /bin/sh -c "$step"
"""
_CONTAINER: Final = f"""
root=$1 folder=$2 user=$3 name=$4 mounts=$5; shift 5
hostname "$name"
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
{_DEVICES}
mount -t sysfs -o ro system "$root/sys"
mount -t tmpfs -o mode=1777,nosuid,nodev scratch "$root/tmp"
while IFS=: read -r source target way; do
    mount --bind "$source" "$root$target"
    mount -o "remount,bind,nosuid,nodev,$way" "$root$target"
done <<< "$mounts"
exec chroot "$root" /usr/bin/setpriv --reuid="${{user%:*}}" --regid="${{user#*:}}" --clear-groups \
    --no-new-privs --inh-caps=-all --bounding-set=-all /usr/bin/env -i --chdir="$folder" "$@"
"""
_APART: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine that a container sees.

    Attributes:
        source: Here.
        target: There, where the image has one of the kind.
        writable: It may write to it.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Image:
    """A stage that was made, ready to be started.

    Attributes:
        root: Its folder.
        config: What it is started with.
    """

    root: Path
    config: Config

    def command(
        self,
        *arguments: str,
        name: str = "container",
        variables: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> list[str]:
        """What starts a container of it, from this process's network.

        Args:
            arguments: The program and its arguments; none: those that the image says.
            name: The container's host name.
            variables: Beside those that the image has.
            mounts: What it sees of this machine.
        """
        listed = "\n".join(
            f"{one.source}:{one.target}:{'rw' if one.writable else 'ro'}" for one in mounts
        )
        environment = {**self.config.environment, **(variables or {})}
        return [
            *(*_APART, "--uts", "bash", "-euc", _CONTAINER, "bash"),
            *(str(self.root), self.config.folder, self.config.user, name, listed),
            *(f"{key}={value}" for key, value in environment.items()),
            *(arguments or self.config.command),
        ]


@dataclass(frozen=True)
class Builder:
    """Makes stages.

    Attributes:
        folder: Where; what is there already and is asked for is made anew, except `base`.
        stages: Of the Dockerfile.
    """

    folder: Path
    stages: Mapping[str, Stage]
    _configs: dict[str, Config] = field(default_factory=dict)

    def bootstrap(self) -> None:
        """Makes Debian's smallest system, unless that was done before.

        Raises:
            subprocess.CalledProcessError: debootstrap fails.
        """
        base = self.folder / "base"
        if (base / "debootstrap").exists() or not (base / "etc" / "debian_version").exists():
            shutil.rmtree(base, ignore_errors=True)
            _run("debootstrap", "--variant=minbase", "bookworm", str(base))
        (base / "etc" / "apt" / "sources.list").write_text(_SOURCES)
        for name, text in _SETTINGS.items():
            (base / "etc" / name).write_text(text)
        (base / "etc" / "hosts").touch()

    def build(self, name: str) -> Image:
        """Makes a stage, and before it those that it needs and that this has not made yet.

        Raises:
            ValueError: It says something that is not known here.
            subprocess.CalledProcessError: A step fails.
        """
        for one in needed(self.stages, name):
            if one not in self._configs:
                self._configs[one] = self._make(self.stages[one])
        return self.made(name)

    def made(self, name: str) -> Image:
        """The image of a stage that was made before."""
        return Image(self.folder / name, configured(self.stages, name, PATH))

    def _make(self, stage: Stage) -> Config:
        root = self.folder / stage.name
        source = stage.base if stage.base in self.stages else "base"
        if source == "base" and not stage.base.startswith(_BASE):
            raise ValueError(f"FROM {stage.base}: is not made of Debian's archive")
        shutil.rmtree(root, ignore_errors=True)
        _run("cp", "--archive", str(self.folder / source), str(root))
        config = self._configs.get(stage.base, Config(environment=PATH))
        arguments: dict[str, str] = {}
        for step in stage.steps:
            config = after(config, step, arguments)
            if step.word == "WORKDIR":
                _inside(root, config.folder).mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                self._copy(root, config, read_copy(step.value))
            elif step.word == "RUN":
                if config.user:
                    raise ValueError(f"RUN {step.value}: as {config.user}, which is not known")
                print(f"{stage.name}: {' '.join(step.value.split())[:100]}", flush=True)
                given = {**_reaching(), **arguments, **config.environment}
                words = (f"{key}={value}" for key, value in given.items())
                step_words = (str(root), config.folder, step.value)
                _run(*_APART, "bash", "-euc", _STEP, "bash", *step_words, *words)
        return config

    def _copy(self, root: Path, config: Config, copy: Copy) -> None:
        base = self.folder / copy.stage if copy.stage else ROOT
        target = _inside(root, str(Path(config.folder, copy.target)))
        if copy.stage is None:
            for name in copy.sources:
                _copy_from_context(name, target, into=copy.target.endswith("/"))
        else:
            (source,) = copy.sources
            target.parent.mkdir(parents=True, exist_ok=True)
            source_folder = _inside(base, str(Path("/", source)))
            _run("cp", "--archive", "--no-target-directory", str(source_folder), str(target))


def _copy_from_context(name: str, target: Path, *, into: bool) -> None:
    """A file goes into a folder, or is one; of a folder, what is in it is copied."""
    inside = let_through([*_below(ROOT / name)], IGNORED.read_text())
    if not inside:
        raise ValueError(f"COPY {name}: does not reach the builder")
    for path in inside:
        below = Path(path).relative_to(name) if path != name else Path(Path(name).name)
        there = target / below if path != name or into else target
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, there, follow_symlinks=False)
        os.chown(there, 0, 0, follow_symlinks=False)


def _below(path: Path) -> Iterator[str]:
    """A file, or all files of a folder, and links that lead to folders; from the context's root."""
    if path.is_symlink() or not path.is_dir():
        yield path.relative_to(ROOT).as_posix()
    else:
        for entry in sorted(path.iterdir()):
            yield from _below(entry)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _reaching() -> dict[str, str]:
    """What pip is told here of the way to packages, for those that steps install."""
    told = {"PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    return {name: value for name, value in os.environ.items() if name in told}


def _run(*words: str) -> None:
    subprocess.run(words, check=True)
