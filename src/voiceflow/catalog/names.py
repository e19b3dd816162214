"""Names of resources: `models/{model}/versions/{semver}` and the rest, read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

import semver

from voiceflow.errors import InvalidInput

_ID: Final = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_VERSION_LENGTH: Final = 64
ID_RULE: Final = "1 to 63 characters of a-z, 0-9 and hyphen, the first a letter, the last no hyphen"
VERSION_RULE: Final = (
    "a version as SemVer 2.0.0 says, without build metadata, of at most 64 characters"
)

ANY_MODEL: Final = "-"
"""In a parent, `models/-`: all models."""


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """`models/{model}`."""

    model: str

    def __str__(self) -> str:
        return f"models/{self.model}"

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name.

        Raises:
            InvalidInput: NAME_INVALID, with what is allowed.
        """
        (model,) = _parts(text, "models/{model}", field)
        return cls(_identifier(model, field, text))


@dataclass(frozen=True, slots=True)
class VersionName:
    """`models/{model}/versions/{semver}`."""

    model: str
    version: semver.Version

    def __str__(self) -> str:
        return f"models/{self.model}/versions/{self.version}"

    @property
    def parent(self) -> ModelName:
        """The model."""
        return ModelName(self.model)

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name; raises as `ModelName.parse`."""
        model, version = _parts(text, "models/{model}/versions/{semver}", field)
        return cls(_identifier(model, field, text), _version(version, field, text))


@dataclass(frozen=True, slots=True)
class UploadName:
    """`models/{model}/versions/{semver}/uploads/{digest}`, the digest in bare hexadecimal."""

    version: VersionName
    manifest_hex: str

    def __str__(self) -> str:
        return f"{self.version}/uploads/{self.manifest_hex}"

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name; raises as `ModelName.parse`."""
        pattern = "models/{model}/versions/{semver}/uploads/{digest}"
        model, version, digest = _parts(text, pattern, field)
        name = VersionName(_identifier(model, field, text), _version(version, field, text))
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise _invalid(field, text, "a digest of 64 hexadecimal digits")
        return cls(name, digest)


@dataclass(frozen=True, slots=True)
class ValidationName:
    """`models/{model}/versions/{semver}/validations/{validation}`."""

    version: VersionName
    validation: str

    def __str__(self) -> str:
        return f"{self.version}/validations/{self.validation}"

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name; raises as `ModelName.parse`."""
        pattern = "models/{model}/versions/{semver}/validations/{validation}"
        model, version, validation = _parts(text, pattern, field)
        name = VersionName(_identifier(model, field, text), _version(version, field, text))
        if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", validation):
            raise _invalid(field, text, "a validation of 1 to 64 letters, digits and hyphens")
        return cls(name, validation)


@dataclass(frozen=True, slots=True, order=True)
class ChannelName:
    """`models/{model}/channels/{channel}`."""

    model: str
    channel: str

    def __str__(self) -> str:
        return f"models/{self.model}/channels/{self.channel}"

    @property
    def policy(self) -> str:
        """Name of the channel's policy."""
        return f"{self}/policy"

    def promotion(self, sequence: int) -> str:
        """Name of one entry of the channel's history."""
        return f"{self}/promotions/{sequence}"

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name; raises as `ModelName.parse`."""
        model, channel = _parts(text, "models/{model}/channels/{channel}", field)
        return cls(_identifier(model, field, text), _identifier(channel, field, text))

    @classmethod
    def parse_policy(cls, text: str, *, field: str = "name") -> Self:
        """Reads the name of a policy; raises as `ModelName.parse`."""
        model, channel = _parts(text, "models/{model}/channels/{channel}/policy", field)
        return cls(_identifier(model, field, text), _identifier(channel, field, text))


@dataclass(frozen=True, slots=True, order=True)
class PodName:
    """`pods/{pod}`."""

    pod: str

    def __str__(self) -> str:
        return f"pods/{self.pod}"

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> Self:
        """Reads a name; raises as `ModelName.parse`."""
        (pod,) = _parts(text, "pods/{pod}", field)
        return cls(_identifier(pod, field, text))


def _parts(text: str, pattern: str, field: str) -> list[str]:
    """The texts that stand in a pattern's braces; a part never holds a slash."""
    wanted, seen = pattern.split("/"), text.split("/")
    if len(wanted) != len(seen):
        raise _invalid(field, text, pattern)
    parts = []
    for want, part in zip(wanted, seen, strict=True):
        if want.startswith("{"):
            parts.append(part)
        elif want != part:
            raise _invalid(field, text, pattern)
    return parts


def _identifier(part: str, field: str, text: str) -> str:
    if not re.fullmatch(_ID, part):
        raise _invalid(field, text, ID_RULE)
    return part


def _version(part: str, field: str, text: str) -> semver.Version:
    if len(part) <= _VERSION_LENGTH and semver.Version.is_valid(part):
        version = semver.Version.parse(part)
        if version.build is None:
            return version
    raise _invalid(field, text, VERSION_RULE)


def _invalid(field: str, text: str, allowed: str) -> InvalidInput:
    return InvalidInput(
        f"{field}: {text[:200]!r} is no such name; allowed is {allowed}",
        reason="NAME_INVALID",
        field=field,
    )
