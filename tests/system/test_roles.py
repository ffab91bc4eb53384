"""Roles, with real controllers: os-ken applications, each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import Any, Final

from tests.system import need
from tests.system.agent import ROOT, TIMEOUT, AgentCase, free_port

NOCHANGE, EQUAL, MASTER, SLAVE = range(4)
"""Roles in 1.3."""
OTHER, NX_MASTER, NX_SLAVE = range(3)
"""Roles as Nicira numbers them."""
IS_SLAVE: Final = {"heard": "OFPErrorMsg", "type": 1, "code": 10}
EPERM: Final = {"heard": "OFPErrorMsg", "type": 1, "code": 5}
STALE: Final = {"heard": "OFPErrorMsg", "type": 11, "code": 0}
BAD_ROLE: Final = {"heard": "OFPErrorMsg", "type": 11, "code": 2}
BARRIER: Final = {"heard": "OFPBarrierReply"}

FRAME: Final = "0200000000010200000000020800450000280000000040069ccc0a0000010a000002" + "00" * 20


class OsKen:
    """A controller.

    :ivar port: where it waits for switches.
    """

    def __init__(self, case: AgentCase, version: str) -> None:
        self.port = free_port()
        self._case = case
        self._heard: queue.Queue[dict[str, Any]] = queue.Queue()
        with (case.directory / "os-ken.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.system.osken_roles"),
                    "--ofp-listen-host=127.0.0.1",
                    f"--ofp-tcp-listen-port={self.port}",
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OFAGENT_VERSION": version},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        case.addCleanup(self.stop)

    def stop(self) -> None:
        """Be gone, as if killed."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.put(json.loads(line))

    def send(self, what: str, **arguments: Any) -> None:
        """Have it send a message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, **arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def next(self) -> dict[str, Any]:
        """What it has heard next."""
        try:
            return self._heard.get(timeout=TIMEOUT)
        except queue.Empty:
            log = (self._case.directory / "os-ken.log").read_text()[-2000:]
            raise AssertionError(f"the controller heard nothing:\n{log}") from None

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have it send a message, and hear the answer."""
        self.send(what, **arguments)
        return self.next()

    def role(self, role: int, generation: int = 0) -> dict[str, Any]:
        """Have it ask for a role."""
        answer = self.ask("role", role=role, generation=generation)
        if answer["heard"] == "NXTRoleReply":
            return {"role": answer["role"]}
        if answer["heard"] == "OFPRoleReply":
            return {"role": answer["role"], "generation": answer["generation_id"]}
        return answer

    def quiet(self) -> list[dict[str, Any]]:
        """All that it has heard until a barrier."""
        self.send("barrier")
        heard = []
        while (message := self.next()) != BARRIER:
            heard.append(message)
        return heard


class RoleCase(AgentCase):
    """An agent that dials two controllers."""

    version = "1.3"

    def setUp(self) -> None:
        """Start the controllers."""
        need(importlib.util.find_spec("os_ken"), "os-ken is missing: pip install os-ken")
        super().setUp()
        self.one, self.other = (OsKen(self, self.version) for _ in range(2))

    def bridge(self) -> str:
        """The bridge's configuration."""
        targets = ", ".join(f'"tcp:127.0.0.1:{one.port}"' for one in (self.one, self.other))
        return f"controllers = [{targets}]\n"

    def wait_for_both(self) -> None:
        """Until both controllers have the switch."""
        for controller in (self.one, self.other):
            self.assertEqual(controller.next(), {"heard": "switch"})
            controller.quiet()

    def packet(self) -> None:
        """Have the switch send the controllers a packet."""
        self.ofctl("packet-out", "br0", f"in_port=1 packet={FRAME} actions=controller")


