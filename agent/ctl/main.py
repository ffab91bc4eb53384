"""What ``ofagentctl`` does with its command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from agent.ctl import plot
from agent.ctl.client import Asks, Client, RefusedError, UnreachableError, find_socket
from agent.ctl.parser import ACTIONS, REPORTS, completion, make_parser
from agent.ctl.show import Progress
from agent.ctl.timeline import timeline
from agent.ctl.views import VIEWS

REFUSED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3

POLL: Final = 0.2
"""Seconds between two looks at how far something is."""

CLEAR: Final = "\x1b[H\x1b[2J"
"""Clears a terminal."""

Arguments = argparse.Namespace


class UsageError(Exception):
    """The command line is wrong."""


class Control:
    """Executes one command line.

    :param connect: makes a client; called again where two things are asked at once.
    :param out: where answers are written.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Asks],
        out: TextIO,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connect = connect
        self._client = connect()
        self._out = out
        self._sleep = sleep

    def run(self, arguments: Arguments) -> None:
        """Do what is asked.

        :raises UsageError: when the agent would have to guess what is meant.
        :raises RefusedError: see :class:`agent.ctl.client.Asks`, likewise UnreachableError.
        :raises PlotError: see :mod:`agent.ctl.plot`.
        """
        command = arguments.command
        if command == "asic" and arguments.asic_command == "timeline":
            command = "asic timeline"
        if command in ("status", "bridges", "flows", "why", "asic", *REPORTS):
            if command == "flows" and arguments.follow:
                self._follow(arguments)
            else:
                self._show(arguments)
        elif command == "asic timeline":
            self._draw(arguments)
        elif command in ACTIONS:
            self._tell(ACTIONS[command][0], arguments.bridge)
        elif command == "trace":
            self._say(self._client.ask("ofproto/trace", arguments.bridge, arguments.flow))
        elif command == "fault":
            self._say(self._client.ask("driver/fault", arguments.bridge, *arguments.words))
        elif command == "reload":
            self._say(self._client.ask("ofagent/reload"))
        elif command == "capture":
            self._capture(arguments)
        elif command == "flush":
            self._flush(arguments)
        elif command == "wait":
            self._wait(arguments)
        elif command == "call":
            name = "list-commands" if arguments.name == "help" else arguments.name
            self._say(self._client.ask(name, *arguments.arguments))
        else:
            raise AssertionError(f"nobody does {command}")

    # --- showing -------------------------------------------------------------------------------

    def _show(self, arguments: Arguments) -> None:
        while True:
            data = self._data(arguments)
            if arguments.json:
                text = json.dumps(data) + "\n"
            else:
                view = VIEWS["flows" if arguments.command == "why" else arguments.command]
                text = view(data, not arguments.no_header)
            clear = CLEAR if arguments.watch and self._out.isatty() else ""
            self._say(clear + text)
            if not arguments.watch:
                return
            self._sleep(arguments.watch)

    def _data(self, arguments: Arguments) -> Any:
        command = arguments.command
        if command == "status":
            return {"agent": self._report("agent"), "bridges": self._report("bridges")}
        if command == "bridges":
            return self._report("bridges")
        if command == "flows":
            return self._flows(arguments)
        bridge = self._bridge(arguments)
        if command == "why":
            return self._report("flows", bridge, "state=pending,degraded,ghost", "limit=1000")
        if command == "asic":
            return self._report("driver", bridge)
        return self._report(REPORTS[command][0], bridge)

    def _flows(self, arguments: Arguments, limit: str = "") -> Any:
        # With one bridge, "flows MATCH" is what people type.
        match = arguments.match
        if arguments.bridge and not match and "=" in arguments.bridge:
            arguments.bridge, match = None, arguments.bridge
        words = {
            "match": match,
            "table": arguments.table,
            "text": arguments.text,
            "state": arguments.state,
            "offset": arguments.offset,
            "limit": limit or arguments.limit,
        }
        given = [f"{key}={value}" for key, value in words.items() if value]
        return self._report("flows", self._bridge(arguments), *given)

    def _follow(self, arguments: Arguments) -> None:
        """Show what comes, goes and changes, a line each."""
        known: dict[tuple[int, int, str], dict[str, Any]] | None = None
        pause = arguments.watch or 1.0
        while True:
            found = self._flows(arguments, "10000")
            now: dict[tuple[int, int, str], dict[str, Any]] = {
                (flow["table"], flow["priority"], flow["match"]): flow for flow in found["flows"]
            }
            for key, flow in now.items():
                before = None if known is None else known.get(key)
                if before is None:
                    self._change("" if known is None else "+ ", flow, arguments)
                elif any(before[name] != flow[name] for name in ("actions", "state", "reason")):
                    self._change("~ ", flow, arguments)
            for key, flow in (known or {}).items():
                if key not in now:
                    self._change("- ", flow, arguments)
            known = now
            self._sleep(pause)

    def _change(self, mark: str, flow: dict[str, Any], arguments: Arguments) -> None:
        if arguments.json:
            self._say(json.dumps({"change": mark.strip(), **flow}))
            return
        comma = "," if flow["match"] else ""
        state = f"{flow['state']}: {flow['reason']}" if flow["reason"] else flow["state"]
        self._say(
            f"{mark}table={flow['table']}, priority={flow['priority']},{flow['match']}{comma}"
            f"actions={flow['actions']}  ({state})"
        )

    # --- doing -----------------------------------------------------------------------------------

    def _tell(self, command: str, bridge: str | None) -> None:
        self._say(self._client.ask(command, *([bridge] if bridge else [])))

    def _capture(self, arguments: Arguments) -> None:
        """Begin or end to capture a connection."""
        if bool(arguments.file) == arguments.stop:
            raise UsageError("capture needs either FILE or --stop")
        words = [arguments.bridge, arguments.connection]
        if arguments.stop:
            self._say(self._client.ask("bridge/capture-stop", *words))
        else:
            most = [arguments.megabytes] if arguments.megabytes else []
            self._say(self._client.ask("bridge/capture", *words, arguments.file, *most))

    def _flush(self, arguments: Arguments) -> None:
        """Delete every rule, and say how far that is."""
        bridge = self._bridge(arguments)
        answers: list[str] = []
        errors: list[Exception] = []

        def flush() -> None:
            try:
                answers.append(self._connect().ask("ofproto/flush", bridge))
            except (RefusedError, UnreachableError) as error:
                errors.append(error)

        worker = threading.Thread(target=flush, daemon=True)
        worker.start()
        progress = Progress("deleting rules")
        while worker.is_alive():
            tables = self._report("bridge", bridge)["tables"]
            progress.left(sum(table["rules"] + table["pending"] for table in tables))
            worker.join(POLL)
        progress.left(0)
        progress.close()
        if errors:
            raise errors[0]
        self._say(answers[0])

    def _wait(self, arguments: Arguments) -> None:
        """Wait until nothing is in flight, and nobody waits."""
        bridge = self._bridge(arguments)
        progress = Progress("operations")
        while True:
            found = self._report("bridge", bridge)
            left = found["operations_in_flight"]
            progress.left(left)
            busy = left or found["flushing"] is not None
            if not busy and not self._report("pending", bridge)["postponed"]:
                break
            self._sleep(POLL)
        progress.close()

    # --- drawing ---------------------------------------------------------------------------------

    def _draw(self, arguments: Arguments) -> None:
        """Write a picture of what the hardware did lately.

        :raises PlotError: when it cannot be made.
        """
        plot.check()
        bridge = self._bridge(arguments)
        data = self._report("timeline", bridge)
        found = timeline(data, arguments.last)
        try:
            with open(arguments.file, "wb") as file:
                plot.draw(found, f"{bridge}: {data['hardware']}", file)
        except OSError as error:
            raise plot.PlotError(f"{arguments.file}: {error.strerror or error}") from None

    # --- asking ----------------------------------------------------------------------------------

    def _report(self, what: str, *arguments: str) -> Any:
        return json.loads(self._client.ask("ofagent/report", what, *arguments))

    def _bridge(self, arguments: Arguments) -> str:
        """The bridge that is meant."""
        if arguments.bridge:
            return str(arguments.bridge)
        names = self._report("agent")["bridges"]
        if len(names) != 1:
            raise UsageError(f"name a bridge: {', '.join(names) or 'there are none'}")
        return str(names[0])

    def _say(self, text: str) -> None:
        if text:
            self._out.write(text if text.endswith("\n") else text + "\n")
            self._out.flush()


