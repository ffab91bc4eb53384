"""Tests for :mod:`agent.connmgr.tls`."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.tls import context_factory
from tests.connmgr.certificates import Authority


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