class RoleTests(RoleCase):
    """Roles of 1.3."""

    def setUp(self) -> None:
        """Start the agent."""
        super().setUp()
        self.start(bridge=self.bridge())
        self.wait_for_both()

    def test_masters(self) -> None:
        """The generation id is the switch's; a new master demotes the old, who is refused what
        changes anything and may read, and may take over again with a newer id."""
        one, other = self.one, self.other
        self.assertEqual(one.role(NOCHANGE), {"role": EQUAL, "generation": 2**64 - 1})
        self.assertEqual(one.role(MASTER, 10), {"role": MASTER, "generation": 10})
        self.assertEqual(other.role(SLAVE, 9), STALE)
        self.assertEqual(other.role(SLAVE, 10), {"role": SLAVE, "generation": 10})
        self.assertEqual(other.ask("flow", priority=1), IS_SLAVE)
        one.send("flow", priority=1)
        self.assertEqual(one.quiet(), [])
        self.assertEqual(other.role(MASTER, 9), STALE)
        self.assertEqual(other.role(MASTER, 11), {"role": MASTER, "generation": 11})
        self.assertEqual(one.role(NOCHANGE), {"role": SLAVE, "generation": 11})
        self.assertEqual(one.ask("flow", priority=2), IS_SLAVE)
        self.assertEqual(one.quiet(), [])
        other.send("flow", priority=2)
        self.assertEqual(other.quiet(), [])
        self.assertEqual(one.role(MASTER, 10), STALE)
        self.assertEqual(one.role(EQUAL, 3), {"role": EQUAL, "generation": 11})
        one.send("flow", priority=3)
        self.assertEqual(one.quiet(), [])
        self.assertEqual(other.role(NOCHANGE)["role"], MASTER)
        self.assertEqual(one.role(7), BAD_ROLE)
        self.assertEqual(self.ofctl("dump-flows", "br0").stdout.count("actions="), 3)

    def test_wraps(self) -> None:
        """Generation ids go round: what is ahead by less than half of them is newer."""
        one, other = self.one, self.other
        last = 2**64 - 1
        self.assertEqual(one.role(MASTER, last)["generation"], last)
        self.assertEqual(other.role(MASTER, last - 1), STALE)
        self.assertEqual(other.role(MASTER, 0), {"role": MASTER, "generation": 0})
        self.assertEqual(one.role(MASTER, last), STALE)
        self.assertEqual(one.role(MASTER, 2**63), STALE)
        self.assertEqual(one.role(MASTER, 2**63 - 1)["generation"], 2**63 - 1)

    def test_outlives(self) -> None:
        """The generation id outlives the master; its place does not."""
        one, other = self.one, self.other
        one.role(MASTER, 10)
        one.stop()
        self.wait(lambda: other.role(MASTER, 9) == STALE, "staleness")
        self.assertEqual(other.role(NOCHANGE), {"role": EQUAL, "generation": 10})
        self.assertEqual(other.role(MASTER, 10), {"role": MASTER, "generation": 10})

    def heard(self, controller: OsKen) -> set[str]:
        """Which asynchronous messages a controller hears when there is one of each."""
        controller.quiet()
        self.ofctl("add-flow", "br0", "priority=77,send_flow_rem,actions=drop")
        self.ofctl("--strict", "del-flows", "br0", "priority=77")
        self.packet()
        self.ofctl("mod-port", "br0", "1", "down")
        self.ofctl("mod-port", "br0", "1", "up")
        return {message["heard"] for message in controller.quiet()}

    def test_asynchronous(self) -> None:
        """Masters and equals hear everything, slaves of ports alone, unless they want otherwise;
        masks are for the roles, and each controller's own."""
        one, other = self.one, self.other
        everything = {"OFPPacketIn", "OFPFlowRemoved", "OFPPortStatus"}
        self.assertEqual(self.heard(one), everything)
        one.role(MASTER, 1)
        other.role(SLAVE, 1)
        default = one.ask("get_async")
        self.assertEqual(default["masks"], [[3, 0], [7, 7], [15, 0]])
        self.assertEqual(self.heard(one), everything)
        self.assertEqual(self.heard(other), {"OFPPortStatus"})
        masks = [[3, 2], [0, 0], [0, 15]]
        other.send("set_async", masks=masks)
        self.assertEqual(other.ask("get_async")["masks"], masks)
        one.quiet()
        self.assertEqual(one.ask("get_async"), default)
        self.assertEqual(self.heard(other), {"OFPPacketIn", "OFPFlowRemoved"})
        other.role(MASTER, 2)
        self.assertEqual(self.heard(other), {"OFPPacketIn"})
        self.assertEqual(self.heard(one), {"OFPPortStatus"})


