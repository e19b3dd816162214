"""What the other checks do not see: what is locked, and what is shipped."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
IMAGES = ("inference", "inference-cuda", "registry", "validator")
PACKAGES = (
    ROOT / "src" / "voiceflow",
    ROOT / "services" / "inference" / "voiceflow_inference",
    ROOT / "services" / "registry" / "voiceflow_registry",
)


def pins(lock: Path) -> Iterator[tuple[str, str]]:
    """Gives each requirement of a lock with everything up to the next one."""
    starts = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in starts:
        if not entry.startswith("#"):
            yield entry.split(maxsplit=1)[0], entry


def test_every_group_is_locked() -> None:
    """There is a lock for what runs, builds, checks, tells, scores again, trains and teaches."""
    groups = ["build", "dev", "docs", "runtime", "scorer", "teachers", "training"]
    assert sorted(lock.stem for lock in LOCKS) == sorted([*groups, *IMAGES])


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_what_is_run_here(image: str) -> None:
    """Nothing but what is installed and tested, except for a GPU; and no image has a microphone."""
    held, known = (
        {requirement for requirement, _ in pins(ROOT / "requirements" / f"{name}.lock")}
        for name in (image, "runtime")
    )
    assert {one.replace("-gpu", "") for one in held} < known
    names = {one.partition("==")[0] for one in held}
    assert "sounddevice" not in names
    assert ("onnx" in names) == (image in {"registry", "validator"})
    assert ("google-cloud-storage" in names) == (image == "registry")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_is_exact_and_hashed(lock: Path) -> None:
    """A lock names one version of each requirement and the hashes of its files."""
    entries = list(pins(lock))
    assert entries
    for requirement, entry in entries:
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==[^=\s]+", requirement)
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_no_lock_names_an_index(lock: Path) -> None:
    """A lock installs behind any mirror, since it names no address and no index."""
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    assert "--find-links" not in text


def test_locks_agree_on_versions() -> None:
    """What is run, tested and trained with is the same version of each library."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for requirement, entry in pins(lock):
            name, version = requirement.split("==")
            marker = entry.partition(" ; ")[2].splitlines()[0] if " ; " in entry else ""
            versions.setdefault(f"{name} {marker}", set()).add(version)
    assert not {name: found for name, found in versions.items() if len(found) > 1}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_torch_is_in_no_lock(lock: Path) -> None:
    """PyTorch is installed by `make train` alone: no lock fits both its CPU and CUDA builds."""
    assert not [name for name, _ in pins(lock) if name.startswith(("torch==", "nvidia"))]


def test_contracts_are_found_as_package_resources() -> None:
    """An installed voiceflow holds the files of contracts/ beside its code."""
    packaged = resources.files("voiceflow") / "contracts"
    found = {entry.name: entry.read_bytes() for entry in packaged.iterdir()}
    assert found == {path.name: path.read_bytes() for path in (ROOT / "contracts").iterdir()}
    assert "contract.schema.json" in found


def test_a_wheel_holds_every_file_of_the_packages_and_the_licence(tmp_path: Path) -> None:
    """A wheel ships code, contracts, templates and types: what an editable install has."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"voiceflow/contracts/{path.name}" for path in (ROOT / "contracts").iterdir()}
    for package in PACKAGES:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(path.relative_to(package.parent).as_posix())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {f"{package.name}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
