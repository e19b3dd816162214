"""Connections to a server that shows the development certificate, and what it shows."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import grpc
from cryptography import x509

from tests.fakes.identity import Pair, pair


def bearing(token: str) -> dict[str, Any]:
    """Options of a call that shows a token."""
    return {"metadata": (("authorization", f"Bearer {token}"),)}


def tls_channel(address: str, shown: Pair | None = None) -> grpc.aio.Channel:
    """A connection of a caller who trusts the development CA; None: who shows no certificate."""
    ca = pair("server").ca.read_bytes()
    if shown is None:
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca))
    own = shown.key.read_bytes(), shown.certificate.read_bytes()
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca, *own))


async def serial_shown(address: str) -> int:
    """Serial number of the certificate that a new connection of a client is shown."""
    host, _, port = address.rpartition(":")
    own = pair("client")
    context = ssl.create_default_context(cafile=own.ca)
    context.load_cert_chain(own.certificate, own.key)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(shown).serial_number


def serial_of(pem: bytes) -> int:
    """Serial number of the first certificate of a PEM text."""
    return x509.load_pem_x509_certificates(pem)[0].serial_number
