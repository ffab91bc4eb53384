"""Applications that came with os-ken drive the agent: hosts ping each other, and send much."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from typing import Any, Final

from tests.system import need
from tests.system.agent import ROOT, TIMEOUT
from tests.system.faucet import PROGRAMS
from tests.system.network import NetworkCase, inside, ip, ping
from tests.system.test_faucet import SOFTWARE

OPENFLOW: Final = 6653
REST: Final = 8080
SECONDS: Final = 1
"""How long hosts send."""

CONFIG: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
log_level = "debug"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
protocols = ["{protocol}"]
listen = ["punix:br0.mgmt"]
controllers = [{{ target = "tcp:127.0.0.1:{port}", max_backoff = 1 }}]
[bridge.driver]
{driver}
"""
DEVICE: Final = """
[[bridge.port]]
number = {n}
name = "p{n}"
type = "netdev"
"""


class ApplicationCase(NetworkCase):
    """An agent with three hosts, and an application."""

    def setUp(self) -> None:
        """Look for what is needed."""
        apps = PROGRAMS.parent / "apps"
        need(apps.exists(), "os-ken's applications are missing: make .venv-faucet/stamp")
        need(shutil.which("iperf3"), "iperf3 is missing: install iperf3")
        super().setUp()

    def run_application(
        self, name: str, protocol: str, addresses: list[str], driver: str = SOFTWARE
    ) -> None:
        """Start the application and the agent, and wait until they know each other.

        :param addresses: of the hosts, with the length of their prefixes.
        """
        self.addresses = addresses
        self.hosts = [self.host(f"p{n}", address) for n, address in enumerate(addresses, 1)]
        self.output = self.directory / "application.log"
        with self.output.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(*self.prefix, str(PROGRAMS / "python"), "tests/system/osken_app.py"),
                    *("--ofp-listen-host=127.0.0.1", f"--ofp-tcp-listen-port={OPENFLOW}"),
                    *("--wsapi-host=127.0.0.1", f"--wsapi-port={REST}"),
                    f"os_ken.app.{name}",
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.kill)
        text = CONFIG.format(protocol=protocol, port=OPENFLOW, driver=driver)
        text += "".join(DEVICE.format(n=n) for n in range(1, len(addresses) + 1))
        self.start(text=text)
        self.wait(lambda: process.poll() is not None or self.connected(), "a connection")
        self.assertIsNone(process.poll(), self.story())

    def connected(self) -> bool:
        """Whether the agent has found the application."""
        return f":{OPENFLOW}: connected" in self.log.read_text()

    def asic(self) -> str:
        """What stands in ``[bridge.driver]`` for hardware like one that was measured."""
        return 'name = "asic"\nprofile = "quanta"'

    def story(self) -> str:
        """What everybody has said, for the case that something went wrong."""
        return (
            f"--- application\n{self.output.read_text()[-5000:]}\n--- agent\n"
            + (self.log.read_text()[-5000:])
        )

    def check(self) -> None:
        """All hosts reach each other, and the first two send each other much."""
        hosts = list(zip(self.hosts, self.addresses, strict=True))
        for host, _ in hosts:
            for other, address in hosts:
                if host != other:
                    answered = ping(host, address.partition("/")[0])
                    self.assertEqual(answered, 3, f"{address}\n{self.story()}")
        for (sender, _), (receiver, address) in (hosts[:2], hosts[1::-1]):
            received = self.iperf(sender, receiver, address.partition("/")[0])
            self.assertGreater(received, 1e6, self.story())
        self.assertNotRegex(self.log.read_text(), r"xid \d+ refused")
        self.assertNotIn("Traceback", self.output.read_text())

    def iperf(self, sender: str, receiver: str, address: str) -> float:
        """How many bits a second of TCP arrive."""
        inside_receiver = ("ip", "netns", "exec", receiver)
        server = subprocess.Popen(
            [*inside_receiver, "iperf3", "--server", "--one-off", "--forceflush"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            while "listening" not in (line := server.stdout.readline()):
                self.assertTrue(line, "iperf3 does not listen")
            done = subprocess.run(
                [
                    *("ip", "netns", "exec", sender, "iperf3", "--json"),
                    *("--client", address, "--time", str(SECONDS)),
                ],
                check=False,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        finally:
            server.kill()
            server.communicate()
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{self.story()}")
        rate: float = json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]
        return rate


class SwitchTests(ApplicationCase):
    """Learning switches: simple_switch and simple_switch_13."""

    addresses_of_one_net = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"]

    def test_simple_switch(self) -> None:
        """OpenFlow 1.0."""
        self.run_application("simple_switch", "OpenFlow10", self.addresses_of_one_net)
        self.check()

    def test_simple_switch_asic(self) -> None:
        """OpenFlow 1.0, on slow hardware."""
        self.run_application("simple_switch", "OpenFlow10", self.addresses_of_one_net, self.asic())
        self.check()

    def test_simple_switch_13(self) -> None:
        """OpenFlow 1.3."""
        self.run_application("simple_switch_13", "OpenFlow13", self.addresses_of_one_net)
        self.check()

    def test_simple_switch_13_asic(self) -> None:
        """OpenFlow 1.3, on slow hardware."""
        nets = self.addresses_of_one_net
        self.run_application("simple_switch_13", "OpenFlow13", nets, self.asic())
        self.check()


class RouterTests(ApplicationCase):
    """A router: rest_router, which is told its addresses over HTTP."""

    nets = ["10.0.1.1/24", "10.0.2.1/24", "10.0.3.1/24"]

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask something of the application."""
        with inside(self.switch):
            connection = http.client.HTTPConnection("127.0.0.1", REST, timeout=TIMEOUT)
            connection.connect()
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        self.assertEqual(answer.status, 200, f"{text}\n{self.story()}")
        return json.loads(text)

    def route(self, protocol: str, driver: str) -> None:
        """Give the router an address in each net, and try."""
        self.run_application("rest_router", protocol, self.nets, driver)
        for host, net in zip(self.hosts, self.nets, strict=True):
            ip("route", "add", "default", "via", net.replace(".1/24", ".254"), namespace=host)
        self.wait(lambda: "Join as router" in self.output.read_text(), "a router")
        for net in self.nets:
            told = self.request(
                "POST", "/router/0000000000000001", {"address": net.replace(".1/24", ".254/24")}
            )
            self.assertEqual(told[0]["command_result"][0]["result"], "success", told)
        self.check()

    def test_router10(self) -> None:
        """OpenFlow 1.0."""
        self.route("OpenFlow10", SOFTWARE)

    def test_router13(self) -> None:
        """OpenFlow 1.3."""
        self.route("OpenFlow13", SOFTWARE)

    def test_router13_asic(self) -> None:
        """OpenFlow 1.3, on slow hardware."""
        self.route("OpenFlow13", self.asic())
