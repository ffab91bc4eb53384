"""Tests of :mod:`docs.diagram`."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from docs.diagram import DiagramError, svg

SVG = "{http://www.w3.org/2000/svg}"


class DiagramTests(SynchronousTestCase):
    """Lines of text to SVG."""

    def drawn(self, text: str) -> ElementTree.Element:
        """A diagram, parsed."""
        return ElementTree.fromstring(svg(text, "two & three"))

    def test_parts(self) -> None:
        """Boxes, arrows and texts are there; the title is for those who cannot see it."""
        root = self.drawn("box a 0 0 A <x> | second\nbox b 2 0 B\nbox c 2 1 C\na -> b : go\na -> c")
        self.assertEqual(root.findtext(f"{SVG}title"), "two & three")
        self.assertEqual(len(root.findall(f"{SVG}rect")), 3)
        self.assertEqual(len(root.findall(f"{SVG}path")), 2)
        texts = [text.text for text in root.findall(f"{SVG}text")]
        self.assertEqual(texts, ["A <x>", "second", "B", "C", "go"])

    def test_colours(self) -> None:
        """Everything has the colour of the text around it, on whatever ground."""
        root = self.drawn("box a 0 0 A\nbox b 0 1 B\na -> b : x")
        for part in root.iter():
            for kind in ("fill", "stroke"):
                self.assertIn(part.get(kind), (None, "none", "currentColor"))

    def test_back_and_forth(self) -> None:
        """Two arrows between the same boxes lie apart."""
        root = self.drawn("box a 0 0 A\nbox b 0 1 B\na -> b\nb -> a")
        ways = [str(path.get("d")).split()[0] for path in root.findall(f"{SVG}path")]
        self.assertEqual(len(set(ways)), 2)

    def test_corners(self) -> None:
        """An arrow between boxes that are not in line has a corner, or is aslant."""
        for way, steps in (("->", "VH"), ("=>", "S")):
            root = self.drawn(f"box a 0 0 A\nbox b 2 2 B\na {way} b")
            (path,) = root.findall(f"{SVG}path")
            points = [tuple(map(float, p.split())) for p in str(path.get("d"))[1:].split(" L")]
            seen = "".join(
                "V" if here[0] == there[0] else "H" if here[1] == there[1] else "S"
                for here, there in pairwise(points)
            )
            self.assertEqual(seen, steps)

    def test_refused(self) -> None:
        """A line that is none, an arrow to nowhere, and nothing at all are mistakes."""
        for text in ("box a A", "box a 0 0 A\na -> b", ""):
            self.assertRaises(DiagramError, svg, text, "x")
