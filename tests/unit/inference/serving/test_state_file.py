"""What a pod trusts outlasts the process, comes back as it was, and is never guessed at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.trust import CHANNEL, promotion, trust_roots
from voiceflow.catalog.channels import Canary, Rollout, VersionPin
from voiceflow.errors import ContentCorrupt, NotAllowedNow, VoiceFlowError
from voiceflow.trust.trusted import TrustedState, advance_promotion, advance_root
from voiceflow_inference.serving import state_file
from voiceflow_inference.serving.state_file import Remembered, StateFile

ROOTS = trust_roots()
PIN = VersionPin(version="models/diarizer/versions/1.0.0", manifest_digest="sha256:" + 64 * "0")
CANARY = VersionPin(version="models/diarizer/versions/1.1.0", manifest_digest="sha256:" + 64 * "1")
HELD = promotion(
    rollout=Rollout(primary=PIN, canary=Canary(pin=CANARY, percentage=2.5)), reason="naïve\u2028"
)
NOTHING = Remembered(trusted=TrustedState(channel=str(CHANNEL)))
TRUSTED = Remembered(
    trusted=advance_promotion(
        ROOTS.newest, advance_root(NOTHING.trusted, ROOTS), [HELD], HELD.commit_time
    ),
    held=HELD,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is, in folders that are not there yet."""
    return tmp_path / "state" / "diarizer" / "stable.json"


@pytest.fixture
def content(path: Path) -> bytes:
    """Of a file that was written."""
    with StateFile(path) as memory:
        memory.write(TRUSTED)
    return path.read_bytes()


def test_what_was_remembered_comes_back(path: Path) -> None:
    """In another process too, with every field; nothing before the first time."""
    with StateFile(path) as memory:
        assert memory.read() is None
        for remembered in (NOTHING, TRUSTED):
            memory.write(remembered)
            assert memory.read() == remembered
    with StateFile(path) as memory:
        assert memory.read() == TRUSTED


def test_a_file_that_was_cut_short_is_an_error(path: Path, content: bytes) -> None:
    """At whatever length, also at none: it is never taken for a pod that trusts nothing yet."""
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        check_corrupt(path)


def test_a_file_with_one_other_byte_is_an_error(path: Path, content: bytes) -> None:
    """Wherever it is."""
    for at in range(0, len(content), 31):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        check_corrupt(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"sequence": 1', b'"sequence": 0'),
        (b'"root_version": 1', b'"root_version": 2'),
        (b'"schema_version": 1', b'"schema_version": 2'),
        (b'"held": {', b'"held": null, "more": {'),
        (b"\n", b"\r\n"),
    ],
)
def test_a_file_that_somebody_has_edited_is_an_error(
    path: Path, content: bytes, before: bytes, after: bytes
) -> None:
    """Its digest does not fit any more, or its form."""
    assert before in content
    path.write_bytes(content.replace(before, after, 1))
    check_corrupt(path)


def test_a_file_of_endless_size_is_not_read(path: Path, content: bytes) -> None:
    """It has a bound."""
    path.write_bytes(content + b" " * state_file.MAXIMUM_STATE_BYTES)
    check_corrupt(path)


def test_a_file_that_cannot_be_read_is_an_error(path: Path) -> None:
    """And no pod without a memory."""
    path.mkdir(parents=True)
    check_corrupt(path)


def check_corrupt(path: Path) -> None:
    """Checks that the file is an error, which names it and says what to do."""
    with StateFile(path) as memory, pytest.raises(ContentCorrupt) as caught:
        memory.read()
    assert caught.value.reason == "STATE_CORRUPT"
    assert str(path) in caught.value.message
    assert "Restore it" in caught.value.message


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk, or a crash, at whichever step."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with StateFile(path) as memory:
        memory.write(NOTHING)
        with monkeypatch.context() as patch:
            if failing == "fsync":
                patch.setattr(os, "fsync", fail)
            else:
                patch.setattr(Path, "replace", fail)
            with pytest.raises(VoiceFlowError, match="No space left") as caught:
                memory.write(TRUSTED)
        assert caught.value.reason == "STATE_NOT_WRITABLE"
        assert memory.read() == NOTHING


def test_the_file_is_on_the_disk_before_it_takes_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the name is, before anything rests on it: content, rename, folder."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def see_fsync(descriptor: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def see_replace(self: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(Path, "replace", see_replace)
    with StateFile(path) as memory:
        memory.write(TRUSTED)
    assert done == ["fsync stable.partial", "rename to stable.json", "fsync diarizer"]


def test_two_processes_do_not_remember_in_one_file(path: Path) -> None:
    """The second is told to have a folder of its own; the first one's end lets it in."""
    code = (
        "import sys; from pathlib import Path\n"
        "from voiceflow.errors import NotAllowedNow\n"
        "from voiceflow_inference.serving.state_file import StateFile\n"
        "try: StateFile(Path(sys.argv[1])).close()\n"
        "except NotAllowedNow as error: sys.exit(f'{error.reason} {error.message}')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    with StateFile(path):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert refused.stderr.startswith("STATE_LOCKED")
        assert "--state-dir" in refused.stderr
        with pytest.raises(NotAllowedNow):
            StateFile(path)
    subprocess.run(command, check=True)


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    """With the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(VoiceFlowError, match="cannot be kept") as caught:
        StateFile(tmp_path / "file" / "stable.json")
    assert caught.value.reason == "STATE_NOT_WRITABLE"
