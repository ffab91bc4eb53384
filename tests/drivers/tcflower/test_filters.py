"""Tests of :mod:`drivers.tcflower.filters` and :mod:`drivers.tcflower.actions`."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from drivers.tcflower.actions import (
    GOTO_CHAIN,
    PIPE,
    SHOT,
    STOLEN,
    Gact,
    Mirred,
    TunnelKey,
    goto_chain,
)
from drivers.tcflower.filters import KEYS, Filter, Key

HEADER = Path("/usr/include/linux/pkt_cls.h")
DROP = (Gact(SHOT),)


class KeyTests(SynchronousTestCase):
    """What may be compared."""

    def test_numbers(self) -> None:
        """Every key has the number that the kernel's header gives it, and so has its mask."""
        if not HEADER.exists():
            raise SkipTest(f"needs {HEADER} (package linux-libc-dev)")
        body = re.search(r"TCA_FLOWER_UNSPEC,(.*?)__TCA_FLOWER_MAX", HEADER.read_text(), re.S)
        assert body is not None
        names = re.findall(r"TCA_FLOWER_(\w+)", re.sub(r"/\*.*?\*/", "", body[1], flags=re.S))
        numbers = {name: number for number, name in enumerate(names, 1)}
        for kind in KEYS.values():
            name = "KEY_" + kind.name.upper()
            self.assertEqual(kind.attr, numbers.get(name), name)
            self.assertEqual(kind.mask_attr, numbers.get(name + "_MASK"), name)

    def test_fits(self) -> None:
        """Bits of a value fit into its bytes."""
        for kind in KEYS.values():
            self.assertTrue(0 < kind.bits <= 8 * kind.size, kind.name)

    def test_refused(self) -> None:
        """A value which does not fit, or has bits where the mask has none, or a mask where there
        can be none, or an unknown name, is an error."""
        for name, value, mask in [
            ("vlan_id", 0x1000, None),
            ("ip_tos", -1, None),
            ("ipv4_dst", 0x0A000001, 0xFF000000),
            ("ipv4_dst", 0, 1 << 32),
            ("eth_type", 0x800, 0xFFFF),
        ]:
            self.assertRaises(ValueError, Key, name, value, mask)
        self.assertRaises(KeyError, Key, "in_port", 1)


class FilterTests(SynchronousTestCase):
    """Filters as values."""

    def test_same(self) -> None:
        """However it is written, the same filter is the same value."""
        one = Filter.of(0, 1, DROP, eth_type=0x800, ipv4_dst=(0x0A000000, 0xFF000000))
        other = Filter.of(
            0,
            1,
            DROP,
            ipv4_dst=(0x0A00FFFF, 0xFF000000),
            eth_type=(0x800, 0xFFFF),
            eth_src=(0, 0),
        )
        self.assertEqual(one, other)
        self.assertEqual(hash(one), hash(other))
        self.assertEqual(one.key("ipv4_dst"), Key("ipv4_dst", 0x0A000000, 0xFF000000))
        self.assertIsNone(one.key("eth_src"))

    def test_refused(self) -> None:
        """A filter has a place, actions, and no key twice; names and cookies are short."""
        eth = Key("eth_type", 0x800)
        self.assertRaises(ValueError, Filter, 1 << 28, 1, DROP)
        self.assertRaises(ValueError, Filter, 0, 0, DROP)
        self.assertRaises(ValueError, Filter, 0, 0x10000, DROP)
        self.assertRaises(ValueError, Filter, 0, 1, ())
        self.assertRaises(ValueError, Filter, 0, 1, DROP * 33)
        self.assertRaises(ValueError, Filter, 0, 1, DROP, "a" * 16)
        self.assertRaises(ValueError, Filter, 0, 1, DROP, cookie=bytes(17))
        self.assertRaises(ValueError, Filter, 0, 1, DROP, keys=(eth, eth))
        self.assertRaises(ValueError, Filter, 0, 1, DROP, keys=(eth, Key("eth_src", 1)))


class ActionTests(SynchronousTestCase):
    """What actions are when nothing else is said."""

    def test_control(self) -> None:
        """A redirect ends the list, a mirror does not."""
        self.assertEqual(Mirred(1).control, STOLEN)
        self.assertEqual(Mirred(1, mirror=True).control, PIPE)

    def test_goto_chain(self) -> None:
        """A chain is gone to by a control value, if there can be such a chain."""
        self.assertEqual(goto_chain(3), GOTO_CHAIN | 3)
        self.assertRaises(ValueError, goto_chain, 1 << 28)

    def test_release(self) -> None:
        """A tunnel key that says nothing takes the tunnel's data away."""
        self.assertTrue(TunnelKey().release)
        self.assertTrue(TunnelKey(control=STOLEN).release)
        self.assertFalse(TunnelKey(key_id=0).release)
