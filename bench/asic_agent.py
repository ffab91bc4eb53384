"""The whole agent on the simulated hardware: OpenFlow bytes in, the barrier's answer out.

:func:`simulated` runs everything between the transport and the driver, on a clock that only goes on
when nothing is left to do: how much longer the controller waits than the hardware is busy is then
what the agent's way of doing things costs, without the speed of the machine.  :func:`real` runs the
agent as a process, over TCP, in real time.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Roles
from agent.connmgr.settings import SessionSettings
from agent.ctl.client import Client
from agent.ofproto.ofproto import OFProto
from agent.openflow import messages as of
from agent.openflow.codec import encode, header
from bench.connmgr import Owner
from bench.switches import Agent
from drivers.asic.driver import AsicDriver, offered
from drivers.asic.profile import Profile
from drivers.interfaces import IRule
from drivers.software.ports import Ports

CHUNK: Final = 1 << 16
"""Bytes that arrive at once."""
BARRIER_REPLY: Final = 21
ERROR: Final = 1
LAST: Final = 0x7FFFFFFF
"""The xid of the last barrier."""


@attrs.frozen
class Run:
    """How a run went, in seconds.

    :ivar waited: from the first byte to the last barrier's answer.
    :ivar busy: for how long the hardware had something to do.
    :ivar cpu: time of the processor that the agent has used; 0: not measured.
    """

    waited: float
    busy: float
    cpu: float = 0.0

    @property
    def overhead(self) -> float:
        """What the controller waits longer than the hardware is busy, as a share of that."""
        return self.waited / self.busy - 1


def requests(rules: Sequence[IRule], barrier: int) -> bytes:
    """Rules to be added, as a controller sends them.

    :param barrier: after how many comes one; 0: only one, at the end, as always.
    """
    sent: list[of.Message] = []
    for number, rule in enumerate(rules, 1):
        sent.append(
            of.FlowMod(
                of.FlowModCommand.ADD,
                rule.match,
                rule.priority,
                instructions=rule.instructions,
                xid=number,
            )
        )
        if barrier and number % barrier == 0:
            sent.append(of.BarrierRequest(number))
    return b"".join(encode(of.OFP13, message) for message in sent)


def simulated(profile: Profile, data: bytes, policy: str, max_pending: int) -> Run:
    """On a clock of its own.

    :param data: messages of OpenFlow 1.3 which no barrier ends.
    """
    start = time.process_time()
    clock = Clock()
    driver = AsicDriver(profile, offered(profile), Ports([]), 1, policy)
    switch = OFProto("bench", 1, driver, clock, max_pending, 0)
    switch.start()
    settings = SessionSettings(frozenset({of.OFP13}), inactivity_probe=0)
    session = OFConn("bench<->peer", switch, clock, settings, Roles(), Owner())
    channel = FrameProtocol(clock, session)
    transport = StringTransport()
    channel.makeConnection(transport)  # type: ignore[no-untyped-call]
    channel.dataReceived(encode(of.OFP13, of.Hello(frozenset({of.OFP13}))))
    left = memoryview(data + encode(of.OFP13, of.BarrierRequest(LAST)))
    while not _answered(transport.value()):
        transport.clear()
        while left and transport.producerState == "producing":
            channel.dataReceived(bytes(left[:CHUNK]))
            left = left[CHUNK:]
        clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))
    return Run(clock.seconds(), driver.hardware.busy, time.process_time() - start)


def _answered(data: bytes) -> bool:
    """Whether the last barrier's answer is among these messages.

    :raises RuntimeError: when there is an error among them.
    """
    at = 0
    while at < len(data):
        _, kind, length, xid = header(data, at)
        if kind == ERROR:
            raise RuntimeError(f"request {xid} was refused")
        if kind == BARRIER_REPLY and xid == LAST:
            return True
        at += length
    return False


def real(profile: str, data: bytes, max_pending: int) -> Run:
    """As a process, over TCP, in real time, so that the agent's own time is in it.

    :param profile: the name or path of one.
    :param data: messages of OpenFlow 1.3.
    :raises RuntimeError: when a request is refused.
    """
    with tempfile.TemporaryDirectory(prefix="ofagent-") as name:
        directory = Path(name) / "agent"
        agent = Agent(
            directory,
            "asic",
            bridge=f"max_pending = {max_pending}",
            options=f'profile = "{profile}"\n',
        )
        try:
            client = agent.connect()
            client.queue(data)
            waited = client.barrier()
            client.close()
            control = Client(str(directory / "run" / "ofagent.ctl"))
            shown = control.ask("driver/show", "br0")
            control.close()
        finally:
            agent.stop()
    busy = re.search(r"^ *busy: ([0-9.]+) s\b", shown, re.MULTILINE)
    if client.errors or busy is None:
        raise RuntimeError(f"{client.errors} requests were refused\n{shown}")
    return Run(waited, float(busy[1]))
