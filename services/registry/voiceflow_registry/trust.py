"""Whose signatures the registry takes, and the key that it signs its own rollbacks with.

Pods check everything again and believe the registry nothing. What it refuses here never becomes
part of a history that they would then have to refuse, and stop at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from voiceflow.artifact import Manifest
from voiceflow.catalog.channels import Promotion
from voiceflow.catalog.names import VersionName
from voiceflow.catalog.values import Signature, iso
from voiceflow.errors import Untrusted
from voiceflow.identity.reloading import Reloaded
from voiceflow.package import check_sizes_stated
from voiceflow.telemetry.metrics import TRUST_ALARMS
from voiceflow.trust.authority import check_manifest, check_promotion
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.root import TrustRoot, TrustRoots, read_trust_roots
from voiceflow.trust.signing import SigningKey
from voiceflow.trust.trusted import TrustedState, advance_root

_EXPIRED: Final = "ROOT_EXPIRED"

_LOG = logging.getLogger(__name__)


class Trust:
    """What is asked before anything that is signed is kept; safe to use from many threads.

    Args:
        roots: The trust root, as its file is now.
        signing_key: The registry's own; None: it signs nothing.
        clock: Tells whether the trust root has expired.
    """

    def __init__(
        self,
        roots: Reloaded[TrustRoots],
        signing_key: Reloaded[SigningKey] | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._roots = roots
        self._signing_key = signing_key
        self._clock = clock
        self._expired: TrustRoot | None = None
        self._alarming = threading.Lock()
        self._root()

    @property
    def sources(self) -> tuple[Reloaded[Any], ...]:
        """What is to be kept fresh."""
        return (self._roots,) if self._signing_key is None else (self._roots, self._signing_key)

    def check_new_version(
        self, name: VersionName, manifest: bytes, signature: Signature | None
    ) -> None:
        """Whether a version may be published.

        Args:
            name: The version.
            manifest: Its manifest, which is known to name it.
            signature: Of a publisher of the model, over the manifest.

        Raises:
            Untrusted: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED,
                SIZE_UNSIGNED.
        """
        with _at_field("begin.signature"):
            check_manifest(
                self._root(), model=name.model, manifest=manifest, signature=signature, new=True
            )
        with _at_field("begin.manifest.sizes"):
            check_sizes_stated(Manifest.from_json(manifest))

    def check_version(
        self, name: VersionName, manifest: bytes, signature: Signature | None, *, field: str
    ) -> None:
        """Whether pods would take a version that was published: retired keys do, revoked do not.

        Args:
            name: The version.
            manifest: As published.
            signature: As published.
            field: Of the request, that names the version.

        Raises:
            Untrusted: As `check_new_version`.
        """
        with _at_field(field, f"{name} cannot be served"):
            check_manifest(
                self._root(), model=name.model, manifest=manifest, signature=signature, new=False
            )
            check_sizes_stated(Manifest.from_json(manifest))

    def check_promotion(self, promotion: Promotion) -> None:
        """Whether a promotion may be committed: signed, as it will stand, by who may.

        Raises:
            Untrusted: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED,
                STATEMENT_INVALID.
        """
        with _at_field("signature"):
            check_promotion(
                self._root(),
                statement=promotion.statement,
                signature=promotion.signature,
                new=True,
            )

    def signed(self, promotion: Promotion) -> Promotion:
        """A promotion that the registry makes itself, with its signature.

        Raises:
            Untrusted: SIGNATURE_MISSING: it has no key; else as `check_promotion`: pods would not
                follow it.
        """
        if self._signing_key is None:
            raise Untrusted(
                "the registry has no key of its own (--signing-key) to sign it with",
                reason="SIGNATURE_MISSING",
            )
        key = self._signing_key.value
        signature = key.sign(promotion.statement, PayloadType.PROMOTION)
        signed = promotion.model_copy(update={"signature": signature})
        self.check_promotion(signed)
        return signed

    def _root(self) -> TrustRoot:
        """The trust root in force; one that has expired goes on to hold, with an alarm."""
        root = self._roots.value.newest
        expired = root if root.expired(self._clock()) else None
        with self._alarming:
            before, self._expired = self._expired, expired
        if expired is not before:
            TRUST_ALARMS.add(bool(expired) - bool(before), {"reason": _EXPIRED})
        if expired is not None and expired is not before and expired.expire_time is not None:
            _LOG.error(
                "%s: version %d of the trust root was to be replaced before %s; it goes on to hold",
                *(_EXPIRED, expired.version, iso(expired.expire_time)),
            )
        return root


def open_trust(
    trust_root: Path, signing_key: Path | None, *, clock: Callable[[], datetime]
) -> Trust:
    """Reads the files.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE, KEY_INVALID.
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
    """
    roots = Reloaded("trust_root", _NeverOlder(trust_root), [trust_root])
    key = (
        None
        if signing_key is None
        else Reloaded("signing_key", partial(SigningKey.read, signing_key), [signing_key])
    )
    return Trust(roots, key, clock)


@contextmanager
def _at_field(field: str, what: str = "") -> Iterator[None]:
    """What is not trusted tells the field of the request that it is about."""
    try:
        yield
    except Untrusted as error:
        message = f"{what}: {error.message}" if what else error.message
        raise Untrusted(message, reason=error.reason, field=field) from None


class _NeverOlder:
    """Reads a trust root's file; of what was read once, nothing is taken back or rewritten."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = TrustedState(channel="")

    def __call__(self) -> TrustRoots:
        roots = read_trust_roots(self._path)
        self._seen = advance_root(self._seen, roots)
        return roots
