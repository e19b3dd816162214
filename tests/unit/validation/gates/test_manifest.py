"""Gate 1: the manifest, and whether the files are those that it states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.models import write_stream_package, write_window_package
from tests.unit.validation.packages import candidate, earlier, manifest_of, state
from voiceflow.validation.gates import manifest as gate
from voiceflow.validation.gates.manifest import manifest_gate


def rules(folder: Path) -> set[str]:
    """The rules that a package breaks."""
    outcome, _ = manifest_gate(candidate(folder), [])
    return {finding.rule_id for finding in outcome.findings}


@pytest.mark.parametrize("write", [write_stream_package, write_window_package])
def test_a_package_as_it_should_be_passes(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Of either contract; the manifest that was read is given on."""
    outcome, manifest = manifest_gate(candidate(write(tmp_path)), [])
    assert outcome.findings == ()
    assert manifest is not None
    assert manifest.model == "tones"


def test_every_fault_of_the_schema_is_told(tmp_path: Path) -> None:
    """Not only the first: whoever corrects one of them need not come back for the next."""
    write_stream_package(tmp_path)
    state(tmp_path, tracks="two", licence=..., unheard_of=1)
    outcome, manifest = manifest_gate(candidate(tmp_path), [])
    assert manifest is None
    assert {(finding.rule_id, finding.subject) for finding in outcome.findings} == {
        ("manifest.schema", "tracks"),
        ("manifest.schema", "licence"),
        ("manifest.schema", "unheard_of"),
    }
    assert {finding.seen for finding in outcome.findings} >= {"'two'", "1"}


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"PK\x03\x04", b'{"model": "tones"'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage, archives and half a file are faults of the schema (R16)."""
    write_stream_package(tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    assert rules(tmp_path) == {"manifest.schema"}


@pytest.mark.parametrize("version", ["1", "1.0", "01.0.0", "1.0.0+linux", "../1.0.0", "1.0.0\x00"])
def test_what_is_no_version_is_refused(tmp_path: Path, version: str) -> None:
    """A version is what SemVer says, without build metadata (R17)."""
    write_stream_package(tmp_path)
    state(tmp_path, version=version)
    assert rules(tmp_path) == {"manifest.schema"}


def test_a_manifest_too_long_is_not_read(tmp_path: Path) -> None:
    """One MiB is plenty."""
    write_stream_package(tmp_path)
    state(tmp_path, teacher="x" * 2**20)
    assert rules(tmp_path) == {"manifest.too-large"}


def test_an_unknown_contract_is_refused(tmp_path: Path) -> None:
    """The known ones are listed."""
    write_stream_package(tmp_path)
    state(tmp_path, contract="diarization-dream/1.0")
    outcome, _ = manifest_gate(candidate(tmp_path), [])
    (finding,) = outcome.findings
    assert finding.rule_id == "manifest.contract-unknown"
    assert "diarization-stream/1.0" in finding.allowed


def test_fields_that_do_not_suit_the_contract_are_refused(tmp_path: Path) -> None:
    """More tracks than it has, a window where there is none, state where there is none."""
    stream = write_stream_package(tmp_path / "stream")
    state(stream, tracks=3, window_samples=48_000)
    window = write_window_package(tmp_path / "window")
    state(window, state_space="tones-1", window_samples=None)
    found = [
        {
            (finding.rule_id, finding.subject)
            for finding in manifest_gate(candidate(p), [])[0].findings
        }
        for p in (stream, window)
    ]
    assert found == [
        {("manifest.contract-field", "tracks"), ("manifest.contract-field", "window_samples")},
        {("manifest.contract-field", "state_space"), ("manifest.contract-field", "window_samples")},
    ]


def test_context_shorter_than_a_window_is_refused(tmp_path: Path) -> None:
    """A windowed model hears all of its window: a stream that moves needs as much."""
    state(write_window_package(tmp_path), context_seconds=1.0)
    outcome, _ = manifest_gate(candidate(tmp_path), [])
    assert [(finding.rule_id, finding.subject) for finding in outcome.findings] == [
        ("manifest.contract-field", "context_seconds")
    ]


def test_a_file_that_every_package_has_must_be_named(tmp_path: Path) -> None:
    """Model, golden outputs and card."""
    write_stream_package(tmp_path)
    state(tmp_path, files={})
    outcome, _ = manifest_gate(candidate(tmp_path), [])
    assert {finding.subject for finding in outcome.findings} == {
        "model.onnx",
        "golden.npz",
        "README.md",
    }
    assert rules(tmp_path) == {"manifest.file-missing"}


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """As a file: a folder of that name is none."""
    write_stream_package(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    assert rules(tmp_path) == {"manifest.file-missing"}


def test_a_file_must_have_the_digest_that_is_stated(tmp_path: Path) -> None:
    """One byte that differs makes another file (R2)."""
    card = write_stream_package(tmp_path) / "README.md"
    card.write_bytes(card.read_bytes()[:-1] + b"!")
    assert rules(tmp_path) == {"manifest.file-digest"}


def test_a_file_must_have_the_size_that_is_stated(tmp_path: Path) -> None:
    """A size is signed with the manifest: whoever downloads reads no byte more."""
    sizes = manifest_of(write_stream_package(tmp_path)).sizes
    state(tmp_path, sizes=sizes | {"README.md": sizes["README.md"] + 1})
    outcome, _ = manifest_gate(candidate(tmp_path), [])
    (found,) = outcome.findings
    assert (found.rule_id, found.subject) == ("manifest.file-size", "README.md")
    assert (found.seen, found.allowed) == (
        f"{sizes['README.md']} bytes",
        f"{sizes['README.md'] + 1} bytes",
    )


def test_a_manifest_need_not_state_sizes(tmp_path: Path) -> None:
    """Those of earlier releases do not."""
    write_stream_package(tmp_path)
    state(tmp_path, sizes=...)
    assert rules(tmp_path) == set()


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured first."""
    write_stream_package(tmp_path)
    monkeypatch.setattr(gate, "MAXIMUM_FILE_BYTES", 100)
    assert rules(tmp_path) == {"manifest.file-too-large"}


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx",
        "/etc/passwd",
        "a/b",
        "..",
        ".hidden",
        "a\x00b",
        "",
        "manifest.json",
        "manifest.dsse.json",
    ],
)
def test_a_file_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """No path leads out of the folder, and none to the manifest itself (R17)."""
    write_stream_package(tmp_path)
    (tmp_path / "manifest.json").read_text()
    state(tmp_path, files={name: "sha256:" + 64 * "0"})
    assert "manifest.file-name" in rules(tmp_path)


