"""A running agent, and a controller that keeps the time: what tests from outside are made of."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages as of
from agent.openflow.codec import decode, encode, header
from tests.system import need

ROOT: Final = Path(__file__).parents[2]
TIMEOUT: Final = 30.0
"""Seconds after which something that should have happened has not."""

M = TypeVar("M")

BRIDGE: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
log_level = "debug"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["ptcp:{port}:127.0.0.1", "punix:br0.mgmt"]
{bridge}
[bridge.driver]
{driver}

[[bridge.port]]
number = 1
name = "p1"
type = "memory"

[[bridge.port]]
number = 2
name = "p2"
type = "memory"
"""

PROFILE: Final = """
name = "test"
source = "made up for a test"
kind = "made up"
tables = [{{ id = 0, size = {size}, announced = 1000 }}]
parallel = 1
jitter = 0.0
[add]
base_ms = {ms}
[modify]
base_ms = {ms}
[delete]
base_ms = {ms}
"""


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.define
class Arrival:
    """A message, and when it came (seconds of :func:`time.monotonic`)."""

    message: Any
    time: float


class Controller:
    """The controller's end of one connection.  It answers echo requests, and keeps the rest.

    :ivar version: the wire version that it speaks.
    :ivar socket: the connection itself.
    :ivar arrivals: what has come and nobody has asked for yet.
    """

    def __init__(self, connection: socket.socket, version: int) -> None:
        self.version = version
        self.arrivals: list[Arrival] = []
        self.socket = connection
        self.socket.settimeout(0.05)
        self._rest = b""
        self.send(of.Hello(frozenset({version})))
        self.expect(of.Hello)

    @classmethod
    def connect(cls, port: int, version: int = of.OFP13) -> Controller:
        """A controller which connects to a listener."""
        return cls(socket.create_connection(("127.0.0.1", port), TIMEOUT), version)

    def send(self, *messages: of.Message) -> None:
        """Send messages, at once."""
        self.socket.sendall(b"".join(encode(self.version, message) for message in messages))

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def poll(self) -> None:
        """Take what has come, or wait a moment for it."""
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        if not data:
            raise ConnectionError("the agent has closed the connection")
        now = time.monotonic()
        data = self._rest + data
        at = 0
        while len(data) - at >= 8:
            length = header(data, at)[2]
            if len(data) - at < length:
                break
            message = decode(self.version, data[at : at + length])
            at += length
            if isinstance(message, of.EchoRequest):
                self.send(of.EchoReply(message.data, message.xid))
            else:
                self.arrivals.append(Arrival(message, now))
        self._rest = data[at:]

    def next(self, timeout: float = TIMEOUT) -> Arrival:
        """The next message.

        :raises TimeoutError: when none comes in time.
        """
        end = time.monotonic() + timeout
        while not self.arrivals:
            self.poll()
            if time.monotonic() > end:
                raise TimeoutError(f"no message for {timeout:g} s")
        return self.arrivals.pop(0)

    def expect(self, kind: type[M], timeout: float = TIMEOUT) -> M:
        """The next message, which must be of this class."""
        message = self.next(timeout).message
        if not isinstance(message, kind):
            raise AssertionError(f"expected {kind.__name__}, got {message}")
        return message

    def barrier(self, xid: int = 0x7FFF) -> None:
        """Wait until everything before is done; nothing else may come meanwhile."""
        self.send(of.BarrierRequest(xid))
        assert self.expect(of.BarrierReply).xid == xid

    def flows(self, xid: int = 0x7FFE) -> list[of.FlowStats]:
        """All flows, as the switch shows them."""
        self.send(of.FlowStatsRequest(xid=xid))
        found: list[of.FlowStats] = []
        while True:
            reply = self.expect(of.FlowStatsReply)
            found += reply.flows
            if not reply.more:
                return found

    def echo(self) -> float:
        """Seconds that an echo takes, whatever else comes meanwhile."""
        start = time.monotonic()
        self.send(of.EchoRequest(b"ping", 0x7FFD))
        while True:
            for arrival in self.arrivals:
                if isinstance(arrival.message, of.EchoReply):
                    self.arrivals.remove(arrival)
                    return arrival.time - start
            self.poll()
            if time.monotonic() - start > TIMEOUT:
                raise TimeoutError("no echo reply")


