"""A package on this machine is read without waiting for anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.models import write_stream_package
from voiceflow.client.registry import open_package
from voiceflow.errors import PackageInvalid


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.npz", "README.md"])
def test_a_pipe_in_a_package_is_refused(tmp_path: Path, name: str) -> None:
    """Nobody ever writes into it: reading it would not end."""
    folder = write_stream_package(tmp_path / "package")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(PackageInvalid, match=f"{name}: is no regular file") as caught:
        open_package(folder)
    assert caught.value.reason == "FILE_NOT_REGULAR"


def test_a_device_in_a_package_is_refused(tmp_path: Path) -> None:
    """Reading /dev/zero would not end either."""
    folder = write_stream_package(tmp_path / "package")
    (folder / "golden.npz").unlink()
    (folder / "golden.npz").symlink_to("/dev/zero")
    with pytest.raises(PackageInvalid, match="no regular file"):
        open_package(folder)
