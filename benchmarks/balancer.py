"""HAProxy before two servers, told over its runtime API which of them gets what is new."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_START_SECONDS = 10.0
_POOL = "voiceflow"


class Mode(StrEnum):
    """What the balancer sees.

    `HTTP`: calls; each goes where the switch points. `TCP`: connections, as a Kubernetes Service
    does; a call goes where its connection went.
    """

    HTTP = "http"
    TCP = "tcp"


class HaproxyMissingError(Exception):
    """There is no HAProxy on this machine."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """One that runs.

    Attributes:
        address: `host:port` on loopback.
        api: Its control socket.
        process: Its id.
    """

    address: str
    api: Path
    process: int

    def switch(self, to: str) -> None:
        """Sends what is new to one server; what goes on goes on where it is."""
        for line in self.ask(f"show servers state {_POOL}").splitlines():
            words = line.split()
            if len(words) > 3 and words[1] == _POOL:
                weight = 100 if words[3] == to else 0
                answer = self.ask(f"set server {_POOL}/{words[3]} weight {weight}").strip()
                if answer:
                    raise RuntimeError(f"HAProxy does not switch: {answer}")

    def ask(self, command: str) -> str:
        """What the runtime API answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.api))
            connection.sendall(f"{command}\n".encode())
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return answer.decode()


def haproxy() -> str:
    """The program.

    Raises:
        HaproxyMissingError: It is not installed; the message says how to install it.
    """
    found = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise HaproxyMissingError(
            "this rehearsal runs HAProxy, which is not installed here: apt-get install haproxy"
            " (Debian, Ubuntu), dnf install haproxy (Fedora), brew install haproxy (macOS)"
        )
    return found


@contextlib.contextmanager
def balancing(mode: Mode, servers: Mapping[str, str], identity: Path) -> Iterator[Balancer]:
    """Runs HAProxy before some servers, all of it going to the first, until the block ends.

    Args:
        mode: What it sees.
        servers: Addresses by name; all speak TLS.
        identity: Folder of `voiceflow dev-certs`: the certificate it shows in mode HTTP, and who
            signs those of the servers.

    Raises:
        HaproxyMissingError: It is not installed.
        RuntimeError: It does not start.
    """
    program = haproxy()
    with tempfile.TemporaryDirectory() as folder:
        api = Path(folder) / "api"
        shown = Path(folder) / "shown.pem"
        pair = (identity / "server.pem").read_text() + (identity / "server-key.pem").read_text()
        shown.touch(mode=0o600)
        shown.write_text(pair)
        port = _free_port()
        config = Path(folder) / "haproxy.cfg"
        config.write_text(_config(mode, servers, port, api, shown, identity / "ca.pem"))
        log = Path(folder) / "log"
        with (
            log.open("w") as output,
            subprocess.Popen(  # noqa: S603
                [program, "-db", "-f", str(config)], stdout=output, stderr=output
            ) as process,
        ):
            try:
                balancer = Balancer(f"127.0.0.1:{port}", api, process.pid)
                _await_ready(balancer, process, log)
                yield balancer
            finally:
                process.terminate()


def _config(
    mode: Mode, servers: Mapping[str, str], port: int, api: Path, shown: Path, ca: Path
) -> str:
    if mode is Mode.HTTP:
        bind = f"bind 127.0.0.1:{port} ssl crt {shown} alpn h2"
        how = f"ssl verify required ca-file {ca} alpn h2 check-alpn h2"
    else:
        bind, how = f"bind 127.0.0.1:{port}", ""
    lines = [
        "global",
        f"    stats socket {api} mode 600 level admin",
        "    maxconn 2000",
        "defaults",
        f"    mode {mode}",
        "    timeout connect 2s",
        "    timeout client 1h",
        "    timeout server 1h",
        "frontend clients",
        f"    {bind}",
        f"    default_backend {_POOL}",
        f"backend {_POOL}",
        *(
            f"    server {name} {address} weight {0 if number else 100} {how}".rstrip()
            for number, (name, address) in enumerate(servers.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def _await_ready(balancer: Balancer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            balancer.ask("show info")
            return
        time.sleep(0.05)
    raise RuntimeError(f"HAProxy does not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