class SlowRoleTests(RoleCase):
    """Roles while slow hardware is at work."""

    OPERATION = 0.4
    """Seconds that the hardware takes for each."""

    def setUp(self) -> None:
        """Start an agent whose hardware is slow."""
        super().setUp()
        self.start_asic(self.OPERATION * 1000, bridge=self.bridge())
        self.wait_for_both()

    def test_waits(self) -> None:
        """A change of role waits for what that controller has in flight; the others' does not; and
        who may not is told at once."""
        one, other = self.one, self.other
        one.role(MASTER, 10)
        for priority in range(3):
            one.send("flow", priority=priority)
        start = time.monotonic()
        self.assertEqual(one.role(SLAVE, 9), STALE)
        self.assertEqual(one.role(MASTER, 11), {"role": MASTER, "generation": 11})
        self.assertEqual(other.role(SLAVE, 11), {"role": SLAVE, "generation": 11})
        self.assertEqual(other.ask("flow", priority=9), IS_SLAVE)
        self.assertLess(time.monotonic() - start, self.OPERATION)
        self.assertEqual(one.role(SLAVE, 12), {"role": SLAVE, "generation": 12})
        self.assertGreater(time.monotonic() - start, 2 * self.OPERATION)
        self.assertEqual(one.ask("flow", priority=9), IS_SLAVE)
        self.assertEqual(self.ofctl("dump-flows", "br0").stdout.count("actions="), 3)

    def test_demoted(self) -> None:
        """Who is demoted while its rules are being written keeps them, and may add no more."""
        one, other = self.one, self.other
        one.role(MASTER, 1)
        one.send("flow", priority=1)
        one.send("flow", priority=2)
        self.assertEqual(one.role(NOCHANGE)["role"], MASTER)  # it has read both
        self.assertEqual(other.role(MASTER, 2), {"role": MASTER, "generation": 2})
        self.assertEqual(one.ask("flow", priority=3), IS_SLAVE)
        self.assertEqual(one.quiet(), [])
        self.assertEqual(self.ofctl("dump-flows", "br0").stdout.count("actions="), 2)


class NiciraRoleTests(RoleCase):
    """Roles of 1.0, which are Nicira's."""

    version = "1.0"

    def setUp(self) -> None:
        """Start the agent."""
        super().setUp()
        self.start(bridge=self.bridge())
        self.wait_for_both()

    def test_masters(self) -> None:
        """There are no generation ids; a new master demotes the old, whose writes are EPERM, and
        who hears of ports alone."""
        one, other = self.one, self.other
        self.assertEqual(one.role(NX_MASTER), {"role": NX_MASTER})
        self.assertEqual(other.role(NX_SLAVE), {"role": NX_SLAVE})
        self.assertEqual(other.ask("flow", priority=1), EPERM)
        one.send("flow", priority=1)
        self.assertEqual(one.quiet(), [])
        self.assertEqual(other.role(NX_MASTER), {"role": NX_MASTER})
        self.assertEqual(one.ask("flow", priority=2), EPERM)
        self.packet()
        self.assertEqual(one.quiet(), [])
        self.assertEqual([message["heard"] for message in other.quiet()], ["OFPPacketIn"])
        self.assertEqual(one.role(OTHER), {"role": OTHER})
        one.send("flow", priority=2)
        self.assertEqual(one.quiet(), [])
        self.assertEqual(self.ofctl("dump-flows", "br0").stdout.count("actions="), 2)
