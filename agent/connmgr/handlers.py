"""The messages that concern a session itself, and never reach the switch.

Each handler is called with the session and the message, and sends its reply.  Like those of the
switch, a handler that raises :class:`~agent.ofproto.conditions.Postponed` has had no effect, and
runs again from the start; permission and generation ids are checked before that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from agent.connmgr import monitors, nicira
from agent.connmgr.asyncmsg import DEFAULT_MISS_SEND_LEN
from agent.connmgr.roles import Role
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.traffic import Barrier
from agent.ofproto.conditions import Postponed
from agent.openflow import messages as of
from agent.openflow.bundle_messages import BundleAdd, BundleControl
from agent.openflow.errors import BAD_EXPERIMENTER, ROLE_UNSUP, OpenFlowError

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn

_log = Logger()


def _hello(session: OFConn, message: of.Hello) -> None:
    """A second HELLO changes nothing (1.3.5, section 7.5.1)."""


def _echo_request(session: OFConn, message: of.EchoRequest) -> None:
    session.send(of.EchoReply(message.data, message.xid))


def _echo_reply(session: OFConn, message: of.EchoReply) -> None:
    """That it came is all it says, and that was noted when its bytes came."""


def _error(session: OFConn, message: of.ErrorMessage) -> None:
    session.counters.errors_received += 1
    _log.info(
        "{connection}: peer reports error type {type}, code {code}, xid {xid}",
        connection=session.name,
        type=message.type,
        code=message.code,
        xid=message.xid,
    )


def _barrier(session: OFConn, message: of.BarrierRequest) -> None:
    """Answered when all that was asked before has been done and answered."""
    if session.outstanding:
        raise Postponed(session.outstanding.drained())
    since, now = session.postponement.period
    session.traffic.barrier(Barrier(session.name, message.xid, since, now))
    session.monitors.catch_up()
    session.send(of.BarrierReply(message.xid))


def _role_request(session: OFConn, message: of.RoleRequest) -> None:
    """A role changes when the connection has nothing in flight that it might not do in the new."""
    roles = session.roles
    wanted = roles.check(message.role, message.generation_id)
    if session.observer and wanted in (Role.EQUAL, Role.MASTER):
        raise OpenFlowError(ROLE_UNSUP, "an observer can only be a slave")
    if wanted not in (Role.NOCHANGE, session.role) and session.outstanding:
        raise Postponed(session.outstanding.drained())
    roles.grant(session, wanted, message.generation_id)
    # A request without a generation id is Nicira's, and so must the answer be.
    generation_id = None if message.generation_id is None else roles.reply_generation_id
    session.send(of.RoleReply(session.role, generation_id, message.xid))


def _get_async(session: OFConn, message: of.GetAsyncRequest) -> None:
    session.send(of.GetAsyncReply(session.async_config, message.xid))


def _set_async(session: OFConn, message: of.SetAsync) -> None:
    session.async_config = message.config
    if session.settings.kind is ConnectionKind.SERVICE and not session.miss_send_len:
        # It has asked for asynchronous messages: as in Open vSwitch, that is enough.
        session.miss_send_len = DEFAULT_MISS_SEND_LEN


def _bundle_control(session: OFConn, message: BundleControl) -> None:
    session.bundles.control(message)


def _bundle_add(session: OFConn, message: BundleAdd) -> None:
    session.bundles.add(message)


def _experimenter(session: OFConn, message: of.Experimenter) -> None:
    raise OpenFlowError(BAD_EXPERIMENTER, f"experimenter {message.experimenter:#x}")


OWN: Final[dict[type, Callable[[OFConn, Any], None]]] = {
    of.Hello: _hello,
    of.EchoRequest: _echo_request,
    of.EchoReply: _echo_reply,
    of.ErrorMessage: _error,
    of.BarrierRequest: _barrier,
    of.RoleRequest: _role_request,
    of.GetAsyncRequest: _get_async,
    of.SetAsync: _set_async,
    of.Experimenter: _experimenter,
    BundleControl: _bundle_control,
    BundleAdd: _bundle_add,
    **nicira.OWN,
    **monitors.HANDLERS,
}
"""Handlers by class of message."""
