"""Tests for :mod:`agent.connmgr.tls`."""

from __future__ import annotations

from pathlib import Path

from OpenSSL.SSL import Error
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.tls import context_factory
from agent.connmgr.tls_errors import CertificateRefused, tls_problem, verify
from tests.connmgr.certificates import Authority
from tests.connmgr.fakes import SessionCase


class Talk(Protocol):
    """Says hello, and remembers what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        """Say hello."""
        self.transport.write(b"hello")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Remember."""
        self.heard += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Remember."""
        self.lost = reason


class TlsCase(SynchronousTestCase):
    """Has a directory and an authority."""

    def setUp(self) -> None:
        """Make them."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.authority = Authority(self.directory, "authority")

    def options(self, name: str, authority: Authority | None = None) -> CertificateOptions:
        """Those of somebody whom an authority has certified, and who trusts ours."""
        certificate, key = (authority or self.authority).issue(name)
        return context_factory(certificate, key, self.authority.path)

    def talk(self, server: CertificateOptions, client: CertificateOptions) -> list[Talk]:
        """Let two ends talk; returns the server's and the client's."""
        clock = Clock()
        talks = []
        ends = []
        for options, is_client in ((server, False), (client, True)):
            talks.append(Talk())
            factory = Factory.forProtocol(lambda: talks[-1])
            wrapped = TLSMemoryBIOFactory(options, is_client, factory, clock)
            ends.append(wrapped.buildProtocol(None))
        transports = [FakeTransport(end, isServer=end is ends[0]) for end in ends]
        connect(ends[0], transports[0], ends[1], transports[1], clock=clock)
        return talks


class HandshakeTests(TlsCase):
    """Who may talk with whom."""

    def test_both_certified(self) -> None:
        """Two ends with certificates of the authority talk."""
        for talk in self.talk(self.options("switch"), self.options("controller")):
            self.assertEqual((talk.heard, talk.lost), (b"hello", None))

    def test_stranger(self) -> None:
        """An end with another's certificate is refused, as client and as server."""
        other = Authority(self.directory, "other")
        for swap in (False, True):
            ends = [self.options("switch"), self.options("stranger", other)]
            switch, stranger = self.talk(*ends) if swap else reversed(self.talk(*ends[::-1]))
            self.assertEqual((switch.heard, stranger.heard), (b"", b""))
            self.assertIsNotNone(switch.lost)

    def test_no_certificate(self) -> None:
        """A client without a certificate is refused."""
        switch, _ = self.talk(self.options("switch"), CertificateOptions())
        self.assertEqual(switch.heard, b"")
        self.assertIsNotNone(switch.lost)


