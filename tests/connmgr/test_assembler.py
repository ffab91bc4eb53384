"""Tests of :mod:`agent.connmgr.assembler`, with a real switch behind the connections."""

from __future__ import annotations

from typing import Any

import attrs

from agent.connmgr.assembler import IDLE_TIMEOUT, MAX_REFUSED
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Role
from agent.connmgr.settings import DEFAULT_LIMITS
from agent.ofproto.table_features import describe
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.codec import encode
from agent.openflow.errors import ErrorCode
from agent.openflow.table_features import Property
from drivers.interfaces import Capabilities, TableCapabilities
from drivers.testing import ScriptableDriver
from tests.connmgr.fakes import Peer
from tests.connmgr.test_switch import SwitchCase, flow_mod

OVERFLOW = errors.MULTIPART_BUFFER_OVERFLOW
Request = of.TableFeaturesRequest


class AssemblerCase(SwitchCase):
    """A switch with three tables, and somebody who arranges them in several messages."""

    def setUp(self) -> None:
        """Connect."""
        super().setUp()
        self.one = self.peer()
        # Described alone, they ask for no tables behind them.
        self.first, _, self.last = (describe(table, [table]) for table in self.switch.tables)

    def make_driver(self) -> ScriptableDriver:
        """Three tables."""
        tables = tuple(TableCapabilities(number, f"table{number}", 8) for number in range(3))
        return ScriptableDriver(capabilities=Capabilities(tables))

    def session(self, peer: Peer) -> OFConn:
        """Our end of a connection."""
        session = peer.protocol._receiver
        assert isinstance(session, OFConn)
        return session

    def tell(self, *messages: Any, peer: Peer | None = None) -> list[Any]:
        """Send messages, and take the answers."""
        peer = peer or self.one
        self.send(peer, *messages)
        return peer.received()

    def begin(self, xid: int = 9) -> None:
        """Send the first part of a request, which is not answered."""
        self.assertEqual(self.tell(Request((self.first,), xid, True)), [])

    def error(self, code: ErrorCode, request: Any) -> of.ErrorMessage:
        """The error message for a request."""
        data = code.prefix(of.OFP13) + encode(of.OFP13, request)[:64]
        return of.ErrorMessage(*code.numbers(of.OFP13), data, request.xid)

    def numbers(self) -> list[int]:
        """The tables of the pipeline."""
        return [table.table_id for table in self.switch.pipeline.tables]


class WholeTests(AssemblerCase):
    """What the switch is given."""

    def test_together(self) -> None:
        """The parts are one request, which is executed when the last has come."""
        self.begin()
        self.assertEqual(self.numbers(), [0, 1, 2])
        [reply] = self.tell(Request((self.last,), 9))
        self.assertEqual([table.table_id for table in reply.tables], [0, 2])
        self.assertEqual(reply.xid, 9)
        self.assertEqual(self.numbers(), [0, 2])
        self.assertEqual(len(self.session(self.one).assembler), 0)

    def test_empty_parts(self) -> None:
        """Parts may be empty, the last as well."""
        self.assertEqual(self.tell(Request((), 9, True)), [])
        self.begin()
        [reply] = self.tell(Request((), 9))
        self.assertEqual([table.table_id for table in reply.tables], [0])

    def test_others_meanwhile(self) -> None:
        """Whole requests may come in between, and other messages; a barrier does not wait."""
        self.begin()
        [whole, barrier] = self.tell(Request((), 10), of.BarrierRequest(11))
        self.assertEqual((len(whole.tables), barrier), (3, of.BarrierReply(11)))
        self.tell(Request((self.last,), 9))
        self.assertEqual(self.numbers(), [0, 2])

    def test_interleaved(self) -> None:
        """Requests in parts may be interleaved; each is executed when it is whole."""
        self.begin()
        self.begin(10)
        [reply] = self.tell(Request((self.last,), 10))
        self.assertEqual((reply.xid, self.numbers()), (10, [0, 2]))
        [reply] = self.tell(Request((), 9))
        self.assertEqual((reply.xid, self.numbers()), (9, [0]))

    def test_of_others(self) -> None:
        """Each connection has its own requests, whatever their xids."""
        other = self.peer()
        self.begin()
        [reply] = self.tell(Request((), 9), peer=other)
        self.assertEqual(len(reply.tables), 3)
        self.tell(Request((), 9))
        self.assertEqual(self.numbers(), [0])

    def test_postponed(self) -> None:
        """A request that has to wait is whole when it is run again."""
        self.tell(attrs.evolve(flow_mod(1), table_id=1))
        self.begin()
        self.assertEqual(self.tell(Request((self.last,), 9)), [])
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.finish(2)
        [reply] = self.one.received()
        self.assertEqual(len(reply.tables), 2)

    def test_slave(self) -> None:
        """A slave is refused the whole."""
        self.tell(of.RoleRequest(Role.SLAVE, 1, 1))
        self.begin()
        last = Request((self.last,), 9)
        self.assertEqual(self.tell(last), [self.error(errors.IS_SLAVE, last)])

    def test_gone(self) -> None:
        """What a connection has begun goes with it."""
        self.begin()
        session = self.session(self.one)
        self.one.transport.lose(RuntimeError("gone"))
        self.assertEqual(len(session.assembler), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.numbers(), [0, 1, 2])


