"""Tests of :mod:`drivers.tcflower.netlink` and :mod:`drivers.tcflower.dump`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower import pack, qdisc
from drivers.tcflower.actions import SHOT, Gact
from drivers.tcflower.dump import Reader, Reading
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.filters import Filter
from drivers.tcflower.netlink import LOST, explain, messages
from drivers.tcflower.pipeline import BATCH, SHORT, WINDOW, Pipeline
from drivers.tcflower.runs import each
from tests.drivers.software.kernel import error
from tests.drivers.tcflower.kernel import FakeTcKernel
from tests.drivers.tcflower.telling import filter_message

BLOCK = 5


class NetlinkCase(SynchronousTestCase):
    """Sockets to a kernel of our own, with one device."""

    def setUp(self) -> None:
        """Open them."""
        self.kernel = FakeTcKernel()
        self.reactor: Any = MemoryReactorClock()
        self.device = self.kernel.add("eth1")
        self.pipeline = Pipeline(self.kernel)
        self.pipeline.open(self.reactor)
        self.dumper = Dumper(self.kernel)
        self.dumper.open(self.reactor)
        self.answers: list[tuple[int, str]] = []
        self.ask(qdisc.bind(self.device.index, BLOCK, 0))
        self.pump()
        self.answers.clear()

    def tearDown(self) -> None:
        """Nothing is left open."""
        self.pipeline.close()
        self.dumper.close()
        self.assertEqual(self.kernel.descriptors, {})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def ask(self, request: bytes) -> None:
        """Push a request; its answer is remembered."""
        sequence = self.pipeline.sequence()
        length, kind, flags, _, _ = pack.HEADER.unpack_from(request)
        request = pack.HEADER.pack(length, kind, flags, sequence, 0) + request[16:]
        self.pipeline.push(sequence, request, lambda *answer: self.answers.append(answer))

    def add(self, *numbers: int) -> None:
        """Ask for filters."""
        for number in numbers:
            wanted = Filter.of(0, 1, (Gact(SHOT),), eth_type=0x800, ipv4_dst=number)
            wanted = attrs.evolve(wanted, handle=number, cookie=b"c%d" % number)
            self.ask(pack.new_filter(wanted, BLOCK, pack.NLM_F_CREATE, 0))

    def pump(self) -> None:
        """Be the reactor until there is nothing more to do."""
        while self.kernel.turn(self.reactor) or self.reactor.getDelayedCalls():
            self.reactor.advance(0)

    def dump(self) -> Any:
        """Ask for a dump; what it says, by handle, and when it is complete."""
        found: dict[int, Reading] = {}
        reader = Reader()

        def take(data: bytes, at: int, length: int) -> None:
            reading = reader.read(data, at, length)
            if reading is not None:
                found[reading.handle] = reading

        return found, self.dumper.dump(lambda n: pack.dump_filters(BLOCK, n), each(take))


class PipelineTests(NetlinkCase):
    """Requests and acknowledgements."""

    def test_many(self) -> None:
        """Many requests are one call, and each is answered once, in order."""
        self.add(*range(1, 501))
        self.assertEqual(self.answers, [])
        self.reactor.advance(0)
        self.assertEqual(len(self.kernel.blocks[BLOCK]), WINDOW)
        self.assertEqual(self.kernel.calls, 1 + WINDOW // BATCH)
        self.pump()
        self.assertEqual(self.answers, [(0, "")] * 500)
        self.assertEqual(len(self.kernel.blocks[BLOCK]), 500)
        self.assertTrue(self.pipeline.idle)

    def test_refused(self) -> None:
        """An error belongs to its own request, and has the kernel's words."""
        self.kernel.refuse = lambda key: (errno.EINVAL, "not so") if key[2] == 2 else (0, "")
        self.add(1, 2, 3)
        self.pump()
        self.assertEqual(self.answers, [(0, ""), (errno.EINVAL, "not so"), (0, "")])
        self.assertEqual(explain(*self.answers[1]), "Invalid argument: not so")

    def test_one_for_all(self) -> None:
        """Of the requests in one call only the last is acknowledged, and those that fail; who asked
        is told in order."""
        said = 0

        def refuse(key: Any) -> tuple[int, str]:
            return (errno.ENOMEM, "") if key[2] in (3, 64, 70) else (0, "")

        self.kernel.refuse = refuse
        self.add(*range(1, 100))
        take = self.pipeline._take

        def count(data: bytes, whole: bool) -> None:
            nonlocal said
            said += 1
            take(data, whole)

        self.patch(self.pipeline, "_take", count)
        self.pump()
        failed = [n for n, (code, _) in enumerate(self.answers, 1) if code]
        self.assertEqual((len(self.answers), failed), (99, [3, 64, 70]))
        self.assertEqual(said, 4)

    def test_lost(self) -> None:
        """When what the kernel says is lost, what has come counts, and whoever waited for the rest
        is told that nobody knows, though a later request was acknowledged."""
        self.kernel.room = 10
        self.kernel.refuse = lambda key: (errno.ENOMEM, "") if key[2] % 2 else (0, "")
        self.add(*range(1, 65))
        self.pump()
        self.assertEqual(len(self.answers), 64)
        self.assertEqual(self.answers.count((errno.ENOMEM, "")), 10)
        self.assertEqual((self.pipeline.lost, self.pipeline.idle), (54, True))
        self.assertEqual(self.answers.count((LOST, "")), 54)
        self.assertEqual(len(self.kernel.blocks[BLOCK]), 32)
        self.add(100)
        self.pump()
        self.assertEqual(self.answers[-1], (0, ""))

    def test_pace(self) -> None:
        """A kernel that is slow is asked less at once, so that no call takes long; and more again
        when it is fast again."""
        netlink = next(iter(self.kernel.descriptors.values()))
        send: Any = netlink.send  # type: ignore[attr-defined]
        sizes: list[int] = []

        def slow(data: bytes) -> int:
            sizes.append(sum(1 for _ in messages(data)))
            self.kernel.seconds += 0.005 * sizes[-1] * self.slowness
            done: int = send(data)
            return done

        netlink.send = slow  # type: ignore[attr-defined]
        self.slowness = 1.0
        self.add(*range(1, 201))
        self.pump()
        self.assertLessEqual(sizes[-2], 5)
        self.slowness = 0.0
        self.add(*range(201, 801))
        self.pump()
        self.assertGreater(max(sizes[-12:]), 60)

    def hold_calls(self) -> list[Callable[[], None]]:
        """Have calls return when the test says so, after they were made: those that were."""
        returns: list[Callable[[], None]] = []

        def call(function: Callable[..., object], *arguments: object) -> Deferred[object]:
            done: Deferred[object] = Deferred()
            returns.append(partial(done.callback, function(*arguments)))
            return done

        self.patch(self.pipeline._worker, "call", call)
        return returns

    def slow_down(self, seconds: float) -> Any:
        """Have each request take so many seconds from now on; returns the socket."""
        netlink: Any = next(iter(self.kernel.descriptors.values()))
        send = netlink.send

        def slow(data: bytes) -> int:
            self.kernel.seconds += seconds * sum(1 for _ in messages(data))
            done: int = send(data)
            return done

        netlink.send = slow
        self.add(1)
        self.pump()
        self.answers.clear()
        return netlink

    def test_beside_the_reactor(self) -> None:
        """Calls that will take a while are made in a thread, others at once."""
        for seconds, threaded in ((0.0, 0), (SHORT / 2, 2)):
            self.slow_down(seconds)
            before = self.kernel.threaded
            self.add(*range(2, 101))
            self.pump()
            self.assertEqual(self.kernel.threaded - before, threaded)
            self.assertEqual(self.answers, [(0, "")] * 99)

    def test_answered_before_it_returns(self) -> None:
        """What the kernel says counts before we know that the call has returned, and nothing is
        sent until then."""
        self.slow_down(SHORT)
        returns = self.hold_calls()
        self.add(2, 3)
        self.pump()
        self.assertEqual(self.answers, [(0, "")] * 2)
        self.add(4)
        self.pump()
        self.assertEqual((len(self.answers), len(returns)), (2, 1))
        returns[0]()
        self.pump()
        self.assertEqual((len(self.answers), len(returns)), (3, 2))

    def test_lost_while_sending(self) -> None:
        """What is lost while a call is being made is lost, and what the call itself could not send
        is not sent again by us, too."""
        netlink = self.slow_down(SHORT)

        def refuse(data: bytes) -> int:
            netlink.queue.append(error(errno.ENOBUFS))
            raise error(errno.EMSGSIZE)

        send, netlink.send = netlink.send, refuse
        returns = self.hold_calls()
        self.add(2, 3, 4)
        self.pump()
        self.assertEqual(self.answers, [(LOST, "")] * 3)
        netlink.send = send
        returns[0]()
        self.pump()
        self.assertEqual([key[2] for key in self.kernel.blocks[BLOCK]], [1])
        self.assertEqual(len(self.answers), 3)

    def test_closed_while_sending(self) -> None:
        """After it was closed nothing comes of a call that was being made."""
        self.slow_down(SHORT)
        self.add(2, 3)
        self.reactor.advance(0)
        self.pipeline.close()
        self.pump()
        self.assertEqual(self.answers, [])

    def test_not_sent(self) -> None:
        """What the socket does not take at all is answered with its error."""
        netlink: Any = next(iter(self.kernel.descriptors.values()))

        def refuse(data: bytes) -> int:
            raise error(errno.EPERM)

        netlink.send = refuse
        self.add(1, 2)
        self.pump()
        self.assertEqual(self.answers, [(errno.EPERM, "")] * 2)

    def test_too_large(self) -> None:
        """What does not fit into the send buffer is sent in smaller pieces, in order."""
        netlink: Any = next(iter(self.kernel.descriptors.values()))
        send = netlink.send

        def small(data: bytes) -> int:
            if sum(1 for _ in messages(data)) > 3:
                raise error(errno.EMSGSIZE)
            done: int = send(data)
            return done

        netlink.send = small
        self.add(*range(1, 21))
        self.pump()
        self.assertEqual(self.answers, [(0, "")] * 20)
        self.assertEqual([key[2] for key in self.kernel.blocks[BLOCK]], list(range(1, 21)))

    def test_closed(self) -> None:
        """After it was closed nothing is answered, and it can be closed by an answer."""
        self.add(1, 2, 3)
        sequence = self.pipeline.sequence()
        self.pipeline.push(
            sequence,
            pack.HEADER.pack(36, qdisc.RTM_DELQDISC, 5, sequence, 0) + bytes(20),
            lambda code, text: self.pipeline.close(),
        )
        self.add(4)
        self.pump()
        self.assertEqual(self.answers, [(0, "")] * 3)


