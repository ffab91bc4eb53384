"""What the pages can ask Sphinx for: tables made from the code, diagrams, and interfaces.

::

    ```{generated} conformance.messages
    ```

    ```{diagram} What it shows
    box a 0 0 A
    ```

A page that would fetch something from elsewhere when it is looked at is a warning, and so an error.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from docs.diagram import DiagramError, svg
from docs.interfaces import describe

_log = logging.getLogger(__name__)

_FETCHED: Final = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//"""
    r"""|<link\b[^>]*\brel=["'](?:stylesheet|preload|preconnect|icon)["'][^>]*"""
    r"""\bhref=["'](?:https?:)?//|@import\s|url\(["']?(?:https?:)?//"""
)
"""What makes a browser fetch something from another host."""


class Generated(SphinxDirective):
    """The Markdown that a function of this package returns: ``MODULE.FUNCTION``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make it, and read it as part of the page."""
        module, _, function = self.arguments[0].rpartition(".")
        lines: list[str] = getattr(import_module(f"docs.{module}"), function)()
        found = nodes.Element()
        text = StringList(lines, source=f"docs.{self.arguments[0]}")
        self.state.nested_parse(text, self.content_offset, found, match_titles=True)
        return list(found.children)


class Interfaces(SphinxDirective):
    """The interfaces of a module (:mod:`docs.interfaces`)."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make reST of them, and read it."""
        found = nodes.Element()
        text = StringList(describe(self.arguments[0]), source=self.arguments[0])
        self.state.nested_parse(text, self.content_offset, found)
        return list(found.children)


class Diagram(Directive):
    """A diagram (:mod:`docs.diagram`), in the page itself."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        try:
            drawn = svg("\n".join(self.content), self.arguments[0])
        except DiagramError as error:
            raise self.error(str(error)) from error
        return [nodes.raw("", f'<div class="diagram">{drawn}</div>', format="html")]


def check_pages(app: Sphinx, exception: Exception | None) -> None:
    """Warn of every page that needs another host."""
    for path in sorted(Path(app.outdir).rglob("*")):
        if exception is None and path.suffix in (".html", ".css"):
            found = _FETCHED.search(path.read_text())
            if found is not None:
                _log.warning("%s fetches from elsewhere: %s", path.name, found[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("generated", Generated)
    app.add_directive("diagram", Diagram)
    app.add_directive("interfaces", Interfaces)
    app.connect("build-finished", check_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
