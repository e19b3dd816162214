"""Each layer holds alone, and what it refuses is possible without it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.validation.sandbox.acting import LIMITS, act, fails, need
from voiceflow.errors import NotAllowedNow
from voiceflow.validation.sandbox import DEFAULT_FLOOR, Layer, Probe, Sandbox, landlock

HOSTILE = "tests.fakes.hostile"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's")


@contextmanager
def held_by(*layers: Layer) -> Iterator[Sandbox]:
    """A sandbox of these layers and no others; skips where the machine lacks one."""
    with Sandbox(floor=frozenset(), wanted=frozenset(layers), probes=HOSTILE) as sandbox:
        need(sandbox, *layers)
        yield sandbox


@contextmanager
def probing(sandbox: Sandbox) -> Iterator[Probe]:
    """A process that does what it is asked for."""
    with sandbox.open("act", files={}, arguments={}, limits=LIMITS) as probe:
        yield probe


def listening() -> socket.socket:
    """A TCP port on loopback."""
    return socket.create_server(("127.0.0.1", 0))


def test_without_layers_everything_is_possible(tmp_path: Path) -> None:
    """The actions really act: what the layers refuse below, nothing else refuses."""
    secret, made, gone = (tmp_path / name for name in ("secret", "made", "gone"))
    secret.write_text("secret")
    gone.touch()
    with held_by() as sandbox, probing(sandbox) as probe, listening() as port:
        assert sandbox.layers().active == ()
        assert act(probe, "read_file", str(secret)) == {"done": "secret"}
        assert act(probe, "write_file", str(made)) == {"done": 5}
        assert act(probe, "remove_file", str(gone)) == {"done": None}
        assert act(probe, "make_folder", str(tmp_path / "folder")) == {"done": None}
        assert "done" in act(probe, "open_socket")
        assert act(probe, "connect", port.getsockname()[1]) == {"done": "connected"}
        assert act(probe, "end_parent") == {"done": "signalled"}
        assert act(probe, "fork") == {"done": "forked"}
        assert act(probe, "make_code") == {"done": "made"}
        assert act(probe, "reserve", 2 * 1024**3) == {"done": 2 * 1024**3}
    assert made.exists()
    assert not gone.exists()


def test_limits_alone_hold_memory_files_and_sockets(tmp_path: Path) -> None:
    """Resource limits refuse memory beyond the bound, and any new file or socket."""
    with held_by(Layer.RLIMITS) as sandbox:
        with probing(sandbox) as probe:
            assert act(probe, "read_file", "/etc/hostname") == {"refused": "EMFILE"}
            assert act(probe, "write_file", str(tmp_path / "made")) == {"refused": "EMFILE"}
            assert act(probe, "open_socket") == {"refused": "EMFILE"}
        assert fails(sandbox, "allocate", LIMITS.address_space_bytes).rule == "memory-limit"


@LINUX
def test_no_new_privileges_gives_up_the_rights_of_root() -> None:
    """A model's process cannot gain a right, and has none that it could use or pass on."""
    with held_by(Layer.NO_NEW_PRIVS) as sandbox, probing(sandbox) as probe:
        status = act(probe, "status")["done"]
    assert isinstance(status, list)
    no_new_privileges, capabilities = status
    assert no_new_privileges == 1
    if os.geteuid() == 0:
        assert capabilities == 0


@LINUX
def test_landlock_alone_holds_files_tcp_and_signals(tmp_path: Path) -> None:
    """Landlock refuses to open, make and remove files, to connect, and to signal others."""
    there = tmp_path / "there"
    there.touch()
    alone = held_by(Layer.NO_NEW_PRIVS, Layer.LANDLOCK)
    with alone as sandbox, probing(sandbox) as probe, listening() as port:
        assert act(probe, "read_file", str(there)) == {"refused": "EACCES"}
        assert act(probe, "write_file", str(tmp_path / "made")) == {"refused": "EACCES"}
        assert act(probe, "remove_file", str(there)) == {"refused": "EACCES"}
        assert act(probe, "make_folder", str(tmp_path / "folder")) == {"refused": "EACCES"}
        if landlock.abi() >= 4:
            assert act(probe, "connect", port.getsockname()[1]) == {"refused": "EACCES"}
        if landlock.abi() >= 6:
            assert act(probe, "end_parent") == {"refused": "EPERM"}
    assert there.exists()