class RefusedTests(AssemblerCase):
    """Requests that are refused before they are whole."""

    def test_wrong_part(self) -> None:
        """Where a part cannot be read, what is left of the request is not executed."""
        wrong = attrs.evolve(self.last, properties={77: ()})
        self.begin()
        for request in (Request((wrong,), 9, True), Request((self.last,), 9)):
            code = errors.TABLE_FEATURES_BAD_TYPE
            self.assertEqual(self.tell(request), [self.error(code, request)])
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assert_over()

    def test_wrong_first_part(self) -> None:
        """So it is with the first, and with the last."""
        code = errors.TABLE_FEATURES_BAD_TYPE
        wrong = attrs.evolve(self.last, properties={77: ()})
        for part in (Request((wrong,), 9, True), Request((self.first,), 9)):
            self.assertEqual(self.tell(part), [self.error(code, part)])
        self.begin()
        last = Request((wrong,), 9)
        self.assertEqual(self.tell(last), [self.error(code, last)])
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assert_over()

    def assert_over(self) -> None:
        """The xid may be used again."""
        [reply] = self.tell(Request((), 9))
        self.assertEqual(len(reply.tables), 3)

    def test_too_many(self) -> None:
        """So many may be unfinished; one that is too many is refused to its end."""
        for xid in range(100, 100 + DEFAULT_LIMITS.unfinished_requests):
            self.begin(xid)
        for part in (Request((self.first,), 9, True), Request((self.last,), 9)):
            self.assertEqual(self.tell(part), [self.error(OVERFLOW, part)])
        self.assert_over()
        self.tell(Request((self.last,), 100))
        self.assertEqual(self.numbers(), [0, 2])

    def test_too_much(self) -> None:
        """A request without an end is refused at a bound, and what came of it is forgotten."""
        properties: dict[int, tuple[int, ...]] = {Property.MATCH: (0x80000004,) * 8000}
        large = Request((attrs.evolve(self.first, properties=properties),), 9, True)
        size = len(encode(of.OFP13, large))
        for _ in range(DEFAULT_LIMITS.parts_bytes // size):
            self.assertEqual(self.tell(large), [])
        self.assertEqual(self.tell(large), [self.error(OVERFLOW, large)])
        self.assertEqual(len(self.session(self.one).assembler), 0)
        last = Request((self.first,), 9)
        self.assertEqual(self.tell(last), [self.error(OVERFLOW, last)])
        self.assert_over()

    def test_refused_are_bounded(self) -> None:
        """Who never ends what was refused makes us forget that it was."""
        wrong = attrs.evolve(self.last, properties={77: ()})
        for xid in range(MAX_REFUSED + 1):
            self.tell(Request((wrong,), 100 + xid, True))
        self.assertEqual(len(self.tell(Request((), 100))[0].tables), 3)
        last = Request((), 101)
        self.assertEqual(self.tell(last), [self.error(errors.TABLE_FEATURES_BAD_TYPE, last)])

    def test_not_executed(self) -> None:
        """A request that the switch refuses is over."""
        self.tell(Request((self.last,), 9, True))
        last = Request((), 9)
        self.assertEqual(self.tell(last), [self.error(errors.TABLE_FEATURES_EPERM, last)])
        self.assert_over()


class TimeTests(AssemblerCase):
    """Requests whose parts do not come."""

    def advance(self, seconds: float) -> list[of.ErrorMessage]:
        """Let time pass; returns the errors."""
        found = []
        for _ in range(int(seconds)):
            self.clock.advance(1)
            found += [m for m in self.one.received() if isinstance(m, of.ErrorMessage)]
            self.one.send(of.EchoReply(b"", 0))
        return found

    def test_timeout(self) -> None:
        """One that gets no further part is refused, and what is left of it as well."""
        self.begin()
        self.assertEqual(self.advance(IDLE_TIMEOUT - 2), [])
        part = Request((), 9, True)
        self.tell(part)
        self.assertEqual(self.advance(IDLE_TIMEOUT - 2), [])
        error = self.error(errors.MULTIPART_REQUEST_TIMEOUT, part)
        self.assertEqual(error.data[:4], b"ONF\0")
        self.assertEqual(self.advance(3), [error])
        last = Request((), 9)
        self.assertEqual(self.tell(last), [self.error(errors.MULTIPART_REQUEST_TIMEOUT, last)])
        self.assertEqual(self.numbers(), [0, 1, 2])

    def test_held_up(self) -> None:
        """The time in which we keep the controller waiting is ours, not its."""
        self.begin()
        self.tell(flow_mod(2), of.BarrierRequest(3), Request((self.last,), 9))
        self.assertEqual(self.advance(3 * IDLE_TIMEOUT), [])
        self.finish()
        [barrier, reply] = self.one.received()
        self.assertEqual((barrier.xid, len(reply.tables)), (3, 2))
