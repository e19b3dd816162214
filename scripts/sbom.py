"""Writes what each image's environment is made of, as CycloneDX: `make sbom`.

What its lock names is installed into a folder, for the Python of the image, and its metadata are
read: names, versions, licences and what needs what. The packages of Debian and of NVIDIA are not in
it; BuildKit lists them when it builds an image.

    python -m scripts.sbom --out build/sbom inference registry
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scripts.dockerfile import DOCKERFILE, PREFIX, ROOT, Stage, lineage, read_stages, targets

_PYTHON: Final = re.compile(r"\bpython(3\.\d+)\b")
_TOOLS: Final = Path(sys.executable).parent


def python_of(stages: dict[str, Stage], image: str) -> str:
    """The version of Python that an image has, such as `3.11`.

    Raises:
        ValueError: It is not one.
    """
    steps = (step.value for stage in lineage(stages, image) for step in stage.steps)
    found = {match[1] for value in steps for match in _PYTHON.finditer(value)}
    if len(found) != 1:
        raise ValueError(f"{image}: which Python it has is not said")
    return found.pop()


def write(image: str, python: str, out: Path) -> Path:
    """Writes that of one image.

    Raises:
        subprocess.CalledProcessError: A package cannot be had.
    """
    path = out / f"{PREFIX}{image}.cdx.json"
    with TemporaryDirectory() as name:
        folder = Path(name) / "environment"
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
        (packages,) = folder.glob("lib/python*/site-packages")
        into = ["--quiet", "--target", str(packages), "--python-version", python]
        into += ["--python-platform", "x86_64-manylinux_2_36", "--no-deps"]
        lock = ROOT / "requirements" / f"{image}.lock"
        _run("uv", "pip", "install", *into, "--require-hashes", "--requirement", str(lock))
        _run("uv", "pip", "install", *into, str(ROOT))
        told = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
        told += ["--of", "JSON", "--output-file", str(path), str(folder / "bin" / "python")]
        _run("cyclonedx-py", "environment", *told)
    return path


def _run(program: str, *arguments: str) -> None:
    subprocess.run([_TOOLS / program, *arguments], check=True)


def main() -> int:
    """Writes those that are asked for, or all."""
    stages = read_stages(DOCKERFILE.read_text("utf-8"))
    images = targets(stages)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(images)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.images) - set(images):
        parser.error(f"there is no image {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for image in arguments.images or images:
        print(write(image, python_of(stages, image), arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
