"""An OpenFlow load generator: streams rules at a switch, and measures what it answers.

It speaks just enough OpenFlow 1.0 and 1.3 to be a demanding controller: messages are encoded once,
as a template whose addresses are then patched, so that the generator can send over a million
messages a second and the switch is what is measured.  Everything is bounded in count and time.
"""

from __future__ import annotations

import select
import socket
import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import encode, header
from agent.openflow.match import MATCH_ALL, Match

TIMEOUT: Final = 120.0
"""Seconds that one phase may take."""
CHUNK: Final = 1 << 18
FULL: Final = 0xFFFFFFFF


class Stopped(Exception):
    """The switch closed the connection, or a phase took too long."""


def rule(index: int, command: int = of.FlowModCommand.ADD, port: int = 2) -> of.FlowMod:
    """The ``index``-th rule of the shape that all figures come from: six fields, one output."""
    deleting = command in (of.FlowModCommand.DELETE, of.FlowModCommand.DELETE_STRICT)
    return of.FlowMod(
        command,
        Match.of(
            in_port=1,
            eth_type=0x0800,
            ip_proto=6,
            ipv4_src=0x0A000000 + index,
            ipv4_dst=0x0B000000 + (index * 2654435761 & 0xFFFFFF),
            tcp_dst=1 + index % 60000,
        ),
        instructions=() if deleting else (ApplyActions((Output(port),)),),
        xid=index & 0x7FFFFFFF,
    )


def _differences(version: int, command: int) -> tuple[bytes, list[tuple[int, int]]]:
    """The encoded first rule, and where rules differ: ``(offset, bytes)`` of xid and fields."""
    first = encode(version, rule(0, command))
    source = first.index(struct.pack("!I", 0x0A000000), 8)
    target = first.index(struct.pack("!I", 0x0B000000), source + 4)
    odd = encode(version, rule(59999, command))
    port = odd.index(struct.pack("!H", 60000), target + 4)
    return first, [(source, 4), (target, 4), (port, 2)]


def stream(version: int, command: int, count: int, first: int = 0) -> tuple[bytearray, int]:
    """``count`` rules as one buffer, and the bytes of each."""
    template, ((source, _), (target, _), (port, _)) = _differences(version, command)
    size = len(template)
    buffer = bytearray(template * count)
    word, half = struct.Struct("!I").pack_into, struct.Struct("!H").pack_into
    for index in range(count):
        number, at = first + index, index * size
        word(buffer, at + 4, number & 0x7FFFFFFF)
        word(buffer, at + source, 0x0A000000 + number)
        word(buffer, at + target, 0x0B000000 + (number * 2654435761 & 0xFFFFFF))
        half(buffer, at + port, 1 + number % 60000)
    return buffer, size


