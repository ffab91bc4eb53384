"""Tests of :mod:`agent.ofproto.meters`."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow.group_messages import (
    METER_ALL,
    METER_CONTROLLER,
    METER_MAX,
    METER_SLOWPATH,
    BandType,
    MeterBand,
    MeterFlags,
    MeterMod,
)
from agent.openflow.messages import RemovedReason
from tests.ofproto.numbered import (
    DROP,
    G_ADD,
    G_DELETE,
    G_MODIFY,
    NumberedTestCase,
    meter_mod,
    metered,
)
from tests.ofproto.stage import ADD, PORT1, PORT2, REFUSED, SEND_FLOW_REM, SwitchTestCase, flow_mod


class CheckTests(NumberedTestCase):
    """What is refused, with which error, and without an effect."""

    def test_command(self) -> None:
        """There are three commands."""
        self.refused(errors.METER_BAD_COMMAND, self.handle, MeterMod(3, 1, 1))

    def test_number(self) -> None:
        """Meters have numbers from 1; those of the virtual ones are not for rules."""
        for number in (0, METER_MAX + 1, METER_SLOWPATH, METER_CONTROLLER, METER_ALL):
            for command in (G_ADD, G_MODIFY):
                self.refused(errors.INVALID_METER, self.handle, meter_mod(command, number, DROP))
        self.do(meter_mod(G_ADD, METER_MAX, DROP))

    def test_virtual(self) -> None:
        """There are no virtual meters: rules cannot name one, and there is nothing to delete."""
        for number in (METER_SLOWPATH, METER_CONTROLLER):
            rule = flow_mod(ADD, instructions=metered(number))
            self.refused(errors.UNKNOWN_METER, self.handle, rule)
            self.assertIsNone(self.handle(meter_mod(G_DELETE, number)))

    def test_exists(self) -> None:
        """What is there cannot be added, and what is not there cannot be modified."""
        self.do(meter_mod(G_ADD, 1, DROP))
        self.refused(errors.METER_EXISTS, self.handle, meter_mod(G_ADD, 1))
        self.refused(errors.UNKNOWN_METER, self.handle, meter_mod(G_MODIFY, 2))

    def test_flags(self) -> None:
        """Unknown flags, and both units at once, are refused; neither unit is KBPS."""
        for flags in (0x10, MeterFlags.KBPS | MeterFlags.PKTPS):
            self.refused(errors.METER_BAD_FLAGS, self.handle, meter_mod(G_ADD, 1, flags=flags))
        self.do(meter_mod(G_ADD, 1, DROP, flags=0))

    def test_bands(self) -> None:
        """There are two kinds of bands, and a meter has so many."""
        unknown = meter_mod(G_ADD, 1, MeterBand(3, 1))
        self.refused(errors.BAD_BAND, self.handle, unknown)
        self.refused(errors.OUT_OF_BANDS, self.handle, meter_mod(G_ADD, 1, DROP, DROP, DROP))
        remark = MeterBand(BandType.DSCP_REMARK, 500, 50, 1)
        self.do(meter_mod(G_ADD, 1, remark, DROP))

    def test_room(self) -> None:
        """There is room for so many; whether there is may depend on what is in flight."""
        for number in (1, 2, 3):
            self.do(meter_mod(G_ADD, number))
        self.refused(errors.OUT_OF_METERS, self.handle, meter_mod(G_ADD, 4))
        group = self.begin(meter_mod(G_DELETE, 2))
        self.assertIs(self.postponed(self.handle, meter_mod(G_ADD, 4)), group)
        self.finish()
        self.do(meter_mod(G_ADD, 4))

    def test_delete_nothing(self) -> None:
        """To delete what is not there does nothing."""
        for number in (1, METER_ALL):
            self.assertIsNone(self.handle(meter_mod(G_DELETE, number)))

    def test_unknown(self) -> None:
        """A rule only names a meter that there is."""
        self.refused(errors.UNKNOWN_METER, self.send, ADD, instructions=metered(1))


class NoneTests(SwitchTestCase):
    """A driver without meters."""

    def test_none(self) -> None:
        """It never sees one."""
        self.refused(errors.OUT_OF_METERS, self.handle, meter_mod(G_ADD, 1))
        self.assertIsNone(self.handle(meter_mod(G_DELETE, METER_ALL)))


class LifeTests(NumberedTestCase):
    """Meters in flight, and who waits for them."""

    def tearDown(self) -> None:
        """In the end everything is settled."""
        self.run_to_end()
        self.assert_settled()
        super().tearDown()

    def test_waits(self) -> None:
        """Whatever is about a meter in flight, or names it, waits."""
        for command in (G_ADD, G_MODIFY, G_DELETE):
            group = self.begin(meter_mod(command, 1, DROP))
            self.assertEqual(self.flight(), [(command.name.lower(), "meter", 1)])
            for later in (G_ADD, G_MODIFY, G_DELETE):
                self.assertIs(self.postponed(self.handle, meter_mod(later, 1)), group)
            self.assertIs(self.postponed(self.send, ADD, instructions=metered(1)), group)
            self.finish()

    def test_modify(self) -> None:
        """A modified meter goes on counting, its bands begin anew; a refusal takes that back."""
        self.do(meter_mod(G_ADD, 1, DROP))
        old = self.switch.meter_mods.table.entries[1]
        old.band_counters[0].packets = old.counters.packets = 5
        group = self.begin(meter_mod(G_MODIFY, 1, flags=MeterFlags.PKTPS))
        new = self.switch.meter_mods.table.entries[1]
        self.assertEqual((new.flags, new.bands), (MeterFlags.PKTPS, ()))
        self.assertIs(new.counters, old.counters)
        self.driver.fail(0, REFUSED)
        self.assertIs(group.error, REFUSED)
        self.assertIs(self.switch.meter_mods.table.entries[1], old)
        self.assertEqual(old.band_counters[0].packets, 5)

    def test_foreign_error(self) -> None:
        """What is not an OpenFlow error is one of meters to the controller."""
        group = self.begin(meter_mod(G_ADD, 1))
        self.driver.fail(0, OSError("gone"))
        assert isinstance(group.error, errors.OpenFlowError)
        self.assertIs(group.error.code, errors.METER_UNKNOWN)

    def test_delete(self) -> None:
        """A meter that goes takes its rules with it, before."""
        for number in (1, 2):
            self.do(meter_mod(G_ADD, number, DROP))
        self.add(PORT1, instructions=metered(1), flags=SEND_FLOW_REM)
        self.add(PORT2, instructions=metered(2))
        self.begin(meter_mod(G_DELETE, 1))
        self.assertEqual([target for _, target, _ in self.flight()], ["rule"])
        self.finish()
        self.assertEqual(self.flight(), [("delete", "meter", 1)])
        self.finish()
        self.assertEqual([m.reason for m in self.observer.removed], [RemovedReason.METER_DELETE])
        self.assertEqual((self.meters, self.matches()), ([2], [PORT2]))

    def test_delete_all(self) -> None:
        """All meters go with all rules that name one."""
        for number in (1, 2):
            self.do(meter_mod(G_ADD, number, DROP))
            self.add(PORT1, priority=number, instructions=metered(number))
        self.add(PORT2)
        self.do(meter_mod(G_DELETE, METER_ALL))
        self.assertEqual((self.meters, self.matches()), ([], [PORT2]))
