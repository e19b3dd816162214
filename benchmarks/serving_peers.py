"""One windowed model behind several servers, under the same clients, beside the model alone.

    python -m benchmarks.serving_peers [--rounds 3] [--clients 20] [--seconds 10] [--json PATH]

In each round each server runs by itself, with the same package of the fast-cnn shape (see
`benchmarks.shapes`), one copy of the model and one thread for it. It is called by the same clients,
all in one process on the same cores: first each calls as soon as it has been answered, then each
calls twice a second. Ours answers `DiarizeFile` with turns, after all of its pipeline; the others
answer with what the model says. `make serving-peers` makes the environments of the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.alone import alone
from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.machine import Processors
from benchmarks.peers.load import Pace
from benchmarks.peers.servers import PEERS, Peer
from benchmarks.process_tree import ProcessTree
from benchmarks.provenance import provenance, write_report
from benchmarks.service import running_service
from benchmarks.serving_figures import Figures, figures, reasons
from benchmarks.serving_report import BARE, System, page, report
from benchmarks.shapes import SHAPES, write_package
from voiceflow.package import MODEL_FILE, ModelPackage, load_package

INTERVAL_SECONDS: Final = 0.5
_AUDIO_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 300.0
"""Beyond the time of the calls themselves, for clients that start on a busy machine."""


@dataclass(slots=True)
class Measured:
    """What one system has shown so far.

    Attributes:
        closed: Of each round, clients that call as soon as they have been answered.
        paced: Of each round, clients that call twice a second.
        failures: Of each stretch of calls, how often calls failed, by reason.
        others_percent: Of each stretch, share of the machine that went to other processes.
    """

    closed: list[Figures] = field(default_factory=list)
    paced: list[Figures] = field(default_factory=list)
    failures: list[dict[str, int]] = field(default_factory=list)
    others_percent: list[float] = field(default_factory=list)


def called(
    python: str, name: str, address: str, audio: Path, pace: Pace, server: ProcessTree
) -> tuple[Figures, dict[str, int], float]:
    """Lets clients in a process of their own call a server.

    Args:
        python: Interpreter of the clients.
        name: Of the server's folder in `benchmarks/peers`.
        address: `host:port`.
        audio: What is sent.
        pace: Of the clients.
        server: Whose time and memory are taken.

    Returns:
        The figures, failures by reason, and the share of the machine that others had.

    Raises:
        RuntimeError: The clients' process fails.
    """
    command = [python, "-m", "benchmarks.peers.load", name, "--address", address]
    command += ["--audio", str(audio), "--clients", str(pace.clients)]
    command += ["--seconds", str(pace.seconds)]
    if pace.interval_seconds is not None:
        command += ["--interval-seconds", str(pace.interval_seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as clients:  # noqa: S603
        assert clients.stdout is not None  # noqa: S101 asked for above
        if clients.stdout.readline() != "ready\n":
            clients.kill()
            raise RuntimeError(f"{name}: its clients do not get ready")
        serving = [process.pid for process in server.processes()]
        before, cpu = Processors.now(serving), server.cpu_seconds()
        output, _ = clients.communicate("go\n", timeout=pace.seconds + _ANSWER_SECONDS)
    after, cpu = Processors.now(serving), server.cpu_seconds() - cpu
    seen = json.loads(output)
    # The clients' process has ended: what it used is known from itself.
    after = replace(after, own=after.own + seen["client_cpu_seconds"])
    others = after.others_percent(before)
    summed = figures(
        seen["latencies"],
        seen["failures"],
        wall_seconds=seen["wall_seconds"],
        server_cpu_seconds=cpu,
        client_cpu_seconds=seen["client_cpu_seconds"],
        resident_bytes=server.resident_bytes(),
    )
    return summed, seen["failures"], others


@contextmanager
def ours(package: Path, clients: int) -> Iterator[tuple[str, ProcessTree]]:
    """Our service, which lets in as many recordings at once as there are clients."""
    room = {"files": 2 * clients, "files_per_principal": 2 * clients}
    with running_service(package, log_level="warning", **room) as service:
        yield service.address, ProcessTree(service.process.pid)


def by_itself(package: ModelPackage, seconds: float) -> Figures:
    """The model without a server, in this process."""
    calls = alone(package, seconds=seconds)
    return figures(
        calls.latencies,
        {},
        wall_seconds=calls.wall_seconds,
        server_cpu_seconds=calls.cpu_seconds,
        client_cpu_seconds=None,
        resident_bytes=ProcessTree.own().resident_bytes(),
    )


def main() -> None:
    """Prints the tables; writes JSON, and the tables beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [peer.name for peer in PEERS]
    parser.add_argument("--rounds", type=count, default=3, help="of all servers by turns")
    parser.add_argument("--clients", type=count, default=20, help="at once")
    parser.add_argument("--seconds", type=count, default=10, help="of each kind of load")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="peers")
    parser.add_argument("--json", type=Path, help="write here; the tables to the same name, .md")
    arguments = parser.parse_args()
    chosen = [peer for peer in PEERS if peer.name in arguments.only]
    peers = [peer for peer in chosen if peer.python.exists()]
    absent = [peer.name for peer in chosen if peer not in peers]
    samples, what = talk(_AUDIO_SECONDS)
    asked = {
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "paced_interval_seconds": INTERVAL_SECONDS,
        "rounds": arguments.rounds,
        "audio": what,
        "model_threads": 1,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder, audio = Path(scratch) / "fast-cnn", Path(scratch) / "audio.raw"
        write_package(SHAPES["fast-cnn"], folder)
        audio.write_bytes(pcm16(samples))
        package = load_package(folder)
        systems, failed = _measure(folder, audio, peers, arguments)
    measured_from = provenance(package, arguments.rounds)
    text = page(measured_from, asked, systems, absent, failed)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(measured_from, asked, systems, absent, failed), text)
    for name, why in failed.items():
        print(f"{name} did not run: {why}", file=sys.stderr)
    if absent or failed:
        sys.exit(f"not measured: {', '.join([*absent, *failed])}")


