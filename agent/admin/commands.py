"""The commands of the control socket, all together.

Each group of them is a class in a module beside this one; a command is a method that takes texts
and returns a text, so that it is tested, and can be used, without a socket.  Names, arguments and
answers are those of Open vSwitch where it has the command.

Arguments in upper case are what an error names: ``BRIDGE: there is no bridge "br9"``.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from agent.admin import coverage
from agent.admin.commands_bridges import Agent
from agent.admin.commands_capture import CaptureCommands
from agent.admin.commands_connections import ConnectionCommands
from agent.admin.commands_driver import DriverCommands
from agent.admin.commands_fdb import ForwardingCommands
from agent.admin.commands_flows import FlowCommands
from agent.admin.commands_ofproto import OFProtoCommands
from agent.admin.commands_process import CoverageCommands, LogCommands, ProcessCommands
from agent.admin.commands_report import ReportCommands
from agent.admin.commands_trace import TraceCommands
from agent.admin.unixctl import CommandRegistry
from agent.admin.vlog import Vlog


def commands(
    agent: Agent,
    clock: IReactorTime,
    vlog: Vlog,
    counters: coverage.Coverage = coverage.process,
) -> CommandRegistry:
    """A registry with every command there is.

    :param clock: for what takes more than one turn of the reactor.
    """
    registry = CommandRegistry()
    ProcessCommands(agent, clock).register(registry)
    LogCommands(vlog).register(registry)
    CoverageCommands(counters).register(registry)
    OFProtoCommands(agent, clock).register(registry)
    ConnectionCommands(agent, clock).register(registry)
    CaptureCommands(agent).register(registry)
    FlowCommands(agent, clock).register(registry)
    DriverCommands(agent).register(registry)
    ForwardingCommands(agent, clock).register(registry)
    ReportCommands(agent, clock).register(registry)
    TraceCommands(agent, clock).register(registry)
    return registry
