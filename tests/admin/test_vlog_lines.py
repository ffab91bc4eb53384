"""Tests of :mod:`agent.admin.vlog_lines`."""

from __future__ import annotations

import enum
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.vlog_levels import Level
from agent.admin.vlog_lines import (
    HIDDEN,
    MAX_ITEMS,
    MAX_TEXT,
    Line,
    as_json,
    as_syslog,
    as_text,
    line_of,
)

TIME = 1767225600.1239
"""2026-01-01T00:00:00.1239Z."""


def event(form: str = "hello", level: LogLevel = LogLevel.info, **keys: Any) -> LogEvent:
    """An event, as a logger of the connection manager emits it."""
    return {
        "log_namespace": "agent.connmgr.ofconn",
        "log_level": level,
        "log_format": form,
        "log_time": TIME,
        "log_source": None,
        "log_logger": None,
        **keys,
    }


def text_of(*args: Any, **keys: Any) -> str:
    """The text of such an event's line."""
    return line_of(event(*args, **keys)).text


def json_of(*args: Any, **keys: Any) -> Any:
    """Such an event as a JSON line, decoded."""
    line = as_json(line_of(event(*args, **keys)), 12)
    assert "\n" not in line
    return json.loads(line)


class Colour(enum.IntEnum):
    """Something with a name and a number."""

    RED = 1


class Broken:
    """Something that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class ContextTests(SynchronousTestCase):
    """What a line is about, for machines."""

    def test_bridge(self) -> None:
        """Who knows the connection knows the bridge; a bridge that is named is not replaced, and
        a client of the control socket has none."""
        found = json_of("{connection}: x", connection="br0<->tcp:192.0.2.1:6653", xid=7)
        self.assertEqual((found["bridge"], found["xid"]), ("br0", 7))
        self.assertEqual(found["connection"], "br0<->tcp:192.0.2.1:6653")
        found = json_of("x", connection="br0<->unix#1", bridge="br1")
        self.assertEqual(found["bridge"], "br1")
        self.assertNotIn("bridge", json_of("{connection}: x", connection="unix#1"))


class TextTests(SynchronousTestCase):
    """Lines for people."""

    def test_text(self) -> None:
        """A line looks as in Open vSwitch."""
        line = line_of(event("{a} and {b}", LogLevel.warn, a=1, b="two"))
        self.assertEqual(as_text(line, 12), "2026-01-01T00:00:00.123Z|00012|connmgr|WARN|1 and two")
        self.assertEqual(as_syslog(line, 12), "00012|connmgr|WARN|1 and two")

    def test_levels(self) -> None:
        """Every level of Twisted has one of Open vSwitch; an event without one is information."""
        for level, name in (
            (LogLevel.critical, "EMER"),
            (LogLevel.error, "ERR"),
            (LogLevel.warn, "WARN"),
            (LogLevel.info, "INFO"),
            (LogLevel.debug, "DBG"),
            (None, "INFO"),
        ):
            self.assertEqual(line_of(event(log_level=level)).level.name, name)

    def test_context(self) -> None:
        """A line says which connection, or else which bridge, it is about, once."""
        name = "br0<->tcp:127.0.0.1:6653"
        self.assertEqual(text_of("gone", connection=name), f"{name}: gone")
        self.assertEqual(text_of("{connection}: gone", connection=name), f"{name}: gone")
        self.assertEqual(text_of("gone", connection=name, bridge="br0"), f"{name}: gone")
        self.assertEqual(text_of("gone", bridge="br0"), "br0: gone")
        self.assertEqual(text_of("{bridge} is gone", bridge="br0"), "br0 is gone")
        self.assertEqual(text_of("gone", bridge=None), "gone")

    def test_xid(self) -> None:
        """A line says which request it is about, once."""
        self.assertEqual(text_of("refused", xid=0x47), "refused (xid=0x47)")
        self.assertEqual(text_of("request {xid:#x} refused", xid=0x47), "request 0x47 refused")

    def test_one_line(self) -> None:
        """What came from outside neither breaks lines nor controls a terminal."""
        self.assertEqual(
            text_of("{what}", what="a\r\nb\x1b[2J\x00\u2028\ud800"),
            "a\\r\\nb\\x1b[2J\\x00\\u2028\\ud800",
        )
        self.assertEqual(text_of("gr\u00fc\u00dfe\n"), "gr\u00fc\u00dfe")

    def test_bounded(self) -> None:
        """A long text is cut, and says so."""
        text = text_of("{what}", what="x" * (MAX_TEXT + 10))
        self.assertEqual(text, "x" * MAX_TEXT + "... (10 more characters)")

    def test_cannot_be_formatted(self) -> None:
        """An event that cannot be formatted, or whose values cannot be printed, still gives a
        line."""
        for broken in (
            event("{missing}"),
            event("{what}", what=Broken()),
            event("gone", connection=Broken()),
            event("{", a=1),
        ):
            self.assertTrue(as_text(line_of(broken), 1))
            self.assertTrue(as_json(line_of(broken), 1))

    def test_traceback(self) -> None:
        """A failure's traceback follows, each of its lines begun with a tab."""
        failure = Failure(RuntimeError("oops\x1b"))
        head, *below = as_text(line_of(event("it failed", log_failure=failure)), 1).splitlines()
        self.assertTrue(head.endswith("|it failed"))
        self.assertTrue(below[-1].endswith("RuntimeError: oops\\x1b"))
        self.assertTrue(all(line.startswith("\t") for line in below))

    def test_failure_without_text(self) -> None:
        """A failure that was logged without a word speaks for itself."""
        line = line_of(event(log_format=None, log_failure=Failure(RuntimeError("oops"))))
        self.assertEqual(line.text, "oops")