class ProblemTests(TlsCase):
    """How it is told why there is no connection."""

    def problem(self, talk: Talk) -> str:
        """What an end says of its loss."""
        assert talk.lost is not None
        return tls_problem(talk.lost)

    def dated(self, name: str, days: tuple[float, float]) -> CertificateOptions:
        """The options of somebody whose certificate is valid between those days from now."""
        return context_factory(*self.authority.issue(name, days=days), self.authority.path)

    def test_certificates(self) -> None:
        """Whoever judges a certificate tells whose it is and what is wrong with it; the other end
        tells that it was refused, and why."""
        stranger = self.options("stranger", Authority(self.directory, "other"))
        for peer, verdict, alert in (
            (self.dated("old", (-2, -1)), "(old) has expired", "certificate expired"),
            (self.dated("early", (1, 2)), "(early) is not valid yet", "bad certificate"),
            (stranger, "(stranger) comes from an authority that is not in our ca", "unknown ca"),
        ):
            switch, client = self.talk(self.options("switch"), peer)
            self.assertIn(f"TLS: its certificate {verdict}", self.problem(switch))
            self.assertEqual(
                self.problem(client), f"TLS: the peer refuses our certificate: {alert}"
            )
            _, switch = self.talk(peer, self.options("switch"))
            self.assertIn(f"TLS: its certificate {verdict}", self.problem(switch))

    def test_none(self) -> None:
        """A peer without a certificate is told as such, and hears that it needs one."""
        switch, client = self.talk(self.options("switch"), CertificateOptions())
        self.assertEqual(self.problem(switch), "TLS: the peer has no certificate")
        self.assertIn("refuses our certificate: certificate required", self.problem(client))

    def test_old_version(self) -> None:
        """A peer that speaks nothing newer than TLS 1.1 is told as such."""
        old = CertificateOptions(
            lowerMaximumSecurityTo=TLSVersion.TLSv1_1, insecurelyLowerMinimumTo=TLSVersion.TLSv1_0
        )
        old.getContext().set_cipher_list(b"ALL:@SECLEVEL=0")
        switch, _ = self.talk(self.options("switch"), old)
        self.assertEqual(self.problem(switch), "TLS: the peer does not speak TLS 1.2 or later")

    def test_others(self) -> None:
        """Another reason is passed on as OpenSSL has it, one that is not there is no crash, and
        the end of a connection that is not TLS's is not explained."""
        for error, text in (
            (Error([("SSL routines", "", "no shared cipher")]), "TLS: no shared cipher"),
            (Error([("SSL routines", "", "http request")]), "TLS: the peer speaks something else"),
            (Error([]), "TLS: failed"),
            (Error(), "TLS: failed"),
            (ConnectionLost(), ""),
        ):
            self.assertTrue(tls_problem(Failure(error)).startswith(text), text)
            self.assertEqual(bool(tls_problem(Failure(error))), bool(text))

    def test_other_verdicts(self) -> None:
        """What is wrong with an authority, or has no words here, is told by its number."""
        certificate = self.options("switch").certificate
        error = self.assertRaises(CertificateRefused, verify, None, certificate, 79, 1, 0)
        self.assertEqual(
            str(error),
            "TLS: an authority of its certificate (switch) does not pass (X509_V_ERR 79)",
        )


class PlainTests(SessionCase):
    """A connection without TLS."""

    def test_tls_where_plain_is_expected(self) -> None:
        """Whatever TLS begins with is told as TLS; what is only no HELLO is not."""
        for head, tls in (("16030100", True), ("15030300", True), ("04030010", False)):
            session, peer = self.session()
            peer.send_bytes(bytes.fromhex(head) + bytes(12))
            self.assertTrue(session.closed)
            self.assertEqual("the peer speaks TLS" in session.last_error, tls, head)


class FileTests(TlsCase):
    """What can be wrong with the files."""

    def setUp(self) -> None:
        """Have a good pair."""
        super().setUp()
        self.certificate, self.key = self.authority.issue("switch")

    def refused(self, certificate: Path, key: Path, ca: Path, *named: Path) -> None:
        """The files are refused, and those are named."""
        error = self.assertRaises(ValueError, context_factory, certificate, key, ca)
        for path in named:
            self.assertIn(str(path), str(error))

    def test_chain(self) -> None:
        """A certificate may bring its chain, and authorities may be several."""
        certificates = self.certificate.read_bytes() + self.authority.path.read_bytes()
        self.certificate.write_bytes(certificates)
        self.authority.path.write_bytes(self.authority.path.read_bytes() * 2)
        options = context_factory(self.certificate, self.key, self.authority.path)
        self.assertEqual(len(options.extraCertChain), 1)

    def test_garbage(self) -> None:
        """Each file is checked, and named when it holds something else."""
        garbage = self.directory / "garbage.pem"
        ca = self.authority.path
        for data in (b"", b"no PEM at all"):
            garbage.write_bytes(data)
            self.refused(garbage, self.key, ca, garbage)
            self.refused(self.certificate, garbage, ca, garbage)
            self.refused(self.certificate, self.key, garbage, garbage)
        lines = ca.read_bytes().splitlines(keepends=True)
        garbage.write_bytes(b"".join([lines[0], b"AAAA\n", lines[-1]]))
        self.refused(self.certificate, self.key, garbage, garbage)

    def test_other_key(self) -> None:
        """A key that does not belong to the certificate is refused, naming both."""
        _, key = self.authority.issue("other")
        self.refused(self.certificate, key, self.authority.path, key, self.certificate)

    def test_missing(self) -> None:
        """A file that is not there is an OSError that names it."""
        missing = self.directory / "missing.pem"
        error = self.assertRaises(OSError, context_factory, missing, self.key, missing)
        self.assertEqual(error.filename, str(missing))
