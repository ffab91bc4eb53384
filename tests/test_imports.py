"""Who may import whom: the rules that keep the layers of the agent apart.

``agent.openflow`` and ``agent.packet`` are the ground, and pure.  ``agent.ofproto`` stands on them
and on the contract of drivers; ``agent.connmgr`` on ``agent.ofproto``; drivers on the ground and
their contract, so that one can be written without knowing the agent's inside.  The reactor is
always a parameter.
"""

from __future__ import annotations

import ast

from twisted.trial.unittest import SynchronousTestCase

from tests.importing import Import, circle, imports, module_of, sources, within

ALLOWED = {
    "agent.openflow": ("agent.openflow", "agent.packet"),
    "agent.packet": ("agent.openflow", "agent.packet"),
    "agent.ofproto": (
        "agent.ofproto",
        "agent.openflow",
        "agent.packet",
        "drivers.abilities",
        "drivers.interfaces",
    ),
    "agent.connmgr": ("agent.connmgr", "agent.ofproto", "agent.openflow"),
    "agent.admin": ("agent", "drivers.abilities", "drivers.interfaces"),
    "drivers": ("drivers", "agent.openflow", "agent.packet"),
}
"""What each package may import of this project."""

PURE = ("agent.openflow", "agent.packet")
"""They import nothing of Twisted."""

NO_REACTOR = {
    "agent.ofproto": (
        "twisted.internet.defer",
        "twisted.internet.interfaces",
        "twisted.logger",
        "twisted.python.failure",
    ),
}
"""All that they may import of Twisted: time comes in as a clock."""

TOP = ("agent.bridge", "agent.tap")
"""They tie the rest together, and the rest does not know them."""

REACTOR_ALLOWED = {"agent.tap": 1}
"""How often a module may name the global reactor: twistd gives makeService none."""


def broken_rules(module: str, found: Import, modules: frozenset[str]) -> list[str]:
    """The rules that an import of a module breaks, in words."""
    broken = []
    layer = next((package for package in ALLOWED if within(module, [package])), None)
    target = module_of(found.name, modules)
    if target is not None and layer is not None and target not in ("agent", "drivers"):
        if not within(target, ALLOWED[layer]):
            broken.append(f"{layer} may not import {target}")
        if within(target, TOP):
            broken.append(f"only the outside may import {target}")
    for_tests = ["drivers.testing"]
    if target is not None and within(target, for_tests) and not within(module, for_tests):
        broken.append("drivers.testing is for tests")
    if within(found.name, ["twisted"]):
        if within(module, PURE):
            broken.append(f"{layer} may not import Twisted")
        allowed = NO_REACTOR.get(layer or "")
        if allowed is not None and not found.typing and not within(found.name, allowed):
            broken.append(f"{layer} may import of Twisted only {', '.join(allowed)}")
    if within(found.name, ["twisted.internet.reactor"]):
        broken.append("the reactor is a parameter")
    return broken


class RulesTests(SynchronousTestCase):
    """The rules, on the modules there are."""

    def setUp(self) -> None:
        """Parse them all."""
        self.sources = sources("agent", "drivers", "twisted")
        self.modules = frozenset(self.sources)

    def test_layers(self) -> None:
        """No module imports what its layer may not."""
        broken = [
            f"{module}:{found.line}: {rule}"
            for module, tree in self.sources.items()
            for found in imports(tree)
            for rule in broken_rules(module, found, self.modules)
        ]
        self.assertEqual(broken, [])

    def test_no_circles(self) -> None:
        """No module needs itself to be imported, by whatever way round."""
        graph = {
            module: [
                target
                for found in imports(tree)
                if found.eager and (target := module_of(found.name, self.modules)) is not None
            ]
            for module, tree in self.sources.items()
        }
        self.assertEqual(circle(graph), [])

    def test_reactor_by_name(self) -> None:
        """Nor is the reactor fetched by its name, but in the one place that must."""
        counts = {
            module: sum(
                isinstance(node, ast.Constant) and node.value == "twisted.internet.reactor"
                for node in ast.walk(tree)
            )
            for module, tree in self.sources.items()
        }
        self.assertEqual({name: n for name, n in counts.items() if n}, REACTOR_ALLOWED)

    def test_no_greedy_range(self) -> None:
        """construct's GreedyRange is not used: it swallows every exception of its items."""
        users = [
            module
            for module, tree in self.sources.items()
            for node in ast.walk(tree)
            if (isinstance(node, ast.Name) and node.id == "GreedyRange")
            or (isinstance(node, ast.Attribute) and node.attr == "GreedyRange")
            or (isinstance(node, ast.alias) and node.name == "GreedyRange")
        ]
        self.assertEqual(users, [])

    def test_plugins(self) -> None:
        """A plugin, which every twistd of the host loads, imports none of what it names."""
        plugins = [module for module in self.modules if within(module, ["twisted.plugins"])]
        self.assertIn("twisted.plugins.ofagent_plugin", plugins)
        pending, ours = plugins, set()
        while pending:
            for found in imports(self.sources[pending.pop()]):
                target = module_of(found.name, self.modules)
                if found.eager and target is not None and target not in ours:
                    ours.add(target)
                    pending.append(target)
        self.assertEqual(ours, {"drivers.plugin"})
        named = [
            node.value
            for node in ast.walk(self.sources["twisted.plugins.ofagent_plugin"])
            if isinstance(node, ast.Constant)
        ]
        self.assertIn("agent.tap", named)


