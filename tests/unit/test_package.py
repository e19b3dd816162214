"""A package is read without waiting for anybody, and believed only as far as it is vouched for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.models import write_stream_package
from tests.fakes.trust import signed_manifest, trust_root
from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.values import Signature
from voiceflow.client.registry import open_package
from voiceflow.errors import PackageInvalid, Untrusted, VoiceFlowError
from voiceflow.package import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    load_package,
    read_signature,
)
from voiceflow.trust.authority import check_manifest

FILES = ["model.onnx", "golden.npz", "README.md"]


def check(manifest: bytes, signature: Signature | None) -> None:
    """As a pod checks a manifest."""
    check_manifest(trust_root(), model="tones", manifest=manifest, signature=signature, new=False)


def sign(folder: Path, signer: str = "publisher") -> Path:
    """Puts a signature beside a package's manifest."""
    manifest = (folder / MANIFEST_FILE).read_bytes()
    (folder / SIGNATURE_FILE).write_bytes(signed_manifest(manifest, signer).content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound, signed package."""
    return sign(write_stream_package(tmp_path / "package"))


def refusal(folder: Path, **demands: object) -> VoiceFlowError:
    """What loading a package ends with."""
    with pytest.raises((PackageInvalid, Untrusted)) as caught:
        load_package(folder, **demands)  # type: ignore[arg-type]
    return caught.value


def test_a_signed_package_is_loaded(folder: Path) -> None:
    """With every file; the signature is none of them."""
    package = load_package(folder, check_manifest=check)
    assert list(package.files) == FILES
    assert open_package(folder).signature == read_signature(folder)
    digest = digest_of((folder / MANIFEST_FILE).read_bytes())
    assert load_package(folder, manifest_digest=digest, check_manifest=check) == package
    assert load_package(folder) == package


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, *FILES])
def test_a_pipe_in_a_package_is_refused(folder: Path, name: str) -> None:
    """Nobody ever writes into it: reading it, or waiting for that, would not end."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    error = refusal(folder, check_manifest=check)
    assert error.reason == "FILE_NOT_REGULAR"
    assert f"{name}: is no regular file" in error.message


def test_a_device_in_a_package_is_refused(folder: Path) -> None:
    """Reading /dev/zero would not end either; a link to a file is as good as the file."""
    (folder / "golden.npz").rename(folder / "elsewhere")
    (folder / "golden.npz").symlink_to("elsewhere")
    load_package(folder, check_manifest=check)
    (folder / "golden.npz").unlink()
    (folder / "golden.npz").symlink_to("/dev/zero")
    assert refusal(folder).reason == "FILE_NOT_REGULAR"


def test_nothing_is_believed_of_a_manifest_without_a_signature(folder: Path) -> None:
    """Where signatures are checked: not even that it is a manifest."""
    (folder / SIGNATURE_FILE).unlink()
    assert refusal(folder, check_manifest=check).reason == "SIGNATURE_MISSING"
    (folder / MANIFEST_FILE).write_bytes(b"{")
    assert refusal(folder, check_manifest=check).reason == "SIGNATURE_MISSING"
    assert refusal(folder).reason == "MANIFEST_INVALID"


@pytest.mark.parametrize(
    ("signer", "reason"), [("nobody", "SIGNATURE_INVALID"), ("promoter", "KEY_NOT_ALLOWED")]
)
def test_a_signature_of_somebody_else_is_refused(folder: Path, signer: str, reason: str) -> None:
    """Of a stranger, and of somebody who may sign other things."""
    assert refusal(sign(folder, signer), check_manifest=check).reason == reason


def test_a_package_that_was_signed_before_it_was_packed_again_is_refused(folder: Path) -> None:
    """The signature is over other bytes than the manifest has."""
    path = folder / MANIFEST_FILE
    manifest = Manifest.from_json(path.read_bytes())
    path.write_text(manifest.model_copy(update={"licence": "MIT"}).to_json())
    assert load_package(folder).manifest.licence == "MIT"
    assert refusal(folder, check_manifest=check).reason == "SIGNATURE_INVALID"


def test_another_package_than_the_pinned_one_is_refused(folder: Path, tmp_path: Path) -> None:
    """Though a publisher has signed it, too."""
    other = sign(write_stream_package(tmp_path / "other", "1.1.0"))
    pinned = digest_of((folder / MANIFEST_FILE).read_bytes())
    load_package(other, check_manifest=check)
    demands = {"manifest_digest": pinned, "check_manifest": check}
    assert refusal(other, **demands).reason == "DIGEST_MISMATCH"


def test_a_signed_manifest_must_state_sizes(tmp_path: Path) -> None:
    """Otherwise nothing bounds what is read."""
    folder = sign(write_stream_package(tmp_path / "package", sizes={}))
    load_package(folder)
    assert refusal(folder, check_manifest=check).reason == "SIZE_UNSIGNED"


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_size_is_not_read(folder: Path, name: str) -> None:
    """A sparse file of a gigabyte takes neither time nor memory."""
    os.truncate(folder / name, 1 << 30)
    error = refusal(folder)
    assert (error.reason, error.field) == ("DIGEST_MISMATCH", f"files.{name}")
    assert "has 1073741824 bytes" in error.message
    with pytest.raises(PackageInvalid, match="has 1073741824 bytes"):
        open_package(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_another_byte_is_refused(folder: Path, name: str) -> None:
    """As long as before."""
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert refusal(folder, check_manifest=check).reason == "DIGEST_MISMATCH"


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE])
def test_a_manifest_or_signature_beyond_its_bound_is_not_read(folder: Path, name: str) -> None:
    """1 MiB, and 64 KiB."""
    os.truncate(folder / name, 1024 * 1024 + 1)
    assert refusal(folder, check_manifest=check).reason == "FILE_TOO_LARGE"


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, "../model.onnx", "a/b", ".."])
def test_a_manifest_names_plain_files_and_not_itself(tmp_path: Path, name: str) -> None:
    """Nor the signature over it, which cannot have been there."""
    folder = write_stream_package(tmp_path / "package")
    path = folder / MANIFEST_FILE
    manifest = Manifest.from_json(path.read_bytes())
    files = manifest.files | {name: digest_of(b"")}
    path.write_text(manifest.model_copy(update={"files": files, "sizes": {}}).to_json())
    assert refusal(folder).reason == "FILE_NAME_INVALID"
