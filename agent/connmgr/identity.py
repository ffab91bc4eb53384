"""Who a controller is, by its certificate, and what it may do for that.

The authorities say who may connect at all.  Where ``[[bridge.peer]]`` is configured, a name in the
certificate says more: who is a *controller* may do everything, who is an *observer* is a slave for
good, and who is nobody is sent away.  Connections without TLS have no certificate, and are not
bound: whoever may reach them is the host's and the network's to decide.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

ANYBODY: Final = "*"
"""The name of those that no other entry names."""


class Access(enum.Enum):
    """What somebody may do."""

    CONTROLLER = "controller"  # everything
    OBSERVER = "observer"  # what a slave may do, and never become more


class PeerSettings(Protocol):
    """Who may do what: :class:`agent.admin.config_bridge.PeerConfig`."""

    @property
    def name(self) -> str:
        """A name in a certificate, or :data:`ANYBODY`."""

    @property
    def role(self) -> str:
        """The value of an :class:`Access`."""


class IdentityRefused(Exception):
    """Somebody is nobody here; the text says so."""


def certificate_of(transport: Any) -> x509.Certificate | None:
    """The certificate at the other end; None: there is none, for want of TLS."""
    get = getattr(transport, "getPeerCertificate", None)
    found = None if get is None else get()
    if found is None:
        return None
    certificate: x509.Certificate = found.to_cryptography()
    return certificate


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names in a certificate: the subject's common names, then DNS names, URIs, addresses."""
    subject = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [str(attribute.value) for attribute in subject]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return names
    others = extension.value
    names += others.get_values_for_type(x509.DNSName)
    names += others.get_values_for_type(x509.UniformResourceIdentifier)
    names += [str(address) for address in others.get_values_for_type(x509.IPAddress)]
    return list(dict.fromkeys(names))


def access_of(certificate: x509.Certificate | None, peers: Iterable[PeerSettings]) -> Access:
    """What the owner of a certificate may do.

    The names in it are tried in their order, and then :data:`ANYBODY`.

    :param certificate: None: there is no TLS.
    :param peers: none: everybody may do everything.
    :raises IdentityRefused: when nobody of that name is known.
    """
    roles = {peer.name: Access(peer.role) for peer in peers}
    if certificate is None or not roles:
        return Access.CONTROLLER
    try:
        names = names_of(certificate)
    except ValueError:
        raise IdentityRefused("the names in its certificate cannot be read") from None
    for name in (*names, ANYBODY):
        if name in roles:
            return roles[name]
    shown = ", ".join(names) or "nobody"
    raise IdentityRefused(f"its certificate is that of {shown}, whom no [[bridge.peer]] names")