class Client:
    """One connection to a switch.

    :ivar errors: how many error messages came.
    :ivar heard: what a phase wants to know of each message: ``(type, xid, frame) -> None``.
    """

    def __init__(self, switch: tuple[str, int] | socket.socket, version: int) -> None:
        """Greet a switch, by its address or by a connection that it has made."""
        self.version = version
        self.errors = 0
        self.heard: Callable[[int, int, bytes], None] = lambda kind, xid, frame: None
        self._out: list[memoryview] = []
        self._rest = b""
        self._socket = (
            switch
            if isinstance(switch, socket.socket)
            else socket.create_connection(switch, timeout=TIMEOUT)
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        seen: list[int] = []
        self.heard = lambda kind, xid, frame: seen.append(kind)
        self.queue(encode(version, of.Hello(frozenset({version}), 1)))
        run([self], lambda: 0 in seen)
        self.queue(encode(version, of.FeaturesRequest(2)))
        run([self], lambda: 6 in seen)

    def fileno(self) -> int:
        """For :mod:`select`."""
        return self._socket.fileno()

    @property
    def sending(self) -> int:
        """How many buffers are not sent yet."""
        return len(self._out)

    def queue(self, data: bytes | bytearray | memoryview) -> None:
        """Send this, in its turn."""
        self._out.append(memoryview(data))

    def write(self) -> None:
        """Send what the socket takes."""
        while self._out:
            view = self._out[0]
            try:
                sent = self._socket.send(view[:CHUNK])
            except BlockingIOError:
                return
            except OSError as error:
                raise Stopped(f"sending: {error}") from None
            if sent < len(view):
                self._out[0] = view[sent:]
                return
            del self._out[0]

    def read(self) -> None:
        """Take what has come."""
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise Stopped(f"receiving: {error}") from None
        if not data:
            raise Stopped("the switch closed the connection")
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 8:
            _, kind, length, xid = header(data, at)
            if end - at < length:
                break
            frame = data[at : at + length]
            at += length
            if kind == 2:
                self.queue(bytes((frame[0], 3)) + frame[2:])
            elif kind == 1:
                self.errors += 1
            self.heard(kind, xid, frame)
        self._rest = data[at:]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def barrier(self) -> float:
        """Seconds that a barrier takes to be answered."""
        done: list[int] = []
        self.heard = lambda kind, xid, frame: done.append(xid) if xid == FULL else None
        start = time.perf_counter()
        self.queue(encode(self.version, of.BarrierRequest(FULL)))
        run([self], lambda: bool(done))
        return time.perf_counter() - start

    def clear(self) -> float:
        """Delete every rule; seconds until the barrier."""
        request = of.FlowMod(of.FlowModCommand.DELETE, MATCH_ALL, table_id=of.ALL_TABLES)
        self.queue(encode(self.version, request))
        return self.barrier()

    def push(self, buffer: bytearray, size: int) -> float:
        """Send rules with a barrier behind each tenth; seconds until the last is answered."""
        count = len(buffer) // size
        step = max(1, (count + 9) // 10)
        view = memoryview(buffer)
        done: list[int] = []
        last = 0x40000000 + count
        self.heard = lambda kind, xid, frame: done.append(xid) if xid == last else None
        start = time.perf_counter()
        for at in range(0, count, step):
            end = min(count, at + step)
            self.queue(view[at * size : end * size])
            self.queue(encode(self.version, of.BarrierRequest(0x40000000 + end)))
        run([self], lambda: bool(done))
        return time.perf_counter() - start

    def dump(self) -> tuple[int, float]:
        """Entries in a dump of all flows, and the seconds that it takes."""
        frames: list[bytes] = []
        body = 16 if self.version == of.OFP13 else 12
        kind_wanted = 19 if self.version == of.OFP13 else 17

        def heard(kind: int, xid: int, frame: bytes) -> None:
            if kind == kind_wanted and xid == 3:
                frames.append(frame)

        self.heard = heard
        start = time.perf_counter()
        self.queue(encode(self.version, of.FlowStatsRequest(xid=3)))
        run([self], lambda: bool(frames) and not frames[-1][11] & 1)
        return sum(_entries(frame, body) for frame in frames), time.perf_counter() - start


def _entries(frame: bytes, at: int) -> int:
    """How many entries a part of a reply has, whose body starts at ``at``."""
    count = 0
    while at < len(frame):
        at += frame[at] << 8 | frame[at + 1]
        count += 1
    return count


def run(
    clients: list[Client],
    until: Callable[[], bool],
    tick: Callable[[], float] | None = None,
) -> None:
    """Serve connections until a phase is over.

    :param tick: called each time around; says after how many seconds to call it again.
    :raises Stopped: when it takes too long.
    """
    end = time.perf_counter() + TIMEOUT
    poll = select.poll()
    by_number = {client.fileno(): client for client in clients}
    while not until():
        wait = tick() if tick is not None else 0.5
        for number, client in by_number.items():
            poll.register(number, select.POLLIN | (select.POLLOUT if client.sending else 0))
        for number, event in poll.poll(max(0.0, wait) * 1000):
            if event & ~select.POLLOUT:
                by_number[number].read()
            if event & select.POLLOUT:
                by_number[number].write()
        if time.perf_counter() > end:
            raise Stopped(f"not done after {TIMEOUT:g} s")


def flood(load: Client, probe: Client, count: int, every: float = 0.005) -> list[float]:
    """Echo round trips on ``probe``, in seconds, while ``count`` rules stream on ``load``."""
    buffer, size = stream(load.version, of.FlowModCommand.ADD, count, first=1 << 20)
    view = memoryview(buffer)
    at, asked = 0, 0
    sent: dict[int, float] = {}
    times: list[float] = []
    done: list[int] = []
    due = time.perf_counter()

    def heard(kind: int, xid: int, frame: bytes) -> None:
        if kind == 3 and xid in sent:
            times.append(time.perf_counter() - sent.pop(xid))
        elif xid == FULL:
            done.append(xid)

    def tick() -> float:
        nonlocal at, asked, due
        now = time.perf_counter()
        if load.sending < 2 and at < count:
            end = min(count, at + 64)
            load.queue(view[at * size : end * size])
            at = end
            if at == count:
                load.queue(encode(load.version, of.BarrierRequest(FULL)))
        if now >= due and not done:
            asked += 1
            sent[0x28000000 + asked] = now
            probe.queue(encode(probe.version, of.EchoRequest(b"ofagent.", 0x28000000 + asked)))
            due = now + every
        return max(0.0, due - now) if load.sending else 0.0

    load.heard = probe.heard = heard
    run([load, probe] if load is not probe else [load], lambda: bool(done) and not sent, tick)
    return times


def echo_all(clients: list[Client]) -> float:
    """Seconds until an echo request on every one of these connections has been answered."""
    waiting = set()

    def hear(client: Client) -> Callable[[int, int, bytes], None]:
        return lambda kind, xid, frame: waiting.discard(client) if kind == 3 else None

    start = time.perf_counter()
    for client in clients:
        waiting.add(client)
        client.heard = hear(client)
        client.queue(encode(client.version, of.EchoRequest(b"ofagent.", 5)))
    run(clients, lambda: not waiting)
    return time.perf_counter() - start


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def memory(pid: int) -> int:
    """Bytes of memory that a process has resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise Stopped(f"process {pid} has no memory")


def median(values: list[float]) -> float:
    """The median of what several runs measured."""
    return statistics.median(values)