def test_a_number_too_low_for_the_changes_is_refused(tmp_path: Path) -> None:
    """Each change is told, with the lowest number that would do."""
    old = write_stream_package(tmp_path / "old", "1.2.0")
    new = write_stream_package(
        tmp_path / "new", "1.2.1", embedding_space="tones-2", state_space="tones-2"
    )
    outcome, _ = manifest_gate(candidate(new), [earlier(old)])
    assert [
        (finding.rule_id, finding.subject, finding.allowed) for finding in outcome.findings
    ] == [
        ("manifest.bump-too-small", "embedding_space", "a major bump: 2.0.0 or higher"),
        ("manifest.bump-too-small", "state_space", "a minor bump: 1.3.0 or higher"),
    ]


def test_a_number_is_compared_with_the_newest_one_before_it(tmp_path: Path) -> None:
    """A fix may come after a later version, and has nothing to do with that one, or with itself."""
    first = write_stream_package(tmp_path / "first", "1.0.0", embedding_space="tones-0")
    old = write_stream_package(tmp_path / "old", "1.2.0")
    later = write_stream_package(tmp_path / "later", "1.3.0", embedding_space="tones-2")
    same = write_stream_package(tmp_path / "same", "1.2.1", embedding_space="tones-3")
    fix = write_stream_package(tmp_path / "fix", "1.2.1")
    known = [earlier(later), earlier(first), earlier(same), earlier(old)]
    assert manifest_gate(candidate(fix), known)[0].findings == ()


def test_texts_from_a_manifest_are_fit_to_be_shown(tmp_path: Path) -> None:
    """Control characters and endless values do not reach a terminal or a report."""
    write_stream_package(tmp_path)
    state(tmp_path, model="\x1b[2J" + "x" * 10_000)
    (finding,) = manifest_gate(candidate(tmp_path), [])[0].findings
    assert "\x1b" not in finding.seen
    assert len(finding.seen) <= 1000
