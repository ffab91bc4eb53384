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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.system import need
from tests.system.agent import ROOT
from tests.system.network import NetworkCase, ip
from tests.system.openvswitch import OpenVSwitch, need_openvswitch

BIN: Final = ROOT / ".venv-faucet" / "bin"
"""The environment which has an os-ken with its switch tests (``tests/system/faucet.txt``)."""
PORTS: Final = range(1, 4)
CONTROLLER: Final = "192.0.2.1"
TARGET, TESTER = 1, 2
"""The datapath ids."""

CONFIG: Final = f"""
[agent]
run_dir = "run"

[[bridge]]
name = "br0"
datapath_id = "{TARGET:016x}"
protocols = ["OpenFlow{{version}}"]
controllers = ["tcp:{CONTROLLER}:6653"]
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
    """

    path: Path
    description: str
    cases: tuple[Case, ...]
    seconds: float


def need_osken() -> None:
    """Skip the test that calls this if the tester or its switch is not there."""
    need_openvswitch()
    need((BIN / "osken-manager").exists(), "os-ken's tester is missing: make .venv-faucet/stamp")


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
    for test in (test for body in bodies for test in body["tests"]):
        ingress = test["ingress"]
        if isinstance(ingress, dict):
            seconds += ingress["packets"].get("duration_time", 30)
        # What must not match is given a second.
        seconds += 1.1 if "table-miss" in test else 0.1
    return File(
        path, description, tuple(Case(name, body["description"]) for body in bodies), seconds
    )


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
    """One target, one switch as the tester, and os-ken's application between them.

    :param case: the test, which removes everything afterwards.
    :param files: what to run.
    :param version: of the target's OpenFlow: ``10`` or ``13``.
    :ivar directory: for the logs of all parts, and for the target's own files.
    :ivar namespace: the target's.
    """

    def __init__(self, case: OskenCase, files: Sequence[File], version: str) -> None:
        self.directory = case.new_directory()
        self.namespace = case.namespace()
        self.version = version
        self._files = files
        self._log = self.directory / "osken.log"
        tester = case.namespace()
        for number in PORTS:
            self._cable(f"tgt{number}", tester, f"tst{number}")
        self._cable("ctl0", tester, "ctl1")
        ip("addr", "add", "192.0.2.2/30", "dev", "ctl0", namespace=self.namespace)
        ip("addr", "add", f"{CONTROLLER}/30", "dev", "ctl1", namespace=tester)
        self._manager = self._start_manager(case, tester)
        switch = OpenVSwitch(self.directory / "tester", tester)
        case.addCleanup(switch.stop)
        switch.start()
        devices = [f"tst{number}" for number in PORTS]
        switch.add_bridge(TESTER, devices, "tcp:127.0.0.1:6653", "OpenFlow13")
        switch.cache_nothing()
        case.start_target(self)

    def _cable(self, device: str, namespace: str, peer: str) -> None:
        there = ("peer", "name", peer, "netns", namespace)
        ip("link", "add", "name", device, "type", "veth", *there, namespace=self.namespace)
        ip("link", "set", "dev", peer, "up", namespace=namespace)
        ip("link", "set", "dev", device, "up", namespace=self.namespace)

    def _start_manager(self, case: OskenCase, namespace: str) -> subprocess.Popen[bytes]:
        suite = self.directory / "suite"
        suite.mkdir()
        for number, file in enumerate(self._files):
            (suite / f"{number:03}.json").symlink_to(file.path)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", namespace, str(BIN / "osken-manager")),
                    *("--ofp-listen-host", "0.0.0.0", "--ofp-tcp-listen-port", "6653"),
                    *("--test-switch-target", f"{TARGET:016x}"),
                    *("--test-switch-tester", f"{TESTER:016x}"),
                    *("--test-switch-target-version", f"openflow{self.version}"),
                    *("--test-switch-tester-version", "openflow13"),
                    *("--test-switch-dir", str(suite)),
                    "os_ken.tests.switch.tester",
                ],
                cwd=self.directory,
                env={**os.environ, "OSKEN_HUB_TYPE": "eventlet", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        case.addCleanup(process.wait)
        case.addCleanup(process.kill)
        return process

    def wait(self, end: float) -> None:
        """Wait until the tester is through.

        :param end: a time of :func:`time.monotonic`, at which it is ended.
        """
        try:
            self._manager.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._manager.kill()

    def results(self) -> dict[Case, str]:
        """What came of each case: why it failed, or nothing."""
        lines = self._log.read_text(errors="replace").splitlines()
        ran = read_log(lines, self._files)
        missing = f"it was not run; the tester's last words: {lines[-1:]}"
        cases = (case for file in self._files for case in file.cases)
        return {case: ran.get(case, missing) for case in cases}


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
        rigs = [Rig(self, files, version) for files in deal(read_suite(name), self.rigs)]
        for rig in rigs:
            rig.wait(end)
        return {case: why for rig in rigs for case, why in rig.results().items()}

    def start_target(self, rig: Rig) -> None:
        """Start the agent as the target of a rig; it ends with the test."""
        ports = "".join(PORT.format(number=number) for number in PORTS)
        self.launch(
            rig.directory,
            CONFIG.format(version=rig.version, driver=self.driver) + ports,
            ("ip", "netns", "exec", rig.namespace),
        )
