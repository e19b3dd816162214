"""The access file: which roles are granted to which principals. What it does not say is denied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from voiceflow.errors import InvalidInput
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.identity.files import read_text
from voiceflow.identity.principals import PRINCIPAL_RULE, is_principal
from voiceflow.identity.strict_yaml import YamlRefused, read_plain_yaml

_REASON: Final = "ACCESS_INVALID"
_FIELD: Final = "access"
_ANY: Final = "/*"


def _principal_pattern(text: str) -> str:
    # A wildcard is a whole segment, the last one: the rest must be a principal without it.
    if is_principal(text.removesuffix("*") + "x" if text.endswith(_ANY) else text):
        return text
    raise ValueError(f"is no {PRINCIPAL_RULE}; the last segment may be *")


_PrincipalPattern = Annotated[str, AfterValidator(_principal_pattern)]
_IdPattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*-]{1,63}$")]
_IdPatterns = tuple[_IdPattern, ...]


class Grant(BaseModel):
    """What one entry of the access file grants.

    Attributes:
        principal: To whom: a SPIFFE ID; `*` as the last segment stands for any one segment.
        roles: Which roles.
        models: Of a publisher: ids of its own models; `*` stands for any characters. Of a client
            with pods: ids of the models whose channels they may follow; none: any.
        pods: Of a client: ids of the pods that it may report for, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    principal: _PrincipalPattern
    roles: Annotated[tuple[CallerRole, ...], Field(min_length=1, max_length=len(CallerRole))]
    models: _IdPatterns = ()
    pods: _IdPatterns = ()

    @model_validator(mode="after")
    def _patterns_have_their_role(self) -> Self:
        if self.models and CallerRole.PUBLISHER not in self.roles and not self.pods:
            raise ValueError("models are granted to the role publisher, or to a client with pods")
        if self.pods and CallerRole.CLIENT not in self.roles:
            raise ValueError("pods are granted to the role client alone")
        return self

    @property
    def own_models(self) -> tuple[str, ...]:
        """Those that it publishes."""
        return self.models if CallerRole.PUBLISHER in self.roles else ()

    @property
    def own_pods(self) -> tuple[str, ...]:
        """Those that it reports for, as a caller has them: with the models that bound them."""
        if not self.models:
            return self.pods
        return tuple(f"{model}/{pod}" for model in self.models for pod in self.pods)


class _Access(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Annotated[int, Field(strict=True, ge=1, le=1)]
    grants: tuple[Grant, ...]


class Grants:
    """Grants, found by principal."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._exact: defaultdict[str, list[Grant]] = defaultdict(list)
        self._any_below: defaultdict[str, list[Grant]] = defaultdict(list)
        for grant in grants:
            if grant.principal.endswith(_ANY):
                self._any_below[grant.principal.removesuffix(_ANY)].append(grant)
            else:
                self._exact[grant.principal].append(grant)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Reads an access file.

        Raises:
            InvalidInput: ACCESS_INVALID, with the line, the field at fault and what is allowed.
        """
        try:
            read = read_plain_yaml(text)
        except YamlRefused as error:
            raise _invalid(f"line {error.line}: {error}") from error
        try:
            return cls(_Access.model_validate(read.value).grants)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise _invalid(
                f"line {read.line(first['loc'])}: {place or _FIELD}: {first['msg']} "
                f"(seen: {first['input']!r:.200})",
                place or _FIELD,
            ) from error

    def caller(self, principal: str, *, credential: str = "", peer: str = "") -> Caller:
        """A principal with everything that is granted to it; nothing, if no grant matches.

        Args:
            principal: Proven by a certificate or a token.
            credential: `sha256:…` of the certificate or `jti:…` of the token.
            peer: Address that it calls from.
        """
        grants = [
            *self._exact.get(principal, ()),
            *self._any_below.get(principal.rpartition("/")[0], ()),
        ]
        return Caller(
            principal=principal,
            roles=frozenset(role for grant in grants for role in grant.roles),
            models=_together(grant.own_models for grant in grants),
            pods=_together(grant.own_pods for grant in grants),
            credential=credential,
            peer=peer,
        )


def read_grants(path: Path) -> Grants:
    """Reads an access file.

    Raises:
        InvalidInput: ACCESS_INVALID, with the file, the line, the field and what is allowed.
    """
    text = read_text(path, reason=_REASON, field=_FIELD)
    try:
        return Grants.from_yaml(text)
    except InvalidInput as error:
        raise _invalid(f"{path}: {error.message}", error.field) from error


def _together(patterns: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for some in patterns for one in some))


def _invalid(message: str, field: str | None = _FIELD) -> InvalidInput:
    return InvalidInput(message, reason=_REASON, field=field)
