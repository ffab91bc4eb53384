"""Debian's Open vSwitch, private: a database, sockets and a namespace of its own.

For tests that need a second switch, whose word counts because it is not ours.  It forwards in user
space, so no kernel module is needed, and runs in the foreground, so whoever started it ends it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from tests.system import need
from tests.system.agent import TIMEOUT

SYS_PIDFD_GETFD: Final = 438
SO_RCVBUFFORCE: Final = 33
RECEIVE_BUFFER: Final = 1 << 23

SCHEMA: Final = Path("/usr/share/openvswitch/vswitch.ovsschema")


_libc = ctypes.CDLL(None, use_errno=True)


def need_openvswitch() -> None:
    """Skip the test that calls this if Open vSwitch is not there."""
    for program in ("ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-vswitchd"):
        need(shutil.which(program), f"{program} is missing: install openvswitch-switch")
    need(SCHEMA.exists(), f"{SCHEMA} is missing: install openvswitch-switch")


class OpenVSwitch:
    """One ``ovsdb-server`` and one ``ovs-vswitchd``.  Two of the latter cannot share a namespace:
    both would make the device ``ovs-netdev``.

    :param directory: for all its files; it is made.
    :param namespace: in which it runs.
    """

    def __init__(self, directory: Path, namespace: str) -> None:
        directory.mkdir()
        self._directory = directory
        self._namespace = namespace
        self._database = f"unix:{directory}/db.sock"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it; :meth:`stop` must be called even if this fails."""
        database = self._directory / "conf.db"
        with (self._directory / "log").open("ab") as log:
            self._call(log, "ovsdb-tool", "create", str(database), str(SCHEMA))
            self._spawn(log, "ovsdb-server", str(database), f"--remote=p{self._database}")
            self.vsctl("--retry", "--no-wait", "init")
            self._spawn(log, "ovs-vswitchd", self._database)

    def add_bridge(
        self, datapath_id: int, devices: Sequence[str], controller: str, protocol: str
    ) -> None:
        """Add the bridge ``br0``, and return when it is there.

        :param devices: that are its ports 1, 2 ...
        :param controller: which it shall dial.
        :param protocol: the version of OpenFlow, in the words of Open vSwitch.
        """
        command = [
            *("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"),
            *(f"protocols={protocol}", "fail-mode=secure", "other-config:disable-in-band=true"),
            f"other-config:datapath-id={datapath_id:016x}",
        ]
        for number, device in enumerate(devices, 1):
            command += ["--", "add-port", "br0", device]
            command += ["--", "set", "interface", device, f"ofport_request={number}"]
        command += ["--", "set-controller", "br0", controller]
        command += ["--", "set", "controller", "br0", "max_backoff=1000", "inactivity_probe=60000"]
        self.vsctl(*command)

    def cache_nothing(self) -> None:
        """Send every packet through the tables.  Otherwise a stale entry of the cache still decides
        about packets for a while after a barrier reply."""
        self.vsctl("set", "Open_vSwitch", ".", "other_config:flow-limit=0")

    def enlarge_buffers(self) -> None:
        """Let bursts wait in the sockets of its ports, which are there by now.

        Their buffers are the kernel's default, room for 90 frames of 1,500 bytes; there is no
        option of Open vSwitch for it, and none of the kernel for one namespace.  So its own sockets
        are borrowed from it.
        """
        process = self._processes[-1].pid
        pidfd = os.pidfd_open(process)
        try:
            for entry in Path(f"/proc/{process}/fd").iterdir():
                if os.readlink(entry).startswith("socket:"):
                    borrowed = _libc.syscall(SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
                    if borrowed < 0:
                        raise OSError(ctypes.get_errno(), "pidfd_getfd")
                    with socket.socket(fileno=borrowed) as port:
                        if port.family == socket.AF_PACKET:
                            port.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        finally:
            os.close(pidfd)

    def vsctl(self, *arguments: str) -> None:
        """Run ovs-vsctl."""
        with (self._directory / "log").open("ab") as log:
            self._call(
                log, "ovs-vsctl", f"--timeout={TIMEOUT:.0f}", f"--db={self._database}", *arguments
            )

    def stop(self) -> None:
        """End it."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self) -> dict[str, str]:
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        return {**os.environ, **dict.fromkeys(names, str(self._directory))}

    def _call(self, log: IO[bytes], *command: str) -> None:
        done = subprocess.run(
            command,
            check=False,
            env=self._environment(),
            stdout=log,
            stderr=log,
            timeout=2 * TIMEOUT,
        )
        if done.returncode:
            text = (self._directory / "log").read_text()
            raise AssertionError(f"{' '.join(command)}:\n{text[-3000:]}")

    def _spawn(self, log: IO[bytes], *command: str) -> None:
        inside = ("ip", "netns", "exec", self._namespace)
        self._processes.append(
            subprocess.Popen(
                (*inside, *command, "-vconsole:warn"),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
