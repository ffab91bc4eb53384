"""The switches that are compared: the agent, Open vSwitch with its userspace datapath, and POX's.

They run as processes of their own, talk over loopback and keep everything in a temporary directory.
POX is in no index of packages, so it takes part only where :data:`POX` names a checkout of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from agent.openflow import messages as of
from bench import load

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMA: Final = Path("/usr/share/openvswitch/vswitch.ovsschema")
START_TIMEOUT: Final = 120.0
POX: Final = "OFAGENT_BENCH_POX"
"""The environment variable that names a checkout of POX, with its ``pxpcap`` built."""
POX_PYTHON: Final = "OFAGENT_BENCH_POX_PYTHON"
"""Likewise the Python which that was built for; without it, ``python3``."""


class Switch(Protocol):
    """A running switch.

    :ivar name: for the table of results.
    :ivar rates: packets a second to try it with; 0: more than it can take.
    :ivar pid: the process whose memory is measured.
    :ivar address: where it listens for OpenFlow.
    """

    name: str
    pid: int
    address: tuple[str, int]

    def stop(self) -> None:
        """End it."""


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(address: tuple[str, int]) -> None:
    """Wait until somebody listens there."""
    end = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


CONFIGURATION: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
log_level = "warn"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["ptcp:{port}:127.0.0.1"]
watchdog = 60
{bridge}

[bridge.driver]
name = "{driver}"
"""


class Agent:
    """The agent, as ``twistd`` starts it.

    :param devices: the network devices that are its ports 1, 2 ...
    :param options: of the driver, as lines of the configuration.
    :param bridge: other keys of the bridge, likewise.
    """

    rates = (0,)

    def __init__(
        self,
        directory: Path,
        driver: str = "software",
        devices: Sequence[str] = (),
        options: str = "",
        bridge: str = "",
    ) -> None:
        self.name = f"ofagent ({driver})"
        self.address = ("127.0.0.1", free_port())
        directory.mkdir(parents=True)
        config = directory / "ofagent.toml"
        text = CONFIGURATION.format(port=self.address[1], driver=driver, bridge=bridge) + options
        for number, device in enumerate(devices, 1):
            text += f'[[bridge.port]]\nnumber = {number}\nname = "{device}"\n'
        config.write_text(text)
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "twisted", "ofagent", "--config", str(config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        wait_for(self.address)

    @staticmethod
    def missing() -> str:
        """Nothing."""
        return ""

    def connect(self) -> load.Client:
        """Talk to it."""
        return load.Client(self.address, of.OFP13)

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(START_TIMEOUT)
        self._log.close()


class OpenVSwitch:
    """``ovsdb-server`` and ``ovs-vswitchd`` of Debian, with one bridge; needs root.

    :param devices: the network devices that are its ports 1, 2 ...
    :param datapath: ``netdev``: in user space; ``system``: in the kernel.
    :param settings: of the whole switch, as ``ovs-vsctl set`` has them.
    """

    name = "Open vSwitch"
    rates = (0,)

    def __init__(
        self,
        directory: Path,
        devices: Sequence[str] = (),
        datapath: str = "netdev",
        settings: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True)
        self._environment = dict.fromkeys(
            ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(directory)
        )
        self.address = ("127.0.0.1", free_port())
        database = directory / "conf.db"
        remote = f"unix:{directory}/db.sock"
        self._pidfiles = [directory / "ovs-vswitchd.pid", directory / "ovsdb-server.pid"]
        daemon = ["-vconsole:off", "--detach", "--no-chdir", f"--log-file={directory}/log"]
        self._call("ovsdb-tool", "create", str(database), str(SCHEMA))
        self._call(
            "ovsdb-server",
            str(database),
            f"--remote=p{remote}",
            f"--pidfile={self._pidfiles[1]}",
            *daemon,
        )
        self._call("ovs-vsctl", f"--db={remote}", "--no-wait", "init")
        if settings:
            change = ("set", "open_vswitch", ".", *settings)
            self._call("ovs-vsctl", f"--db={remote}", "--no-wait", *change)
        self._call("ovs-vswitchd", remote, f"--pidfile={self._pidfiles[0]}", *daemon)
        self._call(
            "ovs-vsctl",
            f"--db={remote}",
            "add-br",
            "br0",
            *("--", "set", "bridge", "br0", f"datapath_type={datapath}", "fail-mode=secure"),
            "protocols=OpenFlow10,OpenFlow13",
            "other-config:disable-in-band=true",
            *("--", "set-controller", "br0", f"ptcp:{self.address[1]}:127.0.0.1"),
        )
        for number, device in enumerate(devices, 1):
            port = ("--", "set", "interface", device, f"ofport_request={number}")
            self._call("ovs-vsctl", f"--db={remote}", "add-port", "br0", device, *port)
        self.pid = int(self._pidfiles[0].read_text())
        wait_for(self.address)

    @staticmethod
    def missing() -> str:
        """Why it cannot be compared with here; empty: it can."""
        if os.geteuid() != 0:
            return "needs root"
        for program in ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl"):
            if shutil.which(program) is None:
                return f"needs {program} (Debian's package openvswitch-switch)"
        return ""

    def _call(self, *command: str, timeout: float = START_TIMEOUT) -> str:
        done = subprocess.run(
            command,
            check=True,
            timeout=timeout,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def control(self, *command: str) -> str:
        """What ``ovs-appctl`` says to a command."""
        return self._call("ovs-appctl", *command, timeout=load.TIMEOUT)

    def connect(self) -> load.Client:
        """Talk to it."""
        return load.Client(self.address, of.OFP13)

    def stop(self) -> None:
        """End it."""
        for pidfile in self._pidfiles:
            pid = int(pidfile.read_text())
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + START_TIMEOUT
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.05)


class Pox:
    """POX's software switch, on its own pcap library; needs root.

    It connects to its controller, and knows OpenFlow 1.0 alone.

    :param devices: the network devices that are its ports 1, 2 ...
    """

    name = "POX"
    rates = (1000, 2000, 4000, 8000, 16000)
    """It forwards nothing before nothing more comes in, so that it must not be flooded."""
    most_rules = 100
    """It takes seconds to add hundreds, and looks through all of them for each packet."""

    def __init__(self, directory: Path, devices: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(START_TIMEOUT)
        address, port = self._server.getsockname()
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            [
                os.environ.get(POX_PYTHON, "python3"),
                "pox.py",
                "--no-openflow",
                "datapaths.pcap_switch",
                f"--address={address}",
                f"--port={port}",
                f"--ports={','.join(devices)}",
            ],
            cwd=os.environ[POX],
            # It reads commands, and ends when there are no more.
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def connect(self) -> load.Client:
        """Talk to it; once only."""
        connection, _ = self._server.accept()
        return load.Client(connection, of.OFP10)

    @staticmethod
    def missing() -> str:
        """Why it cannot be compared with here; empty: it can."""
        if os.geteuid() != 0:
            return "needs root"
        return "" if POX in os.environ else f"needs {POX} to name a checkout of POX"

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(START_TIMEOUT)
        self._log.close()
        self._server.close()