def _measure(
    package: Path, audio: Path, peers: Sequence[Peer], arguments: argparse.Namespace
) -> tuple[list[System], dict[str, str]]:
    """All systems by turns; and of those that failed as a whole, why."""
    model, loaded = package / MODEL_FILE, load_package(package)
    bare_runs: list[Figures] = []
    measured = {name: Measured() for name in ("voiceflow", *(peer.name for peer in peers))}
    failed: dict[str, str] = {}
    for number in range(arguments.rounds):
        bare_runs.append(by_itself(loaded, arguments.seconds))
        for name, shown in measured.items():
            if name in failed:
                continue
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            peer = next((one for one in peers if one.name == name), None)
            python = sys.executable if peer is None else str(peer.python)
            serving = ours(package, arguments.clients) if peer is None else peer.running(model)
            try:
                with serving as (address, tree):
                    _stretches(python, name, address, audio, tree, shown, arguments)
            except (RuntimeError, subprocess.SubprocessError) as error:
                failed[name] = str(error)
    systems = [System(BARE, "no server", "one thread", _own_versions(), bare_runs)]
    for name, one in measured.items():
        if not one.paced:
            continue
        peer = next((other for other in peers if other.name == name), None)
        systems.append(
            System(
                name,
                peer.protocol if peer else "gRPC, DiarizeFile, bytes",
                peer.settings if peer else "one process, batches of at most 16",
                peer.versions() if peer else _own_versions(),
                one.closed,
                one.paced,
                reasons(one.failures),
                max(one.others_percent),
            )
        )
    return systems, failed


def _stretches(
    python: str,
    name: str,
    address: str,
    audio: Path,
    tree: ProcessTree,
    measured: Measured,
    arguments: argparse.Namespace,
) -> None:
    for interval, runs in ((None, measured.closed), (INTERVAL_SECONDS, measured.paced)):
        pace = Pace(arguments.clients, arguments.seconds, interval)
        summed, failures, others = called(python, name, address, audio, pace, tree)
        runs.append(summed)
        measured.failures.append(failures)
        measured.others_percent.append(others)


def _own_versions() -> dict[str, Any]:
    return {name: version(name) for name in ("voiceflow", "onnxruntime")}


if __name__ == "__main__":
    main()
