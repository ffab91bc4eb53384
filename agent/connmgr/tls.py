"""Certificates for ``ssl:`` and ``pssl:``.

Both ends present a certificate, and each must come from the configured authorities: a datapath id
is only worth as much as the identity behind it.  Names are not compared, since targets are
addresses; the authorities are expected to be the network's own, as with Open vSwitch.

Certificates end, and are replaced in their files.  So nobody keeps what was read from them:
:class:`Credentials` are asked anew for every connection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from OpenSSL.crypto import (
    FILETYPE_PEM,
    X509,
    Error,
    load_certificate,
    load_privatekey,
)
from OpenSSL.SSL import Context
from OpenSSL.SSL import Error as ContextError
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from zope.interface import implementer

from agent.connmgr.tls_errors import verify

_END: Final = b"-----END CERTIFICATE-----"


class ContextFactory(Protocol):
    """What makes TLS of a connection."""

    def getContext(self) -> Context:
        """For one connection; asked anew for each."""


@implementer(IOpenSSLContextFactory)
class Credentials:
    """The certificate, key and authorities of the agent, as they are now.

    A context factory in Twisted's sense.  A connection keeps those that it began with.
    """

    def __init__(self, options: CertificateOptions | None = None) -> None:
        self._options = options

    def use(self, options: CertificateOptions | None) -> None:
        """Have others from now on; None: none."""
        self._options = options

    def getContext(self) -> Context:
        """For one connection.

        :raises ValueError: when there are none.
        """
        if self._options is None:
            raise ValueError("there is no certificate")
        return self._options.getContext()


def context_factory(certificate: Path, private_key: Path, ca: Path) -> CertificateOptions:
    """What serves both sides of TLS, as a client and as a server.

    :param certificate: PEM; the agent's own first, then its chain.
    :param private_key: PEM, without a passphrase.
    :param ca: PEM; the authorities that peers' certificates come from.
    :raises ValueError: for a file that does not hold what it should; the text names it.
    :raises OSError: for one that cannot be read.
    """
    own, *chain = _certificates(certificate)
    try:
        # An empty passphrase, so that nobody is asked for one.
        key = load_privatekey(FILETYPE_PEM, private_key.read_bytes(), b"")
    except (Error, ValueError, TypeError) as error:
        raise ValueError(f"{private_key} holds no private key that can be used") from error
    authorities = [Certificate(authority) for authority in _certificates(ca)]
    options = CertificateOptions(
        privateKey=key,
        certificate=own,
        extraCertChain=chain,
        trustRoot=trustRootFromCertificates(authorities),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
    try:
        context = options.getContext()
        context.check_privatekey()
    except ContextError as error:
        raise ValueError(f"{private_key} is not the key of {certificate}") from error
    # As it was, but that the reason for a refusal is kept.
    context.set_verify(context.get_verify_mode(), verify)
    return options


def _certificates(path: Path) -> list[X509]:
    """All certificates in a PEM file, at least one."""
    blocks = path.read_bytes().split(_END)[:-1]
    try:
        found = [load_certificate(FILETYPE_PEM, block + _END + b"\n") for block in blocks]
    except (Error, ValueError) as error:
        raise ValueError(f"{path} holds a certificate that cannot be read") from error
    if not found:
        raise ValueError(f"{path} holds no certificate in PEM")
    return found
