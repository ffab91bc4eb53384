"""``python -m tests.system.faucet_capture FILE``: what Faucet tells a switch when it meets it.

Runs Faucet with a network of its own (two VLANs, a router between them, and an access list) and an
agent with the driver in software, and writes down what goes from the one to the other, through a
relay between them: all that changes the switch's tables, and the barriers, as they are on the wire.
``bench/data/faucet.of13`` was made so, with Faucet 1.10.12 (``make .venv-faucet/stamp``).
"""

from __future__ import annotations

import argparse
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from agent.openflow.codec import header
from tests.system.agent import ROOT, free_port
from tests.system.faucet import Faucet

PORTS: Final = 24
QUIET: Final = 5.0
"""Seconds without a change, after which it has said all."""
KEPT: Final = frozenset({14, 15, 29, 20})
"""FLOW_MOD, GROUP_MOD, METER_MOD and BARRIER_REQUEST."""

FAUCET: Final = """
vlans:
    office: {vid: 100, faucet_vips: ["10.0.1.254/24"], faucet_mac: "0e:00:00:00:00:01"}
    lab: {vid: 200, faucet_vips: ["10.0.2.254/24"], faucet_mac: "0e:00:00:00:00:02"}
routers:
    r: {vlans: [office, lab]}
acls:
    guard:
        - rule: {dl_type: 0x800, ip_proto: 6, tcp_dst: 25, actions: {allow: 0}}
        - rule: {dl_type: 0x800, ip_proto: 17, udp_dst: 69, actions: {allow: 0}}
        - rule: {dl_type: 0x800, ip_proto: 6, tcp_dst: 80, actions: {allow: 1}}
        - rule: {dl_type: 0x800, ipv4_dst: 10.0.2.0/24, actions: {allow: 0}}
        - rule: {actions: {allow: 1}}
dps:
    sw:
        dp_id: 0x1
        hardware: "Generic"
        interfaces:
"""
AGENT: Final = """
[agent]
run_dir = "run"
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
protocols = ["OpenFlow13"]
controllers = ["tcp:127.0.0.1:{port}"]
[bridge.driver]
name = "software"
"""


def relay(server: socket.socket, port: int, patience: float = 60.0) -> bytes:
    """Pass on what is said between a switch and a controller; returns what is kept of it."""
    server.settimeout(patience)
    switch, _ = server.accept()
    end = time.monotonic() + patience
    while True:
        try:
            controller = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    kept, rest, changed = b"", b"", time.monotonic()
    while not kept or time.monotonic() < changed + QUIET:
        if time.monotonic() > end:
            raise TimeoutError("it does not come to an end")
        for one in select.select([switch, controller], [], [], 0.5)[0]:
            data = one.recv(1 << 16)
            if not data:
                raise ConnectionError("somebody has hung up")
            (controller if one is switch else switch).sendall(data)
            if one is switch:
                continue
            rest += data
            while len(rest) >= 8 and len(rest) >= header(rest, 0)[2]:
                _, kind, length, _ = header(rest, 0)
                if kind in KEPT:
                    kept += rest[:length]
                    changed = time.monotonic()
                rest = rest[length:]
    return kept


def capture() -> bytes:
    """Run both, and listen."""
    ports = range(1, PORTS + 1)
    with tempfile.TemporaryDirectory(prefix="ofagent-") as name, socket.socket() as server:
        directory = Path(name)
        server.bind(("127.0.0.1", 0))
        server.listen()
        text = FAUCET
        for port in ports:
            vlan = "office" if port <= PORTS // 2 else "lab"
            rules = ", acls_in: [guard]" if port % 4 == 1 else ""
            text += f"            {port}: {{native_vlan: {vlan}{rules}}}\n"
        listens = free_port()
        faucet = Faucet(directory, text, listens, ())
        config = directory / "ofagent.toml"
        config.write_text(
            AGENT.format(port=server.getsockname()[1])
            + "".join(
                f'[[bridge.port]]\nnumber = {port}\nname = "p{port}"\ntype = "memory"\n'
                for port in ports
            )
        )
        agent = subprocess.Popen(
            [sys.executable, "-m", "twisted", "ofagent", "--config", str(config)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            return relay(server, listens)
        except BaseException:
            sys.stderr.write(faucet.tail())
            raise
        finally:
            agent.terminate()
            agent.wait()
            faucet.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.parse_args().file.write_bytes(capture())
