"""Faucet, and what it is told: one network for each case, on as many switches as there are kinds of
hardware to try.

Every switch has three hosts, on the ports 1 to 3, and VLANs of its own; nothing connects one
switch with another.  The cases are

``basic``
    One VLAN.
``acl``
    One VLAN, groups to flood with, and a rule that host 1 may not send ICMP to host 3.
``route``
    Hosts 1 and 2 in one VLAN, host 3 in another, and Faucet routes between them.
``meter``
    One VLAN, and what host 1 sends passes a meter.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.system.agent import ROOT

PROGRAMS: Final = ROOT / ".venv-faucet" / "bin"
"""Where the programs of Faucet and of os-ken are."""

HARDWARE: Final = ("Open vSwitch", "Generic", "Open vSwitch TFM", "GenericTFM")
"""What Faucet can be told to expect: with "Generic" it waits for barriers, with "TFM" it asks for
its tables."""

HOSTS: Final = (1, 2, 3)
FIRST_DPID: Final = 0xFA

_VIPS: Final = """\
    office{n}:
        vid: {office}
        faucet_vips: ["10.0.1.254/24"]
        faucet_mac: "0e:00:00:00:00:01"
    lab{n}:
        vid: {lab}
        faucet_vips: ["10.0.2.254/24"]
        faucet_mac: "0e:00:00:00:00:02"
"""
_VLAN: Final = """\
    office{n}:
        vid: {office}
"""
_RULES: Final = {
    "basic": "",
    "route": "",
    "acl": """\
acls:
    first:
        - rule: {dl_type: 0x800, ip_proto: 1, ipv4_dst: 10.0.0.3, actions: {allow: 0}}
        - rule: {actions: {allow: 1}}
""",
    "meter": """\
meters:
    lossy:
        meter_id: 1
        entry: {flags: KBPS, bands: [{type: DROP, rate: 10000}]}
acls:
    first:
        - rule: {actions: {meter: lossy, allow: 1}}
""",
}


def dpid(number: int) -> str:
    """The datapath id of a switch, as configurations of agents have it."""
    return f"{FIRST_DPID + number:016x}"


def addresses(case: str) -> dict[int, tuple[str, str]]:
    """The address of each host, with the length of its prefix, and its router, if any."""
    if case != "route":
        return {host: (f"10.0.0.{host}/24", "") for host in HOSTS}
    return {
        host: (f"10.0.{net}.{host}/24", f"10.0.{net}.254") for host, net in ((1, 1), (2, 1), (3, 2))
    }


def configuration(case: str, hardware: Sequence[str]) -> str:
    """What ``faucet.yaml`` says: a switch for each kind of hardware."""
    numbers = range(len(hardware))
    vlan = _VIPS if case == "route" else _VLAN
    text = "vlans:\n"
    text += "".join(vlan.format(n=n, office=100 + n, lab=200 + n) for n in numbers)
    if case == "route":
        text += "routers:\n"
        text += "".join(f"    r{n}:\n        vlans: [office{n}, lab{n}]\n" for n in numbers)
    text += _RULES[case] + "dps:\n"
    for n, kind in enumerate(hardware):
        text += f'    sw{n}:\n        dp_id: {FIRST_DPID + n:#x}\n        hardware: "{kind}"\n'
        if case == "acl":
            text += "        group_table: true\n"
        text += "        interfaces:\n"
        for host in HOSTS:
            name = f"lab{n}" if case == "route" and host == 3 else f"office{n}"
            rules = ", acl_in: first" if _RULES[case] and host == 1 else ""
            text += f"            {host}: {{native_vlan: {name}{rules}}}\n"
    return text


class Faucet:
    """A running Faucet.

    :ivar log: what it says of itself.
    """

    def __init__(self, directory: Path, text: str, port: int, prefix: Sequence[str]) -> None:
        """Start it.

        :param directory: for its files.
        :param text: see :func:`configuration`.
        :param port: where it listens for switches, on 127.0.0.1.
        :param prefix: a command that runs it.
        """
        self._directory = directory
        self.log = directory / "faucet.log"
        self._file = directory / "faucet.yaml"
        self._file.write_text(text)
        options = ["--ryu-ofp-listen-host=127.0.0.1", f"--ryu-ofp-tcp-listen-port={port}"]
        with (directory / "faucet.out").open("ab") as out:
            self._process = subprocess.Popen(
                [*prefix, str(PROGRAMS / "faucet"), *options],
                cwd=directory,
                env={
                    **os.environ,
                    "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
                    "FAUCET_CONFIG": str(self._file),
                    "FAUCET_LOG": str(self.log),
                    "FAUCET_EXCEPTION_LOG": str(directory / "faucet.exceptions"),
                    "FAUCET_PROMETHEUS_ADDR": "127.0.0.1",
                    "OSKEN_HUB_TYPE": "eventlet",
                },
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def configure(self, text: str) -> None:
        """Have it read another configuration."""
        self._file.write_text(text)
        self._process.send_signal(signal.SIGHUP)

    def said(self, text: str) -> int:
        """How often a text is in its log."""
        return self.log.read_text().count(text) if self.log.exists() else 0

    def exceptions(self) -> str:
        """What has gone wrong in it."""
        file = self._directory / "faucet.exceptions"
        return file.read_text() if file.exists() else ""

    def tail(self) -> str:
        """The end of all that it has said, for the case that something went wrong."""
        files = ("faucet.log", "faucet.exceptions", "faucet.out")
        return "\n".join(
            f"--- {name}\n{(self._directory / name).read_text()[-3000:]}"
            for name in files
            if (self._directory / name).exists()
        )

    def stop(self) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