class CheckerTests(SynchronousTestCase):
    """The checks find what they look for."""

    MODULES = frozenset(
        {
            "agent",
            "agent.admin.config",
            "agent.bridge",
            "agent.connmgr.target",
            "agent.ofproto.rule",
            "agent.openflow.match",
            "agent.tap",
            "drivers",
            "drivers.asic.driver",
            "drivers.interfaces",
            "drivers.testing.fakes",
        }
    )

    def test_forbidden(self) -> None:
        """Each of these breaks a rule."""
        for module, name in [
            ("agent.openflow.match", "agent.ofproto.rule.Rule"),
            ("agent.openflow.match", "twisted.logger.Logger"),
            ("agent.packet.key", "twisted"),
            ("agent.packet.key", "drivers.interfaces"),
            ("agent.ofproto.rule", "agent.connmgr.target"),
            ("agent.ofproto.rule", "drivers.asic.driver"),
            ("agent.ofproto.rule", "twisted.internet.task.Clock"),
            ("agent.connmgr.target", "agent.admin.config"),
            ("agent.connmgr.target", "drivers.interfaces"),
            ("agent.admin.config", "agent.bridge.Bridge"),
            ("agent.admin.config", "drivers.asic.driver"),
            ("drivers.asic.driver", "agent.ofproto.rule"),
            ("drivers.asic.driver", "agent.connmgr.target.Target"),
            ("drivers.asic.driver", "drivers.testing.fakes"),
            ("agent.bridge", "twisted.internet.reactor"),
            ("agent.bridge", "drivers.testing.fakes.FakeHost"),
        ]:
            rules = broken_rules(module, Import(name, 1), self.MODULES)
            self.assertEqual(len(rules) > 0, True, f"{module} imports {name}")

    def test_allowed(self) -> None:
        """None of these does."""
        for module, name in [
            ("agent.openflow.match", "construct.Struct"),
            ("agent.packet.key", "agent.openflow.match.Match"),
            ("agent.ofproto.rule", "drivers.interfaces.IDriver"),
            ("agent.ofproto.rule", "twisted.internet.defer.Deferred"),
            ("agent.connmgr.target", "agent.ofproto.rule"),
            ("agent.connmgr.target", "twisted.internet.protocol.Protocol"),
            ("agent.admin.config", "agent.connmgr.target"),
            ("agent.admin.config", "agent.__version__"),
            ("agent.tap", "drivers.asic.driver"),
            ("agent.tap", "agent.bridge"),
            ("drivers.asic.driver", "drivers.interfaces.IDriver"),
            ("drivers.asic.driver", "twisted.internet.task.LoopingCall"),
        ]:
            self.assertEqual(
                broken_rules(module, Import(name, 1), self.MODULES), [], f"{module} imports {name}"
            )

    def test_imports(self) -> None:
        """Imports are found at any depth, and what is only for type checkers is told apart."""
        tree = ast.parse(
            "import a.b\n"
            "from c import d, e as f\n"
            "if TYPE_CHECKING:\n"
            "    from g import h\n"
            "else:\n"
            "    import i\n"
            "class C:\n"
            "    import j\n"
            "    def m(self):\n"
            "        try:\n"
            "            import k\n"
            "        finally:\n"
            "            pass\n"
        )
        self.assertEqual(
            list(imports(tree)),
            [
                Import("a.b", 1),
                Import("c.d", 2),
                Import("c.e", 2),
                Import("g.h", 4, False, True),
                Import("i", 6),
                Import("j", 8),
                Import("k", 11, False),
            ],
        )
        self.assertRaises(ValueError, list, imports(ast.parse("from . import x")))

    def test_circle(self) -> None:
        """A circle is found wherever it starts, and is named."""
        self.assertEqual(circle({"a": ["b", "c"], "b": ["c"], "c": []}), [])
        self.assertEqual(circle({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b", "c", "b"])
        self.assertEqual(circle({"a": ["a"]}), ["a", "a"])
