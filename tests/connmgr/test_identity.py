"""Tests for :mod:`agent.connmgr.identity`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from OpenSSL.crypto import X509
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.identity import (
    Access,
    IdentityRefused,
    access_of,
    certificate_of,
    names_of,
)
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Role
from agent.openflow import messages as of
from agent.openflow.bundle_messages import BundleControl, BundleType
from agent.openflow.errors import IS_SLAVE, REQUEST_EPERM, ROLE_UNSUP, ErrorCode
from tests.connmgr.certificates import Authority
from tests.connmgr.fakes import Peer, SessionCase, flow_mod


@attrs.frozen
class PeerEntry:
    """As it is configured."""

    name: str
    role: str


OBSERVER = PeerEntry("watcher", "observer")
CONTROLLER = PeerEntry("boss", "controller")


class CertificateCase(SynchronousTestCase):
    """Has an authority."""

    def certificate(self, name: str, *others: x509.GeneralName) -> x509.Certificate:
        """One that it has issued."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        path, _ = Authority(directory, "authority").issue(name, *others)
        return x509.load_pem_x509_certificate(path.read_bytes())


class NameTests(CertificateCase):
    """Who somebody is."""

    def test_names(self) -> None:
        """The common name comes first, the other names follow, each once."""
        certificate = self.certificate(
            "boss",
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
            x509.DNSName("boss"),
            x509.UniformResourceIdentifier("spiffe://net/boss"),
            x509.DNSName("boss.example.org"),
        )
        self.assertEqual(
            names_of(certificate),
            ["boss", "boss.example.org", "spiffe://net/boss", "2001:db8::1"],
        )

    def test_no_name(self) -> None:
        """A certificate need not have a common name, nor any other."""
        self.assertEqual(names_of(self.certificate("", x509.DNSName("only"))), ["only"])
        self.assertEqual(names_of(self.certificate("")), [])


class AccessTests(CertificateCase):
    """What somebody may do."""

    def test_unbound(self) -> None:
        """Without entries everybody may do everything; without TLS nobody is bound."""
        certificate = self.certificate("anyone")
        self.assertIs(access_of(certificate, ()), Access.CONTROLLER)
        self.assertIs(access_of(None, (OBSERVER,)), Access.CONTROLLER)

    def test_named(self) -> None:
        """The first name in the certificate which has an entry decides."""
        certificate = self.certificate("nobody", x509.DNSName("watcher"), x509.DNSName("zz"))
        entries = (PeerEntry("zz", "controller"), OBSERVER, PeerEntry("*", "controller"))
        self.assertIs(access_of(certificate, entries), Access.OBSERVER)

    def test_anybody(self) -> None:
        """An asterisk names those whom nothing else names, and is no pattern."""
        entries = (CONTROLLER, PeerEntry("*", "observer"))
        self.assertIs(access_of(self.certificate("boss"), entries), Access.CONTROLLER)
        self.assertIs(access_of(self.certificate("bos"), entries), Access.OBSERVER)

    def test_nobody(self) -> None:
        """Whom no entry names is refused, and told by all its names."""
        certificate = self.certificate("a", x509.DNSName("b"))
        error = self.assertRaises(IdentityRefused, access_of, certificate, (OBSERVER,))
        self.assertEqual(
            str(error), "its certificate is that of a, b, whom no [[bridge.peer]] names"
        )
        error = self.assertRaises(IdentityRefused, access_of, self.certificate(""), (OBSERVER,))
        self.assertIn("that of nobody", str(error))


class SessionTests(SessionCase, CertificateCase):
    """What a session makes of it."""

    def identified(self, name: str, *peers: PeerEntry, version: int = 4) -> tuple[OFConn, Peer]:
        """A session with somebody who has a certificate."""
        session, peer = self.session(peers=peers)
        certificate = X509.from_cryptography(self.certificate(name))
        transport: Any = peer.transport
        transport.getPeerCertificate = lambda: certificate
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        return session, peer

    def refused(self, peer: Peer, code: ErrorCode) -> None:
        """The last request was refused with this, and nothing else came."""
        [error] = peer.received()
        self.assertEqual((error.type, error.code), code.of13)

    def test_certificate_of(self) -> None:
        """A transport without TLS has no certificate, nor has one before its handshake."""
        _, peer = self.connected()
        self.assertIsNone(certificate_of(peer.transport))

    def test_controller(self) -> None:
        """Who is named as a controller may do everything."""
        session, peer = self.identified("boss", CONTROLLER, OBSERVER)
        peer.received()
        peer.send(of.RoleRequest(Role.MASTER, 1, xid=2), flow_mod())
        self.assertEqual(peer.received(), [of.RoleReply(Role.MASTER, 1, 2)])
        self.assertTrue(session.admitted)

    def test_observer(self) -> None:
        """An observer is a slave at once, changes nothing and does not become more; it may ask
        for statistics, and has not taken control, whatever it says."""
        session, peer = self.identified("watcher", CONTROLLER, OBSERVER)
        peer.received()
        self.assertIs(session.role, Role.SLAVE)
        peer.send(flow_mod())
        self.refused(peer, REQUEST_EPERM)
        peer.send(BundleControl(1, BundleType.OPEN_REQUEST, xid=5))
        self.refused(peer, REQUEST_EPERM)
        for role in (Role.MASTER, Role.EQUAL):
            peer.send(of.RoleRequest(role, 1, xid=2))
            self.refused(peer, ROLE_UNSUP)
        for role in (Role.SLAVE, Role.NOCHANGE):
            peer.send(of.RoleRequest(role, 1, xid=2))
            self.assertEqual(peer.received(), [of.RoleReply(Role.SLAVE, 1, 2)])
        peer.send(of.BarrierRequest(3))
        self.assertEqual(peer.received(), [of.BarrierReply(3)])
        self.assertFalse(session.admitted)

    def test_ordinary_slave(self) -> None:
        """Who is a slave by its own will is told so."""
        _, peer = self.identified("boss", CONTROLLER)
        peer.send(of.RoleRequest(Role.SLAVE, 1, xid=2))
        peer.received()
        peer.send(flow_mod())
        self.refused(peer, IS_SLAVE)

    def test_nobody(self) -> None:
        """Whom no entry names is cut off before it has asked anything."""
        session, _ = self.identified("stranger", OBSERVER)
        self.assertTrue(session.closed)
        self.assertIn("that of stranger", session.last_error)
        self.assertFalse(session.version)

    def test_reconfigured(self) -> None:
        """New entries hold for sessions that are there: a master may become an observer, and go."""
        session, peer = self.identified("boss", CONTROLLER)
        peer.send(of.RoleRequest(Role.MASTER, 1, xid=2))
        for entry in (PeerEntry("*", "observer"), PeerEntry("boss", "observer")):
            session.reconfigure(attrs.evolve(session.settings, peers=(entry,)))
            self.assertEqual((session.role, session.observer), (Role.SLAVE, True))
            self.assertIsNone(session.roles.master)
        session.reconfigure(attrs.evolve(session.settings, peers=(CONTROLLER,)))
        self.assertEqual((session.role, session.observer), (Role.SLAVE, False))
        session.reconfigure(attrs.evolve(session.settings, peers=(OBSERVER,)))
        self.assertTrue(session.closed)
