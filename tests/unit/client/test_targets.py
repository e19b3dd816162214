"""Where targets lead, and what may be said to them in plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceflow.client.identity import ClientIdentity, check_plain_text
from voiceflow.client.targets import host_of, stays_on_this_machine
from voiceflow.errors import InvalidInput

HERE = (
    "127.0.0.1:50051",
    "127.9.9.9:1",
    "localhost:50051",
    "localhost",
    "[::1]:50051",
    "dns:///localhost:50051",
    "dns:localhost:50051",
    "dns:///[::1]:50051",
    "ipv4:127.0.0.1:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
    "ipv6:[::1]:50051",
    "unix:/run/voiceflow",
    "unix:///run/voiceflow",
    "unix-abstract:voiceflow",
)
ELSEWHERE = (
    "10.0.0.1:50051",
    "registry:50061",
    "registry.internal",
    "[fe80::1]:50051",
    "0.0.0.0:50051",
    "dns:///registry:50061",
    "dns://10.0.0.1/localhost:50061",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "ipv6:[::1]:1,[fe80::1]:1",
    "xds:///localhost",
    "localhost.evil.example:1",
    "127.0.0.1.evil.example:1",
    "127.0.0.1%2eevil.example:1",
    "",
)


@pytest.mark.parametrize("target", HERE)
def test_loopback_may_be_dialled_in_plain_text(target: str) -> None:
    """In every way that gRPC can be told of it."""
    assert stays_on_this_machine(target)
    check_plain_text(target, None, insecure=False)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_another_machine_is_dialled_in_plain_text_only_where_that_is_asked_for(
    target: str,
) -> None:
    """What is not understood is another machine."""
    assert not stays_on_this_machine(target)
    with pytest.raises(InvalidInput, match="insecure") as caught:
        check_plain_text(target, None, insecure=False)
    assert caught.value.reason == "INSECURE_ADDRESS"
    check_plain_text(target, None, insecure=True)
    check_plain_text(target, ClientIdentity(ca=Path("ca.pem")), insecure=False)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("registry:50061", "registry"),
        ("registry", "registry"),
        ("[::1]:50051", "::1"),
        ("dns:///registry.internal:1", "registry.internal"),
    ],
)
def test_the_name_that_a_certificate_must_have_is_that_of_the_target(
    target: str, host: str
) -> None:
    """Without port, brackets and scheme."""
    assert host_of(target) == host
