"""os-ken's switch tests, run against a switch by several testers at once.

os-ken comes with test cases in JSON: rules, groups and meters, a packet, and what must come out.
Its application ``os_ken.tests.switch.tester`` installs the rules in the switch under test (the
*target*, with the ports 1 to 3), has another switch whose ports are cabled with those of the target
(the *tester*) send the packet, and compares what comes back.  The tester is Debian's Open vSwitch;
nothing of os-ken is changed.

The application runs one case after the other and sleeps a second in many, so the files of a suite
are dealt to several :class:`Rig`, each with all that it needs in two namespaces of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.system import need
from tests.system.agent import ROOT, TIMEOUT
from tests.system.network import NetworkCase, ip
from tests.system.openvswitch import OpenVSwitch, need_openvswitch

BIN: Final = ROOT / ".venv-faucet" / "bin"
"""The environment which has an os-ken with its switch tests (``tests/system/faucet.txt``)."""
PORTS: Final = range(1, 4)
CONTROLLER: Final = "192.0.2.1"
DIALLER: Final = "192.0.2.2"
TARGET, TESTER = 1, 2
"""The datapath ids."""

CHECKSUMS: Final = {
    f"of13/action/25_SET_FIELD/{name}_IPv{version}.json": checksum
    for name, checksum in (("17_SCTP_SRC", 509045565), ("18_SCTP_DST", 1417247775))
    for version in (4, 6)
}
"""The files whose cases are wrong by the specification, and the checksum that comes out instead.

All set a port of SCTP, which has a CRC32c of the packet as its checksum (RFC 4960, appendix B).
os-ken computes it of something else, of the letters in which Python would write the packet:
``for c in str(data)``, where ``data`` is a bytearray.  So the packet that it sends is damaged
already, and what it expects is no less so, but otherwise.  A switch neither repairs a damaged
packet nor hides it from the receiver: it changes the checksum by as much as the field changes it.
Where SCTP is only matched all this does not matter.
"""

CONFIG: Final = f"""
[agent]
run_dir = "run"