def check_config(file: str) -> str:
    """What is wrong with a configuration; empty: nothing."""
    # The agent proper is needed for this alone.
    from agent.admin.schema import ConfigError
    from agent.prepare import check

    try:
        check(file)
    except ConfigError as error:
        return str(error)
    return ""


def main(words: Sequence[str] | None = None) -> int:
    """Execute a command line; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(words)
    try:
        if arguments.command == "completion":
            sys.stdout.write(completion(parser))
            return 0
        if arguments.command == "check-config":
            problem = check_config(arguments.file)
            if problem:
                sys.stderr.write(f"ofagentctl: {problem}\n")
                return REFUSED
            sys.stdout.write(f"{arguments.file}: right\n")
            return 0
        path = find_socket(arguments.socket)
        Control(lambda: Client(path), sys.stdout).run(arguments)
    except UsageError as error:
        sys.stderr.write(f"ofagentctl: {error}\n")
        return USAGE
    except (RefusedError, plot.PlotError) as error:
        sys.stderr.write(f"ofagentctl: {error}\n")
        return REFUSED
    except UnreachableError as error:
        sys.stderr.write(f"ofagentctl: {error}\n")
        return UNREACHABLE
    except BrokenPipeError:
        # Whoever reads has seen enough; nothing more can be written, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 0