class DumperTests(NetlinkCase):
    """Dumps."""

    def test_dump(self) -> None:
        """A dump says of every filter where it is, whose, and what it has counted."""
        self.add(*range(1, 101))
        self.pump()
        installed = self.kernel.blocks[BLOCK][0, 1, 7]
        self.kernel.hit(installed, 3, 300)
        installed.age = 150
        found, done = self.dump()
        self.pump()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(len(found), 100)
        self.assertEqual(found[7], Reading(0, 1, 7, b"c7", 3, 300, 0, 0, 1.5, 8, 0))

    def test_one_after_another(self) -> None:
        """Several dumps are answered one after another."""
        self.add(1, 2)
        self.pump()
        (one, first), (two, second) = self.dump(), self.dump()
        self.pump()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual((sorted(one), sorted(two)), ([1, 2], [1, 2]))

    def test_interrupted(self) -> None:
        """A dump in which something was lost is begun again."""
        self.add(1, 2)
        self.pump()
        found, done = self.dump()
        netlink = self.kernel.descriptors[max(self.kernel.descriptors)]
        netlink.queue.appendleft(error(errno.ENOBUFS))
        calls = self.kernel.calls
        self.pump()
        self.successResultOf(done)
        self.assertEqual(sorted(found), [1, 2])
        self.assertEqual(self.kernel.calls, calls + 1)

    def test_closed(self) -> None:
        """When it is closed, dumps fail: the one that was begun, those that wait for it, one that
        somebody asks for who is told so, and one that is asked for later."""
        self.add(1, 2)
        self.pump()
        (_, first), (_, second) = self.dump(), self.dump()
        third: list[Any] = []

        def again(failure: Any) -> Any:
            third.append(self.dump()[1])
            return failure

        first.addErrback(again)
        self.dumper.close()
        for done in (first, second, third[0], self.dump()[1]):
            self.assertEqual(self.failureResultOf(done, OSError).value.errno, errno.ECANCELED)
        self.dumper.close()


class ReaderTests(SynchronousTestCase):
    """Messages of dumps."""

    def test_cut(self) -> None:
        """Whatever is missing of a message, or wrong in it, reading it does not fail."""
        kernel = FakeTcKernel()
        wanted = Filter.of(0, 1, (Gact(SHOT),), eth_type=0x800)
        block: Any = {}
        data = pack.new_filter(wanted, BLOCK, 0, 0)
        kernel.install(block, (0, 1, 1), 0, data)
        whole = filter_message(block[0, 1, 1], BLOCK)
        reader = Reader()
        for length in range(pack.FIRST, len(whole)):
            reader.read(whole[:length], 0, length)
            reader.read(whole[:length] + bytes(len(whole) - length), 0, len(whole))
        self.assertEqual(
            reader.read(whole, 0, len(whole)), Reading(0, 1, 1, b"", 0, 0, 0, 0, 0.0, 8, 0)
        )
        other = whole.replace(b"flower\0", b"matchal")
        self.assertIsNone(reader.read(other, 0, len(other)))