[[bridge]]
name = "br0"
datapath_id = "{TARGET:016x}"
protocols = ["OpenFlow{{version}}"]
controllers = [{{{{ target = "tcp:{CONTROLLER}:6653", max_backoff = 1 }}}}]
[bridge.driver]
{{driver}}
"""
PORT: Final = """
[[bridge.port]]
number = {number}
name = "tgt{number}"
type = "netdev"
"""

_result = re.compile(r"^    (\S.*?) +(OK|ERROR)$")
_end = re.compile(r"^--- *Test (?:end|terminated|report)")


@attrs.frozen
class Case:
    """One case of a file.

    :ivar file: below the directory of all suites.
    :ivar name: its description, which no other case of that file has.
    """

    file: str
    name: str


@attrs.frozen
class File:
    """One file of cases.

    :ivar path: where it is.
    :ivar description: by which the tester calls it.
    :ivar cases: in their order.
    :ivar seconds: about how long it takes when nothing else runs.
    :ivar packets: how many packets it sends in all cases that measure throughput.
    """

    path: Path
    description: str
    cases: tuple[Case, ...]
    seconds: float
    packets: int = 0


def need_osken() -> None:
    """Skip the test that calls this if the tester or its switch is not there."""
    need_openvswitch()
    need((BIN / "osken-manager").exists(), "os-ken's tester is missing: make .venv-faucet/stamp")


def slow_time(slower: int) -> dict[str, str]:
    """What slows down the time of a process when its environment says so; empty: nothing can."""
    for library in Path("/usr/lib").glob("*/faketime/libfaketime.so.1"):
        return {"LD_PRELOAD": str(library), "FAKETIME": f"+0 x{1 / slower}"}
    return {}


def suites() -> Path:
    """The directory of all suites."""
    (found,) = BIN.parent.glob("lib/python3*/site-packages/os_ken/tests/switch")
    return found


def read_suite(name: str) -> list[File]:
    """The files of a suite.

    :param name: ``of13/match``.
    """
    root = suites()
    return [
        read_file(path, str(path.relative_to(root)))
        for path in sorted((root / name).rglob("*.json"))
    ]


def read_file(path: Path, name: str) -> File:
    """The cases of one file."""
    parts = json.loads(path.read_text())
    (description,) = (part for part in parts if isinstance(part, str))
    bodies = [part for part in parts if isinstance(part, dict)]
    seconds = 0.0
    packets = 0
    for test in (test for body in bodies for test in body["tests"]):
        ingress = test["ingress"]
        if isinstance(ingress, dict):
            duration = ingress["packets"].get("duration_time", 30)
            seconds += duration
            packets += duration * ingress["packets"].get("pktps", 1000)
        # What must not match is given a second.
        seconds += 1.1 if "table-miss" in test else 0.1
    cases = tuple(Case(name, body["description"]) for body in bodies)
    return File(path, description, cases, seconds, packets)


def split(file: File, directory: Path) -> list[File]:
    """Make of each case a file of its own.

    :param directory: where to write them; new ones get a name that no other has there.
    """
    parts = json.loads(file.path.read_text())
    found = []
    for part in parts:
        if isinstance(part, dict):
            path = directory / f"{len(list(directory.iterdir())):03}.json"
            path.write_text(json.dumps([file.description, part]))
            found.append(read_file(path, file.cases[0].file))
    return found


def deal(files: Iterable[File], count: int) -> list[list[File]]:
    """Deal files to so many rigs, so that all take about as long.

    Files of the same description go to different rigs, as the tester runs only one of them.
    """
    hands: list[list[File]] = [[] for _ in range(count)]
    for file in sorted(files, key=lambda file: -file.seconds):
        free = [hand for hand in hands if file.description not in {f.description for f in hand}]
        min(free, key=lambda hand: sum(f.seconds for f in hand)).append(file)
    return [hand for hand in hands if hand]


def read_log(lines: Iterable[str], files: Iterable[File]) -> dict[Case, str]:
    """What the tester says of each case: why it failed, or nothing.

    :param lines: without their ends.
    :returns: only the cases which it has run.
    """
    by_description = {file.description: iter(file.cases) for file in files}
    results: dict[Case, str] = {}
    cases: Iterator[Case] = iter(())
    failed: Case | None = None
    for line in lines:
        if _end.match(line):
            break
        if found := _result.match(line):
            case = next(cases)
            if case.name != found[1]:
                raise AssertionError(f"{case.file}: {found[1]!r} instead of {case.name!r}")
            results[case] = ""
            failed = case if found[2] == "ERROR" else None
            if failed:
                results[case] = "for no reason that was given"
        elif failed and line.startswith("        "):
            results[failed] = line.strip()
            failed = None
        else:
            cases = by_description.get(line, cases)
    return results


class Rig:
    """One target, one switch as the tester, and os-ken's application between them, once or more.

    :param case: the test, which removes everything afterwards.
    :param version: of the target's OpenFlow: ``10`` or ``13``.
    :param slower: how many seconds a second lasts for the target and for the application, which is
        how a machine can measure what it is too slow for (:func:`slow_time`).
    :ivar directory: for the logs of all parts, and for the target's own files.
    :ivar namespace: the target's.
    :ivar clock: what the environment of a process says of time.
    """

    def __init__(self, case: OskenCase, version: str, slower: int = 1) -> None:
        self.directory = case.new_directory()
        self.namespace = case.namespace()
        self.version = version
        self.clock = slow_time(slower) if slower > 1 else {}
        self._case = case
        self._files: list[File] = []
        self._runs = 0
        self._manager: subprocess.Popen[bytes] | None = None
        self._tester = case.namespace()
        for number in PORTS:
            self._cable(f"tgt{number}", f"tst{number}")
        self._cable("ctl0", "ctl1")
        ip("addr", "add", f"{DIALLER}/30", "dev", "ctl0", namespace=self.namespace)
        ip("addr", "add", f"{CONTROLLER}/30", "dev", "ctl1", namespace=self._tester)
        switch = OpenVSwitch(self.directory / "tester", self._tester)
        case.addCleanup(switch.stop)
        switch.start()
        devices = [f"tst{number}" for number in PORTS]
        switch.add_bridge(TESTER, devices, "tcp:127.0.0.1:6653", "OpenFlow13")
        switch.cache_nothing()
        switch.enlarge_buffers()
        case.start_target(self)

    def _cable(self, device: str, peer: str) -> None:
        there = ("peer", "name", peer, "netns", self._tester)
        ip("link", "add", "name", device, "type", "veth", *there, namespace=self.namespace)
        ip("link", "set", "dev", peer, "up", namespace=self._tester)
        ip("link", "set", "dev", device, "up", namespace=self.namespace)

    def run(self, files: Iterable[File]) -> None:
        """Begin to run files; :meth:`wait` for the end."""
        self._files = list(files)
        self._runs += 1
        suite = self.directory / f"suite{self._runs}"
        suite.mkdir()
        for number, file in enumerate(self._files):
            (suite / f"{number:03}.json").symlink_to(file.path)
        command = [
            # It sends packets by the clock.  And select() sleeps more exactly than epoll(), which
            # rounds up to milliseconds.
            *("nice", "-n", "-5", "ip", "netns", "exec", self._tester, str(BIN / "osken-manager")),
            *("--ofp-listen-host", "0.0.0.0", "--ofp-tcp-listen-port", "6653"),
            *("--test-switch-target", f"{TARGET:016x}"),
            *("--test-switch-tester", f"{TESTER:016x}"),
            *("--test-switch-target-version", f"openflow{self.version}"),
            *("--test-switch-tester-version", "openflow13"),
            *("--test-switch-dir", str(suite)),
            "os_ken.tests.switch.tester",
        ]
        hub = {"OSKEN_HUB_TYPE": "eventlet", "EVENTLET_HUB": "selects", "PYTHONUNBUFFERED": "1"}
        with self._log().open("wb") as log:
            self._manager = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **hub, **self.clock},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._case.addCleanup(self._manager.wait)
        self._case.addCleanup(self._manager.kill)

    def wait(self, end: float) -> dict[Case, str]:
        """Wait until the tester is through with the files.

        :param end: a time of :func:`time.monotonic`, at which it is ended.
        :returns: of all cases, why they failed, or nothing.
        """
        assert self._manager is not None
        try:
            self._manager.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._manager.kill()
            self._manager.wait()
        lines = self._log().read_text(errors="replace").splitlines()
        ran = read_log(lines, self._files)
        missing = f"it was not run; the tester's last words: {lines[-1:]}"
        cases = (case for file in self._files for case in file.cases)
        return {case: ran.get(case, missing) for case in cases}

    def sent(self) -> int:
        """How many packets have come to the target's first port, as the kernel counts them."""
        done = subprocess.run(
            ("ip", "-n", self.namespace, "-json", "-stats", "link", "show", "dev", "tgt1"),
            check=True,
            capture_output=True,
            timeout=TIMEOUT,
        )
        (link,) = json.loads(done.stdout)
        count: int = link["stats64"]["rx"]["packets"]
        return count

    def _log(self) -> Path:
        return self.directory / f"osken{self._runs}.log"


