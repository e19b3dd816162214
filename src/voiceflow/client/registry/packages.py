"""A package and its publisher's signature: made here, or by somebody else before."""

from __future__ import annotations

from voiceflow.catalog.values import Signature
from voiceflow.client.registry.local import LocalPackage
from voiceflow.errors import Untrusted
from voiceflow.package import check_sizes_stated
from voiceflow.trust.envelopes import PayloadType, opened
from voiceflow.trust.signing import SigningKey


def sign_package(package: LocalPackage, key: SigningKey) -> Signature:
    """The publisher's signature over a manifest whose files are there, just as it states them.

    Raises:
        Untrusted: SIZE_UNSIGNED: it does not bound what is read of its files.
        TooLarge: SIZE_LIMIT: the manifest is longer than a signature can hold.
    """
    check_sizes_stated(package.manifest)
    return key.sign(package.content, PayloadType.MANIFEST)


def check_signed(package: LocalPackage, signature: Signature) -> None:
    """Checks that a signature is over this manifest, whoever made it.

    Raises:
        Untrusted: SIGNATURE_INVALID.
    """
    try:
        opened(signature, PayloadType.MANIFEST, keys=(), expected=package.content)
    except Untrusted as error:
        raise Untrusted(
            f"{package.folder}: {error.message}; sign the package again", reason=error.reason
        ) from None