class SecretTests(SynchronousTestCase):
    """Secrets, which are not in the log."""

    def test_in_texts(self) -> None:
        """What is named like a secret is hidden, wherever the text comes from."""
        for text, shown in (
            ("GET /events?token=abc123&x=1 HTTP/1.1", f"GET /events?token={HIDDEN}&x=1 HTTP/1.1"),
            ("password: hunter2, more", f"password: {HIDDEN}, more"),
            ('{"secret": "abc def"}', f'{{"secret": "{HIDDEN} def"}}'),
            ("http_token=abc", f"http_token={HIDDEN}"),
            ("Authorization: Basic YWJj", f"Authorization: Basic {HIDDEN}"),
            ("with Bearer abc.def", f"with Bearer {HIDDEN}"),
            (
                "-----BEGIN PRIVATE KEY-----MIIE-----END PRIVATE KEY----- x",
                f"-----BEGIN PRIVATE KEY-----{HIDDEN}-----END PRIVATE KEY----- x",
            ),
            ("token bucket of 5 tokens", "token bucket of 5 tokens"),
            ("cookie=0x5", "cookie=0x5"),
        ):
            self.assertEqual(text_of("{text}", text=text), shown)

    def test_in_keys(self) -> None:
        """A key with such a name is not in a JSON line, at any depth."""
        found = json_of("hello", http_token="abc", options={"password": "x", "name": "y"})
        self.assertEqual(found["http_token"], HIDDEN)
        self.assertEqual(found["options"], {"password": HIDDEN, "name": "y"})

    def test_in_tracebacks(self) -> None:
        """Nor is it in a traceback."""
        failure = Failure(RuntimeError("bad token=abc123"))
        for line in (
            as_text(line_of(event("x", log_failure=failure)), 1),
            as_json(line_of(event("x", log_failure=failure)), 1),
        ):
            self.assertNotIn("abc123", line)


class JsonTests(SynchronousTestCase):
    """Lines for machines."""

    def test_json(self) -> None:
        """An object has the time, the level, the source, the text, and the keys of the event."""
        self.assertEqual(
            json_of("hello", LogLevel.error, bridge="br0", xid=7),
            {
                "time": "2026-01-01T00:00:00.123Z",
                "sequence": 12,
                "level": "error",
                "module": "connmgr",
                "namespace": "agent.connmgr.ofconn",
                "text": "br0: hello (xid=0x7)",
                "bridge": "br0",
                "xid": 7,
            },
        )

    def test_values(self) -> None:
        """Values keep their kind as far as JSON has it; others are shown as texts."""
        found = json_of(
            a=None,
            b=True,
            c=1.5,
            d=float("nan"),
            e=b"\x01\xff",
            f=Colour.RED,
            g=[1, (2, {3})],
            h={1: "x"},
            i=Level.WARN,
        )
        self.assertEqual(
            {name: found[name] for name in "abcdefgh"},
            {
                "a": None,
                "b": True,
                "c": 1.5,
                "d": "nan",
                "e": "01ff",
                "f": str(Colour.RED),
                "g": [1, [2, [3]]],
                "h": {"1": "x"},
            },
        )
        self.assertIsInstance(found["i"], str)

    def test_bounded(self) -> None:
        """Long lists and deep ones are cut."""
        deep: list[Any] = []
        deep.append(deep)
        found = json_of(long=list(range(1000)), deep=deep, data=b"x" * 100_000)
        self.assertEqual(found["long"], list(range(MAX_ITEMS)))
        self.assertEqual(found["deep"], [[["[[...]]"]]])
        self.assertEqual(len(found["data"]), MAX_TEXT)

    def test_names_taken(self) -> None:
        """A key of an event does not replace what every line has."""
        found = json_of("hello", text="other", time=3)
        self.assertEqual((found["text"], found["text_"], found["time_"]), ("hello", "other", 3))

    def test_traceback(self) -> None:
        """A failure's traceback is a member."""
        found = json_of("it failed", log_failure=Failure(RuntimeError("oops")))
        self.assertIn("RuntimeError: oops", found["traceback"])

    @given(st.text(), st.dictionaries(st.text(), st.recursive(st.none() | st.text(), st.lists)))
    def test_any_event(self, text: str, keys: dict[str, Any]) -> None:
        """Any event is one line of JSON, and a line of text that is printable."""
        given_event = event("{log_text}", log_text=text, **{"x" + key: keys[key] for key in keys})
        line = line_of(given_event)
        self.assertIsInstance(line, Line)
        self.assertTrue(as_text(line, 1).isprintable())
        found = json.loads(as_json(line, 1))
        self.assertEqual(len(found), 6 + len(keys))
