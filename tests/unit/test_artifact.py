"""Manifests, versions and digests as values."""

from __future__ import annotations

import json

import pytest
import semver

from tests.unit.pipeline.synthetic import manifest
from voiceflow.artifact import Manifest, digest_of
from voiceflow.errors import PackageInvalid

DIGEST = "sha256:" + 64 * "0"


def changed(**fields: object) -> str:
    """A valid manifest as JSON with some fields replaced."""
    return json.dumps(json.loads(manifest().to_json()) | fields)


def test_a_manifest_survives_its_own_json() -> None:
    """Writing and reading gives the same value."""
    original = manifest(version="1.4.0-rc.1")
    assert Manifest.from_json(original.to_json()) == original


def test_prereleases_sort_as_semver_says() -> None:
    """1.4.0-rc.1 comes before 1.4.0 and after 1.3.9."""
    versions = ["1.4.0", "1.4.0-rc.2", "1.3.9", "1.4.0-rc.10"]
    parsed = sorted(manifest(version=version).version for version in versions)
    assert [str(version) for version in parsed] == ["1.3.9", "1.4.0-rc.2", "1.4.0-rc.10", "1.4.0"]
    assert isinstance(parsed[0], semver.Version)


def test_the_resource_name_holds_model_and_version() -> None:
    """`models/{model}/versions/{semver}`."""
    assert manifest().resource_name == "models/synthetic/versions/1.0.0"


def test_a_digest_names_its_algorithm() -> None:
    """SHA-256 of nothing, as FIPS 180-4 examples have it."""
    assert digest_of(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"version": "1.0"}, "version"),
        ({"version": "1.0.0+build"}, "version"),
        ({"version": 1}, "version"),
        ({"model": "../etc"}, "model"),
        ({"model": "a" * 64}, "model"),
        ({"model": "a-"}, "model"),
        ({"sample_rate_hertz": 8000}, "sample_rate_hertz"),
        ({"tracks": 0}, "tracks"),
        ({"contract": "diarization"}, "contract"),
        ({"files": {"model.onnx": "md5:00"}}, "files.model.onnx"),
        ({"colour": "red"}, "colour"),
        ({"files": {}, "sizes": {"model.onnx": 1}}, "sizes"),
        ({"files": {"a": DIGEST, "b": DIGEST}, "sizes": {"a": 1}}, "sizes"),
        ({"files": {"a": DIGEST}, "sizes": {"a": -1}}, "sizes.a"),
        ({"files": {"a": DIGEST}, "sizes": {"a": 2**63}}, "sizes.a"),
        ({"files": {"a": DIGEST}, "sizes": {"a": "1"}}, "sizes.a"),
        ({"hop_samples": {"density": 7681}}, "manifest"),
        ({"hop_samples": {}}, "hop_samples"),
        ({"window_samples": 7040}, "manifest"),
    ],
)
def test_a_broken_manifest_is_refused_by_field(fields: dict[str, object], field: str) -> None:
    """The error names the field, what was seen and what is allowed."""
    with pytest.raises(PackageInvalid) as refused:
        Manifest.from_json(changed(**fields))
    assert refused.value.reason == "MANIFEST_INVALID"
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "null"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    """Garbage is an error with a reason, not a crash."""
    with pytest.raises(PackageInvalid):
        Manifest.from_json(text)
