"""A certificate for some names, and the authority that made it, which made nothing else and never will."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCK_SKEW = timedelta(hours=1)  # a virtual machine's clock may be behind its host's


@dataclass(frozen=True)
class Certificate:
    """All in PEM.

    Attributes:
        certificate: shown to clients.
        key: its private key.
        authority: the certificate that clients must trust.
    """

    certificate: bytes
    key: bytes
    authority: bytes


def issue(names: Sequence[str], domain: str, valid: timedelta) -> Certificate:
    """Make an authority, let it sign one certificate, and forget the authority's key.

    Args:
        names: what the certificate is for, as in ``*.googleapis.com``.
        domain: the authority is trusted for this domain and what is below it, for nothing else.
        valid: how long from now.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # Named by its key: clients that know an earlier one must not take this one for it.
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    issuer = _name(f"{domain} on this machine {identifier.digest.hex()[:12]}")
    constraint = x509.NameConstraints(permitted_subtrees=[x509.DNSName(domain)], excluded_subtrees=None)
    authority = (
        _started(issuer, issuer, authority_key, identifier, valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(constraint, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _started(_name("labkit's local cloud"), issuer, key, identifier, valid)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(certificate.public_bytes(pem), private, authority.public_bytes(pem))


def _started(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_identifier: x509.SubjectKeyIdentifier,
    valid: timedelta,
) -> x509.CertificateBuilder:
    """What both certificates have; strict clients insist on the two identifiers."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier), critical=False
        )
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
