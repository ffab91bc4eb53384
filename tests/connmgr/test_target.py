"""Tests of :mod:`agent.connmgr.target`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.target import DEFAULT_PORT, Kind, Target, parse_address

IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
INET = st.builds(
    Target,
    kind=st.sampled_from([Kind.TCP, Kind.SSL, Kind.PTCP, Kind.PSSL]),
    host=IPV4 | IPV6,
    port=st.integers(1, 65535),
)
UNIX = st.builds(
    Target,
    kind=st.sampled_from([Kind.UNIX, Kind.PUNIX]),
    path=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)


class ParseTests(SynchronousTestCase):
    """What Open vSwitch's users write is understood as Open vSwitch understands it."""

    def test_active(self) -> None:
        """A dialled target needs an address; its port is 6653 unless it is given."""
        for text, host, port in [
            ("tcp:192.0.2.1", "192.0.2.1", DEFAULT_PORT),
            ("tcp:192.0.2.1:6633", "192.0.2.1", 6633),
            ("tcp:[2001:db8::1]", "2001:db8::1", DEFAULT_PORT),
            ("tcp:[2001:db8::1]:1", "2001:db8::1", 1),
            ("tcp:[2001:DB8:0::1]:65535", "2001:db8::1", 65535),
            ("tcp:[fe80::1%eth0]:6653", "fe80::1%eth0", 6653),
        ]:
            self.assertEqual(Target.parse(text), Target(Kind.TCP, host, port), text)
            self.assertEqual(Target.parse("ssl" + text[3:]), Target(Kind.SSL, host, port), text)

    def test_passive(self) -> None:
        """A listener may leave out the port, the address, or both; port 0 is any free one."""
        for text, host, port in [
            ("ptcp:", "0.0.0.0", DEFAULT_PORT),
            ("ptcp:6633", "0.0.0.0", 6633),
            ("ptcp:0", "0.0.0.0", 0),
            ("ptcp::127.0.0.1", "127.0.0.1", DEFAULT_PORT),
            ("ptcp:6653:127.0.0.1", "127.0.0.1", 6653),
            ("ptcp:6653:[::]", "::", 6653),
            ("ptcp::[::1]", "::1", DEFAULT_PORT),
        ]:
            self.assertEqual(Target.parse(text), Target(Kind.PTCP, host, port), text)
            self.assertEqual(Target.parse("pssl" + text[4:]), Target(Kind.PSSL, host, port), text)

    def test_unix(self) -> None:
        """All that follows the first colon is the path, further colons included."""
        self.assertEqual(Target.parse("unix:/run/a:b"), Target(Kind.UNIX, path="/run/a:b"))
        self.assertEqual(Target.parse("punix:br0.mgmt"), Target(Kind.PUNIX, path="br0.mgmt"))

    def test_properties(self) -> None:
        """The kind decides who dials, whether TLS is spoken, and whether it stays on the host."""
        seen = {
            kind: (Target(kind).passive, Target(kind).secure, Target(kind).local) for kind in Kind
        }
        self.assertEqual(
            seen,
            {
                Kind.TCP: (False, False, False),
                Kind.SSL: (False, True, False),
                Kind.UNIX: (False, False, True),
                Kind.PTCP: (True, False, False),
                Kind.PSSL: (True, True, False),
                Kind.PUNIX: (True, False, True),
            },
        )

    @given(INET | UNIX)
    def test_round_trip(self, target: Target) -> None:
        """The text of any target reads back as that target."""
        self.assertEqual(Target.parse(str(target)), target)

    @given(st.text(max_size=40) | st.text("ptcsl:unix[]0123456789.%ab", max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is a target whose own text reads back as itself, or a ValueError; no crash."""
        try:
            target = Target.parse(text)
        except ValueError:
            return
        self.assertEqual(Target.parse(str(target)), target)


class RefusalTests(SynchronousTestCase):
    """What is not a target is refused with a text that says what is allowed."""

    def assertRefused(self, text: str, allowed: str) -> None:
        """``text`` is refused with a message that holds ``allowed``."""
        error = self.assertRaises(ValueError, Target.parse, text)
        self.assertIn(allowed, str(error), text)
        self.assertNotIn("\n", str(error))

    def test_unknown_kind(self) -> None:
        """Without a known word before a colon, all the forms are listed."""
        for text in ("", "tcp", "unix", "udp:127.0.0.1", "127.0.0.1:6653", "TCP:127.0.0.1", ":"):
            self.assertRefused(text, "tcp:IP[:PORT], ssl:IP[:PORT], unix:PATH, ptcp:[PORT][:IP]")

    def test_bad_address(self) -> None:
        """Names, bare IPv6 addresses, half brackets and nonsense are no addresses."""
        for text in (
            "tcp:",
            "tcp::6653",
            "tcp:localhost",
            "tcp:1.2.3",
            "tcp:01.2.3.4",
            "tcp:2001:db8::1",
            "tcp:[2001:db8::1",
            "tcp:[127.0.0.1]",
            "ptcp:6653:localhost",
            "ptcp:6653:",
            "ptcp:6653:::1",
        ):
            self.assertRefused(text, "an IPv4 address or an IPv6 address in brackets")

    def test_bad_port(self) -> None:
        """A port is decimal and in range; only a listener may have 0."""
        for port in ("", "0", "65536", "-1", "+1", " 1", "1 ", "0x1", "six", "\u0661", "1" * 5000):
            self.assertRefused(f"tcp:127.0.0.1:{port}", "a number from 1 to 65535")
            self.assertRefused(f"tcp:[::1]:{port}", "a number from 1 to 65535")
        for port in ("65536", "-1", "0x1", "\u0661"):
            self.assertRefused(f"ptcp:{port}", "a number from 0 to 65535")

    def test_after_the_bracket(self) -> None:
        """Nothing but a port follows a bracketed address."""
        self.assertRefused("tcp:[::1]6653", "only :PORT after the bracket")

    def test_no_path(self) -> None:
        """A UNIX socket has a path, and a path has no zero byte."""
        for text in ("unix:", "punix:", "punix:a\0b"):
            self.assertRefused(text, "needs the path of a socket")


class ParseAddressTests(SynchronousTestCase):
    """``IP:PORT``, without a kind."""

    def test_read(self) -> None:
        """Both families are read."""
        self.assertEqual(parse_address("127.0.0.1:8653"), ("127.0.0.1", 8653))
        self.assertEqual(parse_address("[::1]:0"), ("::1", 0))

    def test_refused(self) -> None:
        """Both parts must be there, and right."""
        for text in ("", "8653", ":8653", "127.0.0.1", "127.0.0.1:", "::1:80", "localhost:80"):
            self.assertRaises(ValueError, parse_address, text)
        self.assertRaises(ValueError, parse_address, "127.0.0.1:65536")
