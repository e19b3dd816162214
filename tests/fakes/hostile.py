"""Probes that do what a model must not: for tests of the sandbox alone, and never shipped.

`PROBES` stands in for `voiceflow.validation.probes`. Each of the actions is what a file could make
a process do once it has taken it over.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, NoReturn, cast

from voiceflow.validation.sandbox.limits import JsonValue

Answer = Callable[[JsonValue], JsonValue]
Arguments = Mapping[str, JsonValue]
Files = Mapping[str, BinaryIO]

TALK = 0


def act(files: Files, arguments: Arguments) -> Answer:
    """Does what it is asked for: an action by name, and perhaps an argument for it.

    Answers what came of it, or which error the system refused it with.
    """
    del arguments

    def answer(request: JsonValue) -> JsonValue:
        name, argument = cast("list[JsonValue]", request)
        try:
            return {"done": _ACTIONS[cast("str", name)](argument)}
        except OSError as error:
            return {"refused": errno.errorcode[error.errno or 0]}

    del files
    return answer


def read(files: Files, arguments: Arguments) -> Answer:
    """Answers the beginning of each file."""
    del arguments
    return lambda _: {name: file.read(64).decode("latin-1") for name, file in files.items()}


def at_once(files: Files, arguments: Arguments) -> Answer:
    """Does `action` before any question is answered: as a crash at loading would."""
    answer = act(files, arguments)
    answer([arguments["action"], None])
    return answer


# ---------------------------------------------------------------- what it may try


def _read_file(argument: JsonValue) -> JsonValue:
    descriptor = os.open(cast("str", argument), os.O_RDONLY)
    return os.read(descriptor, 16).decode("latin-1")


def _write_file(argument: JsonValue) -> JsonValue:
    descriptor = os.open(cast("str", argument), os.O_WRONLY | os.O_CREAT, 0o600)
    return os.write(descriptor, b"owned")


def _remove_file(argument: JsonValue) -> JsonValue:
    os.unlink(cast("str", argument))  # noqa: PTH108 - the bare call
    return None


def _make_folder(argument: JsonValue) -> JsonValue:
    os.mkdir(cast("str", argument))  # noqa: PTH102
    return None


def _open_socket(argument: JsonValue) -> JsonValue:
    del argument
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno()


def _connect(argument: JsonValue) -> JsonValue:
    # `create_connection` would look names up, and be refused for the files that takes.
    with socket.socket() as connecting:
        connecting.connect(("127.0.0.1", cast("int", argument)))
    return "connected"


def _fork(argument: JsonValue) -> JsonValue:
    del argument
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def _leave_a_process(argument: JsonValue) -> JsonValue:
    """Starts one that leaves its group and loses its parent; tells its id."""
    del argument
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    os.wait()
    return int(os.read(reading, 16))


def _execute(argument: JsonValue) -> JsonValue:
    del argument
    os.execv("/bin/true", ["true"])  # noqa: S606


def _end_parent(argument: JsonValue) -> JsonValue:
    """A signal that does no harm where it is let through."""
    del argument
    os.kill(os.getppid(), signal.SIGCONT)
    return "signalled"


def _make_code(argument: JsonValue) -> JsonValue:
    del argument
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.close()
    return "made"


def _raise_limits(argument: JsonValue) -> JsonValue:
    del argument
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "raised"


def _status(argument: JsonValue) -> JsonValue:
    """Whether no_new_privs is set, and how many capabilities there are (`PR_CAPBSET_READ`)."""
    del argument
    libc = ctypes.CDLL(None)
    return [libc.prctl(39, 0, 0, 0, 0), sum(libc.prctl(23, n, 0, 0, 0) == 1 for n in range(41))]


def _environment(argument: JsonValue) -> JsonValue:
    del argument
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}


def _place(argument: JsonValue) -> JsonValue:
    del argument
    return {
        "group": os.getpgrp() == os.getpid(),
        "session": os.getsid(0) == os.getpid(),
        "folder": os.getcwd(),  # noqa: PTH109
        "parent": os.getppid(),
    }


def _open_descriptors(argument: JsonValue) -> JsonValue:
    del argument
    found = []
    for descriptor in range(256):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return cast("JsonValue", found)


def _allocate(argument: JsonValue) -> JsonValue:
    return len(bytearray(cast("int", argument)))


def _reserve(argument: JsonValue) -> JsonValue:
    """Address space without memory behind it."""
    size = cast("int", argument)
    mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    return size


def _spin(argument: JsonValue) -> NoReturn:
    del argument
    while True:
        pass


def _spin_unmoved(argument: JsonValue) -> NoReturn:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    _spin(argument)


def _sleep(argument: JsonValue) -> JsonValue:
    del argument
    time.sleep(600)
    return "awake"


def _wait(argument: JsonValue) -> JsonValue:
    time.sleep(cast("float", argument))
    return argument


def _segfault(argument: JsonValue) -> JsonValue:
    del argument
    return ctypes.string_at(8).decode()


def _abort(argument: JsonValue) -> NoReturn:
    del argument
    os.abort()


def _bad_alloc(argument: JsonValue) -> NoReturn:
    """What C++ does where nobody catches it."""
    del argument
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def _leave(argument: JsonValue) -> NoReturn:
    os._exit(cast("int", argument))


def _fail(argument: JsonValue) -> NoReturn:
    raise RuntimeError(cast("str", argument))


def _recurse(argument: JsonValue) -> JsonValue:
    return [_recurse(argument)]


# ---------------------------------------------------------------- what it may answer


def _say(argument: JsonValue) -> NoReturn:
    """Answers with these very characters, and goes on listening."""
    os.write(TALK, cast("str", argument).encode("latin-1"))
    time.sleep(600)
    os._exit(0)


def _flood(argument: JsonValue) -> NoReturn:
    del argument
    while True:
        os.write(TALK, b"x" * 65_536)


def _flood_errors(argument: JsonValue) -> JsonValue:
    """Writes what no pipe holds, then answers."""
    del argument
    lost = 0
    for _ in range(64):
        try:
            os.write(2, b"\x1b[31m" + b"e" * 65_536)
        except BlockingIOError:
            lost += 1
    return lost


def _hang_up(argument: JsonValue) -> NoReturn:
    del argument
    os.close(TALK)
    time.sleep(600)
    os._exit(0)


def _print(argument: JsonValue) -> JsonValue:
    sys.stdout.write(cast("str", argument))
    sys.stdout.flush()
    return "printed"


def _echo(argument: JsonValue) -> JsonValue:
    return argument


_ACTIONS: Mapping[str, Callable[[JsonValue], JsonValue]] = {
    action.__name__.removeprefix("_"): action
    for action in (
        _abort,
        _allocate,
        _bad_alloc,
        _connect,
        _echo,
        _end_parent,
        _environment,
        _execute,
        _fail,
        _flood,
        _flood_errors,
        _fork,
        _hang_up,
        _leave,
        _leave_a_process,
        _make_code,
        _make_folder,
        _open_descriptors,
        _open_socket,
        _place,
        _print,
        _raise_limits,
        _read_file,
        _recurse,
        _remove_file,
        _reserve,
        _say,
        _segfault,
        _sleep,
        _spin,
        _spin_unmoved,
        _status,
        _wait,
        _write_file,
    )
}

PROBES: Mapping[str, Callable[[Files, Arguments], Answer]] = {
    "act": act,
    "at_once": at_once,
    "read": read,
}
