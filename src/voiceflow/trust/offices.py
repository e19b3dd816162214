"""Keys as a trust root names them, and what each of them may sign."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from securesystemslib.signer import Key, SSlibKey

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.names import ChannelName
from voiceflow.trust.envelopes import KeyId
from voiceflow.trust.strict_json import canonical

ModelPattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*-]{1,63}$")]
"""Id of a model; `*` stands for any characters."""

ChannelPattern = Annotated[
    str, StringConstraints(pattern=r"^models/[a-z0-9*-]{1,63}/channels/[a-z0-9*-]{1,63}$")
]
"""Name of a channel; `*` stands for any characters, but no slash."""


class KeyStatus(StrEnum):
    """What the signatures of a key are worth."""

    ACTIVE = "active"
    """It may sign."""
    RETIRED = "retired"
    """What it has signed stays valid; the registry takes nothing new of it."""
    REVOKED = "revoked"
    """Nothing that it has signed holds."""


_PRIME: Final = 2**255 - 19
_EIGHTH: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _EIGHTH, _PRIME - _EIGHTH})
"""The second coordinate of the points whose order divides 8."""


def _binds(public: str) -> str:
    """Passes a point that only the holder of its private half can sign for.

    Libraries verify without a look at this: signatures that anybody can make hold for a point of
    small order, and a second spelling of a point would be a second key.
    """
    second = int.from_bytes(bytes.fromhex(public), "little") & (2**255 - 1)
    if second >= _PRIME or second in _SMALL_ORDER:
        raise ValueError("is no public key: everybody could sign for it, or it has another form")
    return public


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class KeyValue(_Part):
    """The 32 bytes of the point, in lower-case hexadecimal."""

    public: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), AfterValidator(_binds)]


class PublicKey(_Part):
    """The public half of a key; Ed25519 alone, in one form, so that one key has one id."""

    keytype: Literal["ed25519"]
    scheme: Literal["ed25519"]
    keyval: KeyValue

    @classmethod
    def of(cls, key: Key) -> Self:
        """As it stands in a trust root."""
        return cls.model_validate(key.to_dict())

    def checker(self, key_id: str) -> SSlibKey:
        """What checks its signatures."""
        return SSlibKey(key_id, self.keytype, self.scheme, {"public": self.keyval.public})

    @property
    def key_id(self) -> str:
        """Its id: SHA-256 of the key in canonical JSON."""
        return digest_of(canonical(self.model_dump())).removeprefix("sha256:")


class Office(_Part):
    """What a key may sign."""

    key: KeyId
    status: KeyStatus = KeyStatus.ACTIVE


class Publisher(Office):
    """A key that may sign manifests of some models."""

    models: Annotated[tuple[ModelPattern, ...], Field(min_length=1, max_length=64)]

    def covers(self, model: str) -> bool:
        """Whether a model is one of those."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


class Promoter(Office):
    """A key that may sign some kinds of promotions of some channels."""

    channels: Annotated[tuple[ChannelPattern, ...], Field(min_length=1, max_length=64)]
    kinds: Annotated[tuple[PromotionKind, ...], Field(min_length=1, max_length=3)]

    def covers(self, channel: ChannelName, kind: PromotionKind) -> bool:
        """Whether a promotion is one of those."""
        return kind in self.kinds and any(
            fnmatchcase(str(channel), pattern) for pattern in self.channels
        )