@LINUX
def test_seccomp_alone_refuses_what_libraries_try(tmp_path: Path) -> None:
    """Calls that a library can do without fail, and the process goes on."""
    with held_by(Layer.SECCOMP) as sandbox, probing(sandbox) as probe:
        assert act(probe, "read_file", "/etc/hostname") == {"refused": "EPERM"}
        assert act(probe, "write_file", str(tmp_path / "made")) == {"refused": "EPERM"}
        assert act(probe, "make_folder", str(tmp_path / "folder")) == {"refused": "EPERM"}
        assert act(probe, "make_code") == {"refused": "EPERM"}
        assert act(probe, "echo", "still here") == {"done": "still here"}


@LINUX
@pytest.mark.parametrize("action", ["open_socket", "fork", "execute", "end_parent"])
def test_seccomp_alone_ends_who_tries_what_no_library_does(sandbox: Sandbox, action: str) -> None:
    """A socket, a process, a program or a signal to another ends the process, under its own rule.

    It is the first layer that is asked, so the others are left on.
    """
    need(sandbox, Layer.SECCOMP)
    failure = fails(sandbox, action)
    assert failure.rule == "forbidden-call"
    assert "SIGSYS" in failure.seen


def test_a_process_gets_neither_environment_nor_descriptors_nor_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the registry knows and has open stays with it, but for which GPU is used."""
    for name in ("CUDA_DEVICE_ORDER", "NVIDIA_TF32_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/secret")
    with held_by() as sandbox, listening(), probing(sandbox) as probe:
        environment = act(probe, "environment")["done"]
        place = act(probe, "place")["done"]
        descriptors = act(probe, "open_descriptors")["done"]
    assert environment == {
        "LC_ALL": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": "1",
    } | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    assert isinstance(place, dict)
    assert place["group"]
    assert place["session"]
    assert place["folder"] == "/"
    assert place["parent"] != os.getpid()
    # Standard streams, and the empty descriptor that comes before the files.
    assert descriptors == [0, 1, 2, 3]


def test_layers_are_reported_by_name(sandbox: Sandbox) -> None:
    """What holds and what is missing are all the layers there are, each once."""
    layers = sandbox.layers()
    assert sorted((*layers.active, *layers.missing)) == sorted(Layer)
    assert sandbox.layers() is layers


def test_below_the_floor_nothing_is_run(tmp_path: Path) -> None:
    """A sandbox that lacks a layer of its floor refuses before it reads a byte of the model."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    floor = frozenset({Layer.RLIMITS})
    with Sandbox(floor=floor, wanted=floor, probes="tests.fakes.boundless") as sandbox:
        with pytest.raises(NotAllowedNow) as caught:
            sandbox.layers()
        assert caught.value.reason == "SANDBOX_TOO_WEAK"
        assert [found.subject for found in caught.value.violations] == ["rlimits"]
        with (
            pytest.raises(NotAllowedNow),
            sandbox.open("act", files={"m": model}, arguments={}, limits=LIMITS),
        ):
            pytest.fail("a conversation began")


def test_a_floor_above_what_is_wanted_is_a_mistake() -> None:
    """Who demands a layer must also want it."""
    with pytest.raises(ValueError, match="demands more"):
        Sandbox(wanted=frozenset({Layer.RLIMITS}))


@LINUX
def test_the_default_floor_is_met_here(sandbox: Sandbox) -> None:
    """The machine on which this runs can run models with the default settings."""
    need(sandbox, *DEFAULT_FLOOR)
    with Sandbox(probes=HOSTILE) as default:
        assert set(default.layers().active) >= DEFAULT_FLOOR


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (1, (2**13 - 1,)),
        (2, (2**14 - 1,)),
        (3, (2**15 - 1,)),
        (4, (2**15 - 1, 3)),
        (5, (2**16 - 1, 3)),
        (6, (2**16 - 1, 3, 3)),
        (9, (2**16 - 1, 3, 3)),
    ],
)
def test_each_kernel_is_asked_for_all_that_it_can_refuse(
    version: int, fields: tuple[int, ...]
) -> None:
    """Every version of Landlock has one more thing to refuse; none is asked for what it lacks."""
    assert landlock.everything(version) == fields
