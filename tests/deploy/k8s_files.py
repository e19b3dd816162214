"""What a cluster puts into the pods of an overlay, written to a folder, to start them here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.deploy.k8s_cluster import Cluster, Container
from tests.fakes.identity import development_identity
from voiceflow.trust.development import write_development_trust

_USAGES: Final = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}


class Cloud:
    """Makes what pods of an overlay are given.

    Args:
        cluster: The overlay.
        folder: Where everything goes.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voiceflow")])
        self._authority = self._sign(name, name, self._key, [_authority()])
        write_development_trust(folder / "keys")
        for one in cluster.of("Certificate"):
            self._write_certificate(one["spec"])
        for name_, file, content in self._brought():
            self._write(name_, file, content)

    def inside(self, container: Container) -> Mapping[str, Path]:
        """Where each mounted folder of a container is here."""
        volumes = {one["name"]: one for one in container.workload.pod["volumes"]}
        found = {}
        for mount in container.spec["volumeMounts"]:
            volume = volumes[mount["name"]]
            source = volume.get("secret", {}).get("secretName")
            source = source or volume.get("configMap", {}).get("name")
            place = self._folder / (source or f"{container.workload.name}-{mount['name']}")
            place.mkdir(exist_ok=True)
            found[mount["mountPath"]] = place
        return found

    def here(self, container: Container, path: str | Path) -> Path:
        """Where a file of a container is here."""
        places = self.inside(container)
        mount = next(str(one) for one in Path(path).parents if str(one) in places)
        return places[mount] / Path(path).relative_to(mount)

    def settings(self, container: Container, **other: Any) -> dict[str, Any]:
        """What is set of a server, with files as they are here and ports that are free.

        Args:
            container: Runs the server.
            other: What is to be another.
        """
        settings = container.settings
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        for name, value in given.items():
            if isinstance(value, Path):
                given[name] = self.here(container, value)
        ports = {name: 0 for name in given if name in {"health_port", "metrics_port"}}
        return {**given, **ports, "host": "127.0.0.1", "health_host": "127.0.0.1", **other}

    def _brought(self) -> list[tuple[str, str, bytes]]:
        keys = self._folder / "keys"
        access = self._cluster.object("ConfigMap", "voiceflow-access")["data"]
        return [
            ("voiceflow-keys", "keys.json", (development_identity() / "keys.json").read_bytes()),
            ("voiceflow-trust-root", "trust-root.json", (keys / "trust-root.json").read_bytes()),
            ("voiceflow-registry-signing", "registry.pem", (keys / "registry.pem").read_bytes()),
            *(("voiceflow-access", file, text.encode()) for file, text in access.items()),
        ]

    def _write(self, source: str, file: str, content: bytes) -> None:
        (self._folder / source).mkdir(exist_ok=True)
        (self._folder / source / file).write_bytes(content)

    def _write_certificate(self, spec: Mapping[str, Any]) -> None:
        """As cert-manager does, and for loopback as well where others dial the name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in spec.get("dnsNames", [])]
        names += [x509.UniformResourceIdentifier(uri) for uri in spec["uris"]]
        if "localhost" not in spec.get("dnsNames", ["localhost"]):
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
        usages = [_USAGES[usage] for usage in spec["usages"] if usage in _USAGES]
        subject = x509.Name([])
        made = self._sign(
            subject,
            self._authority.subject,
            key,
            [x509.SubjectAlternativeName(names), x509.ExtendedKeyUsage(usages)],
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._write(spec["secretName"], "tls.key", private)
        self._write(spec["secretName"], "tls.crt", made.public_bytes(pem))
        self._write(spec["secretName"], "ca.crt", self._authority.public_bytes(pem))

    def _sign(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: list[x509.ExtensionType],
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            names_alone = isinstance(extension, x509.SubjectAlternativeName) and not subject.rdns
            critical = names_alone or isinstance(extension, x509.BasicConstraints)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _authority() -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=None)
