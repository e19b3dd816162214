"""A trust root for development and tests: every key in one folder.

Whoever reads the folder is everybody: nothing of it belongs where others are served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from voiceflow.catalog.channels import PromotionKind
from voiceflow.errors import AlreadyExists
from voiceflow.trust.drafts import Draft, first_root, with_promoter, with_publisher
from voiceflow.trust.signing import SigningKey, write_public_key

THRESHOLD: Final = 2
TRUST_ROOT_FILE: Final = "trust-root.json"

_ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
_OTHERS: Final = ("publisher", "promoter", "registry")
_ANY_CHANNEL: Final = "models/*/channels/*"


def write_development_trust(folder: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Writes keys for everybody, and a trust root that lets them do their work.

    `root-1`, `root-2`, `root-3`, `publisher` (all models), `promoter` (all channels) and
    `registry` (automatic rollbacks), each as `.pem` without a password and `.pub`;
    `trust-root.json`, which the three root keys have signed.

    Args:
        folder: Made if it is not there; for its owner alone.
        force: Replace what is there.

    Returns:
        What was written.

    Raises:
        AlreadyExists: FILES_EXIST.
    """
    names = (*_ROOT_KEYS, *_OTHERS)
    private = {name: folder / f"{name}.pem" for name in names}
    public = {name: folder / f"{name}.pub" for name in names}
    paths = (*private.values(), *public.values(), folder / TRUST_ROOT_FILE)
    there = [path.name for path in paths if path.exists()]
    if there and not force:
        raise AlreadyExists(
            f"{folder}: holds {there[0]} and {len(there) - 1} more of its files already; --force "
            "replaces them",
            reason="FILES_EXIST",
            field="folder",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in paths:
        path.unlink(missing_ok=True)

    keys = {name: SigningKey.generate() for name in names}
    for name, key in keys.items():
        key.write(private[name])
        write_public_key(key.public, public[name])
    root = first_root([keys[name].public for name in _ROOT_KEYS], threshold=THRESHOLD)
    root = with_publisher(root, keys["publisher"].public, ["*"])
    people = [PromotionKind.PROMOTE, PromotionKind.ROLLBACK]
    root = with_promoter(root, keys["promoter"].public, [_ANY_CHANNEL], people)
    server = [PromotionKind.AUTOMATIC_ROLLBACK]
    root = with_promoter(root, keys["registry"].public, [_ANY_CHANNEL], server)
    draft = Draft.of(None, root)
    for name in _ROOT_KEYS:
        draft = draft.signed_by(keys[name])
    (folder / TRUST_ROOT_FILE).write_bytes(draft.complete().to_json())
    return paths
