"""A private certificate authority and every kind of good and bad certificate it can issue."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def now() -> datetime.datetime:
    """The present, in the naive UTC that the library expects."""
    return datetime.datetime.utcnow()


def new_key():
    """EC keys: generating and using them costs next to nothing."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key, passphrase: bytes | None = None) -> bytes:
    """The private key as PEM, encrypted if there is a passphrase."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def cert_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Identity:
    """A certificate, its key, the intermediates to send along, and files holding them."""

    name: str
    directory: Path
    certificate: x509.Certificate
    key: object
    chain: tuple[x509.Certificate, ...] = ()

    def _write(self, suffix: str, content: bytes) -> str:
        path = self.directory / f"{self.name}{suffix}"
        if not path.exists():
            path.write_bytes(content)
        return str(path)

    @property
    def cert_file(self) -> str:
        """PEM: the certificate, then its intermediates."""
        return self._write(".crt", b"".join(cert_pem(c) for c in (self.certificate, *self.chain)))

    @property
    def key_file(self) -> str:
        """PEM: the private key."""
        return self._write(".key", key_pem(self.key))

    @property
    def combined_file(self) -> str:
        """PEM: key and certificate in one file, as stunnel users often have it."""
        return self._write(".pem", key_pem(self.key) + cert_pem(self.certificate))

    @property
    def encrypted_key_file(self) -> str:
        """PEM: the private key under a passphrase that nobody types."""
        return self._write(".encrypted.key", key_pem(self.key, b"sesame"))

    def pkcs12_file(self) -> str:
        """PKCS#12 with key and certificate under an empty passphrase."""
        return self._write(
            ".p12",
            pkcs12.serialize_key_and_certificates(
                self.name.encode(),
                self.key,
                self.certificate,
                list(self.chain) or None,
                serialization.NoEncryption(),
            ),
        )


class Authority:
    """A certificate authority: a root, or an intermediate signed by another."""

    def __init__(self, directory: Path, name: str, parent: "Authority | None" = None):
        self.directory = directory
        self.name = name
        self.parent = parent
        self.key = new_key()
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign_itself()
        self.ca_file = str(directory / f"{name}-ca.crt")
        Path(self.ca_file).write_bytes(cert_pem(self.certificate))

    def _sign_itself(self) -> x509.Certificate:
        issuer = self.parent or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - DAY)
            .not_valid_after(now() + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                critical=True,
            )
        )
        return builder.sign(issuer.key, hashes.SHA256())

    def issue(
        self,
        name: str,
        *,
        dns: tuple[str, ...] = ("localhost",),
        ips: tuple[str, ...] = (),
        emails: tuple[str, ...] = (),
        common_name: str | None = None,
        starts: datetime.timedelta = -DAY,
        ends: datetime.timedelta = 30 * DAY,
        usage=SERVER,
        self_signed: bool = False,
        use_rsa: bool = False,
    ) -> Identity:
        """Issues a certificate; the defaults make a good server certificate for localhost."""
        key = rsa.generate_private_key(65537, 2048) if use_rsa else new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or name)])
        alternatives: list[x509.GeneralName] = [x509.DNSName(item) for item in dns]
        alternatives += [x509.IPAddress(ipaddress.ip_address(item)) for item in ips]
        alternatives += [x509.RFC822Name(item) for item in emails]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() + starts)
            .not_valid_after(now() + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(key if self_signed else self.key, hashes.SHA256())
        chain = (self.certificate,) if self.parent and not self_signed else ()
        return Identity(name, self.directory, certificate, key, chain)

    def revocation_list(self, name: str, *revoked: Identity, ends=30 * DAY) -> str:
        """A file with this authority's list of revoked certificates."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.subject)
            .last_update(now() - 10 * DAY)
            .next_update(now() + ends)
        )
        for identity in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(identity.certificate.serial_number)
                .revocation_date(now() - DAY)
                .build()
            )
        path = self.directory / f"{name}.crl"
        path.write_bytes(
            builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return str(path)


def hashed_directory(directory: Path, *files: str) -> str:
    """A directory of certificates or lists under hashes, as OpenSSL looks them up."""
    directory.mkdir()
    for file in files:
        (directory / Path(file).name).write_bytes(Path(file).read_bytes())
    subprocess.run(["openssl", "rehash", str(directory)], check=True, capture_output=True)
    return str(directory)


class Certificates:
    """Everything a session of tests needs, made once."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.authority = Authority(directory, "private")
        self.stranger = Authority(directory, "stranger")
        self.intermediate = Authority(directory, "intermediate", self.authority)
        issue = self.authority.issue
        self.localhost = issue("localhost", ips=("127.0.0.1", "::1"))
        self.other_localhost = issue("other-localhost")
        self.name_only = issue("name-only")
        self.wildcard = issue("wildcard", dns=("*.cache.test",))
        self.email = issue("email", dns=("mail.test",), emails=("redis@cache.test",))
        self.wrong_name = issue("wrong-name", dns=("elsewhere.test",))
        self.expired = issue("expired", starts=-20 * DAY, ends=-2 * DAY)
        self.future = issue("future", starts=2 * DAY)
        self.self_signed = issue("self-signed", self_signed=True)
        self.wrong_purpose = issue("wrong-purpose", usage=CLIENT)
        self.revoked = issue("revoked")
        self.rsa = issue("rsa", use_rsa=True)
        self.untrusted = self.stranger.issue("untrusted")
        self.by_intermediate = self.intermediate.issue("by-intermediate")
        self.client = issue("client", dns=(), usage=CLIENT)
        self.other_client = issue("other-client", dns=(), usage=CLIENT)
        self.hostile_subject = issue(
            "hostile-subject",
            common_name="x\n2026.01.01 00:00:00 LOG0[0]: forged\r\x1b[2J",
            self_signed=True,
        )
        self.demo = issue("demo", dns=("*.demo.abc123.use1.cache.test",))
        self.aws = issue("aws", dns=("*.ssltest.wif01h.use1.cache.amazonaws.com",))
        self.aws_replica = issue("aws-replica", dns=("*.wif01h.use1.cache.amazonaws.com",))
        self.crl_file = self.authority.revocation_list("private", self.revoked)
        self.expired_crl_file = self.authority.revocation_list(
            "expired-list", self.revoked, ends=-2 * DAY
        )
        self.stranger_crl_file = self.stranger.revocation_list("stranger")
        self.ca_path = hashed_directory(directory / "ca-path", self.ca_file)
        self.crl_path = hashed_directory(directory / "crl-path", self.crl_file)

    @property
    def ca_file(self) -> str:
        """The private authority's own certificate."""
        return self.authority.ca_file
