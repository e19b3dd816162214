"""What the inference service says of itself to its registry: which settings fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from voiceflow.client import ClientIdentity
from voiceflow_inference.app import registry_identity
from voiceflow_inference.settings import Settings

REGISTRY: dict[str, Any] = {"registry": "registry.example:50061"}
CA, CERTIFICATE, KEY, TOKEN = (Path(name) for name in ("ca.pem", "own.pem", "key.pem", "token"))


def test_without_files_the_registry_is_asked_in_plain_text() -> None:
    """Whether that may be is asked before it is dialled."""
    assert registry_identity(Settings(**REGISTRY)) is None
    assert registry_identity(Settings(**REGISTRY, insecure_registry=True)) is None


def test_files_make_an_identity() -> None:
    """A certificate, a token, or the CA alone."""
    settings = Settings(**REGISTRY, registry_ca=CA, registry_cert=CERTIFICATE, registry_key=KEY)
    assert registry_identity(settings) == ClientIdentity(CA, CERTIFICATE, KEY)
    settings = Settings(**REGISTRY, registry_token_file=TOKEN)
    assert registry_identity(settings) == ClientIdentity(token_file=TOKEN)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (REGISTRY | {"registry_cert": CERTIFICATE}, "one goes with the other"),
        (REGISTRY | {"registry_key": KEY}, "one goes with the other"),
        (REGISTRY | {"registry_ca": CA, "insecure_registry": True}, "give either"),
        (REGISTRY | {"registry_token_file": TOKEN, "insecure_registry": True}, "give either"),
        ({"model_dir": Path("model"), "registry_ca": CA}, "--registry-ca: only with --registry"),
        ({"model_dir": Path("model"), "insecure_registry": True}, "only with --registry"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: dict[str, Any], said: str) -> None:
    """Rather than to leave one aside that was meant."""
    with pytest.raises(ValidationError, match=said):
        Settings(**given)
