"""TLS: ovs-ofctl and a controller's `ssl:`, right and wrong, and keys that are replaced."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

from agent.openflow import messages as of
from tests.connmgr.certificates import Authority
from tests.system import need
from tests.system.agent import TIMEOUT, AgentCase, Controller, free_port

_TLS = '\n[tls]\ncertificate = "switch.pem"\nprivate_key = "switch.key"\nca = "authority.pem"\n'

Pair = tuple[Path, Path]


class TlsCase(AgentCase):
    """An authority, and what it has issued to a switch and a controller."""

    def setUp(self) -> None:
        """Have them made."""
        super().setUp()
        self.authority = Authority(self.directory, "authority")
        self.authority.issue("switch")
        self.good = self.authority.issue("controller")
        self.secure_port = free_port()

    def start_secure(self, bridge: str = "", more: str = "") -> subprocess.Popen[bytes]:
        """An agent that listens with TLS, too.

        :param bridge: more keys of the bridge.
        :param more: more of the file.
        """
        text = f"""
[agent]
run_dir = "run"
log_level = "info"
{_TLS}
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["ptcp:{self.port}:127.0.0.1", "pssl:{self.secure_port}:127.0.0.1", "punix:br0.mgmt"]
{bridge}
[bridge.driver]
name = "software"
{more}"""
        return self.start(text=text)

    def context(self, pair: Pair | None, *, server: bool = False) -> ssl.SSLContext:
        """That of a controller with a certificate, or none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def dial(self, pair: Pair | None, port: int = 0) -> ssl.SSLSocket:
        """A connection with TLS to the agent."""
        raw = socket.create_connection(("127.0.0.1", port or self.secure_port), TIMEOUT)
        self.addCleanup(raw.close)
        secure = self.context(pair).wrap_socket(raw)
        self.addCleanup(secure.close)
        return secure

    def ssl_ofctl(self, pair: Pair | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ovs-ofctl over TLS."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl is missing: install openvswitch-common")
        pair = pair or (self.directory / "none", self.directory / "none")
        command = ["ovs-ofctl", "-O", "OpenFlow13", "-p", str(pair[1]), "-c", str(pair[0])]
        command += ["-C", str(self.authority.path), "--timeout=5", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def lines(self, words: str) -> list[str]:
        """The log's lines with those words."""
        return [line for line in self.log.read_text().splitlines() if words in line]

    def logged_once(self, *words: str) -> None:
        """One line of the log has all of these words, and it names a connection."""
        self.wait(lambda: self.lines(words[0]), words[0])
        time.sleep(0.1)
        [line] = self.lines(words[0])
        for word in (*words, "br0<->"):
            self.assertIn(word, line)


class ListeningTests(TlsCase):
    """`pssl:`."""

    def test_ovs_ofctl(self) -> None:
        """ovs-ofctl and the agent verify each other, and then it is used as over TCP."""
        self.start_secure()
        target = f"ssl:127.0.0.1:{self.secure_port}"
        done = self.ssl_ofctl(self.good, "add-flow", target, "in_port=1,actions=output:2")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.ssl_ofctl(self.good, "--no-stats", "dump-flows", target)
        self.assertIn("in_port=1 actions=output:2", done.stdout, done.stderr)

    def test_ovs_ofctl_refuses(self) -> None:
        """A client that does not trust the agent's authority says so, and the agent tells why."""
        self.start_secure()
        other = Authority(self.directory, "other")
        target = f"ssl:127.0.0.1:{self.secure_port}"
        trusting = self.authority
        self.authority = other
        done = self.ssl_ofctl(self.good, "show", target)
        self.authority = trusting
        self.assertNotEqual(done.returncode, 0)
        self.logged_once("the peer refuses our certificate: unknown ca")

    def test_certificates(self) -> None:
        """Expired, another authority's and none: one line each tells what is wrong, with the
        connection; the agent goes on for others."""
        self.start_secure()
        stranger = Authority(self.directory, "other").issue("stranger")
        expired = self.authority.issue("expired", days=(-2, -1))
        for pair, words in (
            (expired, "its certificate (expired) has expired"),
            (stranger, "(stranger) comes from an authority that is not in our ca file"),
            (None, "the peer has no certificate"),
        ):
            # With TLS 1.3 a client learns of it only when it reads.
            connection = self.dial(pair)
            self.assertRaises(OSError, connection.recv, 100)
            self.logged_once(words, "TLS: ", "WARN")
        Controller(self.dial(self.good), of.OFP13).barrier()

    def test_old_version(self) -> None:
        """Nothing older than TLS 1.2 is spoken."""
        self.start_secure()
        context = self.context(self.good)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        raw = socket.create_connection(("127.0.0.1", self.secure_port), TIMEOUT)
        self.addCleanup(raw.close)
        self.assertRaises(OSError, context.wrap_socket, raw)
        self.logged_once("the peer does not speak TLS 1.2 or later")

    def test_plain_text(self) -> None:
        """Plain OpenFlow, or anything else, on a TLS port is told as such and cut off."""
        self.start_secure()
        for number, data in enumerate((b"\x04\0\0\x10\0\0\0\1\0\1\0\x08\0\0\0\x10", b"GET / HTTP")):
            with socket.create_connection(("127.0.0.1", self.secure_port), TIMEOUT) as plain:
                plain.sendall(data)
                while plain.recv(100):
                    pass
            words = "TLS: the peer speaks something else, maybe plain OpenFlow"
            self.wait(lambda: len(self.lines(words)) > number, words)  # noqa: B023
        self.assertEqual(len(self.lines(words)), 2)

    def test_tls_on_a_plain_port(self) -> None:
        """TLS where plain OpenFlow is expected is told as such."""
        self.start_secure()
        self.assertRaises(OSError, self.dial, self.good, self.port)
        self.logged_once("the peer speaks TLS, where plain OpenFlow is expected")

    def test_new_keys(self) -> None:
        """After SIGHUP new connections see the new certificate; those that are there stay."""
        process = self.start_secure()
        old = self.dial(self.good)
        serial = self.serial(old)
        controller = Controller(old, of.OFP13)
        self.authority.issue("switch")
        self.assertEqual(self.serial(self.dial(self.good)), serial)
        os.kill(process.pid, signal.SIGHUP)
        self.wait(lambda: self.lines("tls: "), "the reload")
        self.assertNotEqual(self.serial(self.dial(self.good)), serial)
        controller.barrier()
        (self.directory / "switch.key").write_text("none")
        os.kill(process.pid, signal.SIGHUP)
        self.wait(lambda: self.lines("not reloaded: "), "the refusal")
        Controller(self.dial(self.good), of.OFP13).barrier()
        controller.barrier()

    @staticmethod
    def serial(connection: ssl.SSLSocket) -> object:
        """Which certificate the agent has shown."""
        certificate = connection.getpeercert()
        assert certificate is not None
        return certificate["serialNumber"]


class PeerTests(TlsCase):
    """`[[bridge.peer]]`."""

    def test_peers(self) -> None:
        """A controller may add rules, an observer may only look, and others are sent away."""
        peers = "".join(
            f'[[bridge.peer]]\nname = "{name}"\nrole = "{role}"\n'
            for name, role in (("controller", "controller"), ("watcher", "observer"))
        )
        self.start_secure(more=peers)
        target = f"ssl:127.0.0.1:{self.secure_port}"
        add = ("add-flow", target, "in_port=1,actions=drop")
        self.assertEqual(self.ssl_ofctl(self.good, *add).returncode, 0)
        watcher = self.authority.issue("watcher")
        self.assertIn("OFPBRC_EPERM", self.ssl_ofctl(watcher, *add).stderr)
        self.assertIn("in_port=1", self.ssl_ofctl(watcher, "dump-flows", target).stdout)
        other = self.ssl_ofctl(self.authority.issue("other"), "dump-flows", target)
        self.assertNotEqual(other.returncode, 0)
        self.logged_once("certificate is that of other, whom no [[bridge.peer]] names")


class DialingTests(TlsCase):
    """`ssl:`."""

    def serve(self) -> socket.socket:
        """What a controller listens on."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        server.settimeout(TIMEOUT)
        return server

    def dialling(self, server: socket.socket, kind: str = "ssl") -> None:
        """Start an agent which dials that controller."""
        self.start_secure(f'controllers = ["{kind}:127.0.0.1:{server.getsockname()[1]}"]')

    def test_controller(self) -> None:
        """The agent and a controller verify each other, and speak."""
        server = self.serve()
        self.dialling(server)
        connection, _ = server.accept()
        secure = self.context(self.good, server=True).wrap_socket(connection, server_side=True)
        self.addCleanup(secure.close)
        self.assertIn(secure.version(), ("TLSv1.2", "TLSv1.3"))
        subject = (secure.getpeercert() or {})["subject"]
        self.assertEqual(subject, ((("commonName", "switch"),),))
        Controller(secure, of.OFP13).barrier()

    def refused(self, pair: Pair, words: str) -> None:
        """A controller with that certificate is not spoken with, and the line says why."""
        server = self.serve()
        self.dialling(server)
        connection, _ = server.accept()
        self.addCleanup(connection.close)
        context = self.context(pair, server=True)
        self.assertRaises(OSError, context.wrap_socket, connection, server_side=True)
        self.logged_once(words, "TLS: ", "waiting 1 seconds before reconnect")

    def test_expired(self) -> None:
        """A controller whose certificate has expired."""
        self.refused(self.authority.issue("old", days=(-2, -1)), "(old) has expired")

    def test_stranger(self) -> None:
        """A controller whom another authority has certified."""
        pair = Authority(self.directory, "other").issue("stranger")
        self.refused(pair, "(stranger) comes from an authority that is not in our ca file")

    def test_not_trusted(self) -> None:
        """A controller that does not trust us: the line says that it is our certificate."""
        server = self.serve()
        self.dialling(server)
        connection, _ = server.accept()
        self.addCleanup(connection.close)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.good)
        context.load_verify_locations(Authority(self.directory, "other").path)
        context.verify_mode = ssl.CERT_REQUIRED
        self.assertRaises(OSError, context.wrap_socket, connection, server_side=True)
        self.logged_once("the peer refuses our certificate: unknown ca", "before reconnect")

    def test_plain_controller(self) -> None:
        """A controller that speaks plain OpenFlow where TLS is expected."""
        server = self.serve()
        self.dialling(server)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"\x04\0\0\x10\0\0\0\1\0\1\0\x08\0\0\0\x10")
            self.logged_once("TLS: the peer speaks something else", "before reconnect")

    def test_secure_controller(self) -> None:
        """A controller that speaks TLS where plain OpenFlow is expected."""
        server = self.serve()
        self.dialling(server, "tcp")
        connection, _ = server.accept()
        with connection:
            # A fatal alert, by which TLS answers what it does not understand.
            connection.sendall(bytes.fromhex("15 0301 0002 0246"))
            self.wait(lambda: self.lines("the peer speaks TLS"), "the line")
