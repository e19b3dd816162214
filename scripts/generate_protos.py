"""Writes the generated code of protos/ into src/, or checks that what is there is current.

Messages get their types from protoc itself, services from mypy-protobuf, whose asyncio-only stubs
say what `grpc.aio` really takes and gives. Run it as `make protos` or `make check-protos`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SOURCES = ROOT / "src"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def main() -> int:
    """Generates or checks, as the command line says.

    Returns:
        0 when the generated code is current or was written, 1 when the check found a difference.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check: bool = parser.parse_args().check

    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        stale = differences(fresh, SOURCES)
        if check:
            for path in stale:
                print(f"not current: src/{path}", file=sys.stderr)
            if stale:
                print("run `make protos` and commit what it writes", file=sys.stderr)
            return 1 if stale else 0
        for path in stale:
            replace(fresh / path, SOURCES / path)
            print(f"src/{path}")
    return 0


def generate(target: Path) -> None:
    """Generates the code of every .proto below protos/ into `target`.

    Raises:
        subprocess.CalledProcessError: protoc refused a file; it has said why.
    """
    plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={PROTOS}",
            f"--plugin=protoc-gen-mypy_grpc={plugin}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out=quiet,only_async:{target}",
            *(str(path) for path in sorted(PROTOS.rglob("*.proto"))),
        ],
        check=True,
    )


def differences(fresh: Path, present: Path) -> list[Path]:
    """Tells which generated files differ, are missing, or stand for a .proto that is gone.

    Returns:
        Their paths relative to both folders, sorted.
    """
    candidates = generated_below(fresh) | generated_below(present)
    return sorted(path for path in candidates if content(fresh / path) != content(present / path))


def generated_below(folder: Path) -> set[Path]:
    """Gives the paths, relative to `folder`, of all generated files below it."""
    return {path.relative_to(folder) for pattern in GENERATED for path in folder.rglob(pattern)}


def content(path: Path) -> bytes | None:
    """Reads a file, or says None for one that is not there."""
    return path.read_bytes() if path.exists() else None


def replace(fresh: Path, present: Path) -> None:
    """Makes `present` what `fresh` is: written, or removed where there is no `fresh`."""
    if not fresh.exists():
        present.unlink()
        return
    present.parent.mkdir(parents=True, exist_ok=True)
    present.write_bytes(fresh.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