class OskenCase(NetworkCase):
    """Runs suites against a target, which is the agent with some driver.

    :ivar driver: what stands in ``[bridge.driver]``.
    :ivar rigs: how many run at once.
    """

    driver = 'name = "software"'
    rigs = 8

    def setUp(self) -> None:
        """See that everything is there."""
        super().setUp()
        self.prefix = ()
        need_osken()

    def run_suite(self, name: str, timeout: float) -> dict[Case, str]:
        """Run a suite.

        :param name: ``of13/match``.
        :param timeout: seconds, after which the cases that have not run have failed.
        :returns: of all cases, why they failed, or nothing.
        """
        end = time.monotonic() + timeout
        version = name[2:4]
        hands = deal(read_suite(name), self.rigs)
        rigs = [Rig(self, version) for _ in hands]
        for rig, files in zip(rigs, hands, strict=True):
            rig.run(files)
        return {case: why for rig in rigs for case, why in rig.wait(end).items()}

    def start_target(self, rig: Rig) -> None:
        """Start the agent as the target of a rig; it ends with the test."""
        ports = "".join(PORT.format(number=number) for number in PORTS)
        self.launch(
            rig.directory,
            CONFIG.format(version=rig.version, driver=self.driver) + ports,
            ("ip", "netns", "exec", rig.namespace),
            rig.clock,
        )
