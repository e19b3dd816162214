"""Identity for tests: a folder of a development identity, and odd certificates and tokens."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509

from voiceflow.identity.development import Authority, write_development_identity
from voiceflow.identity.key_set import read_token_key

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Pair:
    """Files of a certificate, its private key and the CA that issued it."""

    certificate: Path
    key: Path
    ca: Path


@cache
def development_identity() -> Path:
    """A folder as `voiceflow dev-certs` writes it, made once a process; leave it as it is."""
    folder = Path(tempfile.mkdtemp(prefix="voiceflow-identity-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_development_identity(folder)
    return folder


def pair(who: str, folder: Path | None = None) -> Pair:
    """The files of `server`, `pod` or a role."""
    folder = folder or development_identity()
    return Pair(folder / f"{who}.pem", folder / f"{who}-key.pem", folder / "ca.pem")


def certificate(
    folder: Path,
    principal: str | None,
    *,
    authority: Path | None = None,
    uris: Sequence[str] = (),
    dns: Sequence[str] = (),
    begin: datetime | None = None,
    end: datetime | None = None,
    server: bool = False,
) -> Pair:
    """A certificate of one's own.

    Args:
        folder: Where its files go.
        principal: Its URI; None: it has none.
        authority: Folder of the CA that issues it, as `development_identity` or `other_authority`
            gives it; None: the former.
        uris: Further URIs.
        dns: DNS names, which may look like anything.
        begin: When it begins to hold; None: an hour ago.
        end: When it ends; None: tomorrow.
        server: For servers, not for callers.
    """
    authority = authority or development_identity()
    issuer = Authority.read(
        (authority / "ca.pem").read_bytes(), (authority / "ca-key.pem").read_bytes()
    )
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(uri)
        for uri in (*(() if principal is None else (principal,)), *uris)
    ]
    names += [x509.DNSName(name) for name in dns]
    issued = issuer.issue(
        "odd",
        names,
        begin=begin or now - timedelta(hours=1),
        end=end or now + timedelta(days=1),
        server=server,
    )
    number = next(_NUMBERS)
    made = Pair(
        folder / f"odd-{number}.pem", folder / f"odd-{number}-key.pem", authority / "ca.pem"
    )
    made.certificate.write_bytes(issued.certificate_pem)
    made.key.write_bytes(issued.key_pem)
    return made


def expired(folder: Path, principal: str) -> Pair:
    """A certificate that has ended a day ago."""
    now = datetime.now(UTC)
    return certificate(
        folder, principal, begin=now - timedelta(days=2), end=now - timedelta(days=1)
    )


@cache
def other_authority() -> Path:
    """A folder with a CA that nobody trusts, otherwise like `development_identity`."""
    folder = Path(tempfile.mkdtemp(prefix="voiceflow-identity-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_development_identity(folder)
    return folder


def token(
    principal: str,
    audience: str,
    *,
    authority: Path | None = None,
    age_seconds: int = 0,
    valid_seconds: int = 900,
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A signed token, as good as it is said to be.

    Args:
        principal: Its subject.
        audience: Whom it is meant for.
        authority: Folder of the key that signs it; None: `development_identity`.
        age_seconds: How long ago it was issued; with `valid_seconds`, it may have expired.
        valid_seconds: For how long from then on.
        headers: In place of the usual ones.
        claims: In place of the usual ones, or further; None takes one away.
    """
    key = read_token_key((authority or development_identity()) / "token-key.json")
    begin = int(datetime.now(UTC).timestamp()) - age_seconds
    usual = {
        "sub": principal,
        "aud": audience,
        "iat": begin,
        "exp": begin + valid_seconds,
        "jti": f"test-{next(_NUMBERS)}",
    }
    said = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(
        said, key.private, algorithm="ES256", headers={"kid": key.key_id} | (headers or {})
    )
