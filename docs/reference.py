"""The reference of the configuration, of ``ofagentctl``, the control socket and the metrics.

It comes from where the manual pages come from (:mod:`man.declared`): the declarations themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from agent.admin import coverage
from agent.admin.commands import commands as unixctl_commands
from agent.admin.config import Config
from agent.admin.schema import describe
from agent.admin.unixctl import Command
from agent.admin.vlog import Vlog
from agent.admin.web.lag import ReactorLag
from agent.admin.web.metrics import AgentCollector
from agent.connmgr.settings import Limits
from agent.ctl.parser import make_parser
from docs.table import table
from drivers.plugin import DriverFactory
from drivers.registry import available
from man.declared import commands, facts, options, title, usage


def literal(text: str) -> str:
    """A text that Markdown leaves alone."""
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"\\{char}")
    return text


def configuration() -> list[str]:
    """Every key of every table of ``ofagent.toml``."""
    return list(_configuration())


def _configuration() -> Iterator[str]:
    for way, keys in describe(Config):
        yield f"## {literal(title(way))}" if way else "## Top level"
        yield ""
        for key in keys:
            yield f"`{key.name}`"
            help_, *rest = facts(key)
            yield f": {literal(help_)}"
            yield f"  {literal(' '.join(rest))}"
            yield ""


def control() -> list[str]:
    """Every command of ``ofagentctl``."""
    parser = make_parser()
    lines = []
    for names, help_ in options(parser):
        lines += [f"`{names}`", f": {literal(help_)}", ""]
    for name, help_, command in commands(parser):
        lines += [f"### `{usage(name, command)}`", "", literal(help_), ""]
        for names, text in options(command):
            lines += [f"`{names}`", f": {literal(text)}", ""]
    return lines


class _NoAgent:
    """An agent without bridges: what there would be to ask is known all the same."""

    bridges: Mapping[str, Any] = {}
    run_dir = Path()

    def exit(self) -> None:
        """Nothing is running."""

    def reload(self) -> Deferred[Any]:
        """Nothing is running."""
        raise NotImplementedError


def socket_commands() -> list[str]:
    """Every command of the control socket, as ``list-commands`` shows them."""
    registry = unixctl_commands(_NoAgent(), Clock(), Vlog())
    return [
        "```text",
        *(f"{c.name} {c.usage}".rstrip() for c in sorted(registry, key=_name)),
        "```",
    ]


def _name(command: Command) -> str:
    return command.name


def metrics() -> list[str]:
    """Every metric under ``/metrics`` that is the agent's own."""
    collector = AgentCollector(_NoAgent(), coverage.process, ReactorLag(Clock()))
    return table(
        ("metric", "kind", "what"),
        (
            (
                f"`{found.name}{_ENDINGS.get(found.type, '')}`",
                found.type,
                literal(found.documentation),
            )
            for found in collector.collect()
        ),
    )


_ENDINGS: Final = {"counter": "_total", "info": "_info"}
"""What Prometheus shows behind the name."""


def limits() -> list[str]:
    """What one connection may cost, from :class:`agent.connmgr.settings.Limits`."""
    said = re.findall(r":ivar (\w+): (.+?)(?=\s*:ivar|\Z)", Limits.__doc__ or "", re.DOTALL)
    return table(
        ("limit", "value", "of what"),
        (
            (f"`{name}`", f"{getattr(Limits(), name):,}", literal(" ".join(text.split())))
            for name, text in said
        ),
    )


def _doc_with_options(module: str) -> str:
    """What the module of a driver says, or the one beside it that reads its options."""
    said = import_module(module).__doc__ or ""
    beside = module.rpartition(".")[0] + ".settings"
    if "Options::" not in said and find_spec(beside) is not None:
        said = import_module(beside).__doc__ or ""
    return said


def driver_options() -> list[str]:
    """What the modules of our drivers say of their options."""
    lines = []
    for name, factory in available().items():
        if isinstance(factory, DriverFactory) and factory.module.startswith("drivers."):
            _, _, said = _doc_with_options(factory.module).partition("Options::")
            lines += [f"### `{name}`", "", factory.description, "", "```toml"]
            block = takewhile(lambda line: line[:1] in ("", " "), said.strip("\n").splitlines())
            lines += [*dedent("\n".join(block)).strip().splitlines(), "```", ""]
    return lines