class AgentCase(SynchronousTestCase):
    """Starts agents, and stops them after the test.

    :ivar directory: the test's own, short enough for sockets.
    :ivar port: where the agent listens for OpenFlow.
    :ivar prefix: a command that runs the agent, if any does.
    :ivar patience: seconds after which :meth:`wait` gives up.
    """

    prefix: tuple[str, ...] = ()
    patience = TIMEOUT

    def setUp(self) -> None:
        """Make the directory."""
        self.directory = self.new_directory()
        self.port = free_port()
        self.log = self.directory / "log"

    def new_directory(self) -> Path:
        """A new directory, which is removed after the test."""
        directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def start(
        self, driver: str = 'name = "software"', bridge: str = "", text: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start an agent and wait until it listens.

        :param driver: what stands in ``[bridge.driver]``.
        :param bridge: more keys of the bridge.
        :param text: the whole configuration, instead.
        """
        text = text or BRIDGE.format(port=self.port, driver=driver, bridge=bridge)
        process = self.launch(self.directory, text)
        self.wait(lambda: (self.directory / "run" / "br0.mgmt").exists() or process.poll())
        self.assertIsNone(process.poll(), self.log.read_text())
        return process

    def launch(
        self,
        directory: Path,
        text: str,
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start an agent, which ends with the test.

        :param directory: for its files.
        :param text: its configuration.
        :param prefix: a command that runs this agent, beside that which runs all.
        :param environment: what this agent has in its environment beside what all have.
        """
        file = directory / "ofagent.toml"
        file.write_text(text)
        path = directory / "log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                (*prefix, *self.command(file)),
                cwd=directory,
                env={**self.environment(), **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(self.stop, process, path)
        return process

    def start_asic(self, ms: float, size: int = 1000, options: str = "", bridge: str = "") -> None:
        """Start an agent whose hardware takes so many milliseconds for each operation.

        :param size: entries that its table has room for, whatever it announces.
        """
        profile = self.directory / "test.toml"
        profile.write_text(PROFILE.format(ms=ms, size=size))
        self.start(f'name = "asic"\nprofile = "{profile}"\n{options}', bridge)

    def command(self, file: Path) -> list[str]:
        """The command line of an agent with a configuration."""
        twistd = str(Path(sys.executable).with_name("twistd"))
        options = ["--pidfile=", "--nodaemon", "ofagent", "--config", str(file)]
        return [*self.prefix, sys.executable, twistd, *options]

    def environment(self) -> dict[str, str]:
        """The environment, with the checkout on Python's path."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def stop(self, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
        """Stop an agent, if it runs; its log must not show that anything went wrong.

        :param log: which is its log, if it is not that of the test.
        """
        log = log or self.log
        process.terminate()
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the agent did not stop:\n{log.read_text()}") from None
        text = log.read_text()
        self.assertNotIn("Traceback", text)
        self.assertNotIn("#critical", text)

    def wait(self, until: Callable[[], object], what: str = "it") -> None:
        """Wait until something is so."""
        end = time.monotonic() + self.patience
        while not until():
            if time.monotonic() > end:
                self.fail(f"{what} did not happen:\n{self.log.read_text()}")
            time.sleep(0.02)

    def controller(self, version: int = of.OFP13) -> Controller:
        """A controller which is connected to the listener."""
        controller = Controller.connect(self.port, version)
        self.addCleanup(controller.close)
        return controller

    def ofctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Debian's ovs-ofctl as somebody at a terminal would."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl is missing: install openvswitch-common")
        return self.run_command("ovs-ofctl", *arguments, check=check)

    def appctl(self, *arguments: str, check: bool = True) -> str:
        """Run Debian's ovs-appctl against the control socket; returns what it prints."""
        need(shutil.which("ovs-appctl"), "ovs-appctl is missing: install openvswitch-common")
        control = str(self.directory / "run" / "ofagent.ctl")
        return self.run_command("ovs-appctl", "-t", control, *arguments, check=check).stdout

    def check_barriers(self) -> list[dict[str, float]]:
        """Compare the barriers of the only connection, which are all answered, with what the
        simulated hardware has noted: what it was asked for before an answer it had ended then.

        :returns: those for which it had something to do; times are in seconds before now.
        """
        found = json.loads(self.appctl("ofagent/report", "timeline", "br0"))
        operations = found["operations"]
        self.assertTrue(operations)
        waited = []
        for barrier in found["barriers"]:
            # Ages: what is greater was earlier.  They are rounded to microseconds.
            before = [one for one in operations if one["arrived"] > barrier["answered"]]
            for one in before:
                self.assertIsNotNone(one["finished"], barrier)
                self.assertGreaterEqual(one["finished"], barrier["answered"] - 2e-6, barrier)
            if any(one["finished"] < barrier["since"] for one in before):
                waited.append(barrier)
        return waited

    def run_command(self, *command: str, check: bool) -> subprocess.CompletedProcess[str]:
        """Run a program of Open vSwitch that finds the sockets of this agent."""
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=4 * TIMEOUT,
            env={**os.environ, "OVS_RUNDIR": str(self.directory / "run")},
        )
        if check and done.returncode:
            self.fail(f"{' '.join(command)}: {done.stderr}\n{self.log.read_text()[-3000:]}")
        return done
