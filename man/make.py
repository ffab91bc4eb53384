"""Writes the manual pages: ``make man``.

What the agent's own declarations say is not written twice: the page of the configuration comes from
its schema (:mod:`agent.admin.schema`), that of ``ofagentctl`` from its parser; :mod:`man.declared`
reads both.  The pages are kept
beside this file, so that nobody needs Python to read them, and a test compares.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import agent
from agent.admin.config import Config
from agent.admin.schema import Key, describe
from agent.ctl.parser import EPILOG, make_parser
from man.declared import commands, facts, options, title, usage

DIRECTORY: Final = Path(__file__).parent

_OFAGENT: Final = r"""
.SH NAME
ofagent \- OpenFlow switch agent for slow hardware
.SH SYNOPSIS
.B twistd
.RI [ "options of twistd" ]
.B ofagent
.RB [ \-\-config
.IR FILE ]
.RB [ \-\-check\-config ]
.SH DESCRIPTION
.B ofagent
is a plugin of
.BR twistd .
It makes of this host an OpenFlow 1.0 and 1.3 switch, or several.
Requests of controllers wait for the hardware, which may be slow; the agent does not.
A barrier is answered when everything before it has been done, and said to be done, by the hardware.
.PP
It logs to standard output with
.BR \-\-nodaemon .
.SH OPTIONS
.TP
.BI \-c\  FILE ,\  \-\-config= FILE
The configuration, see
.BR ofagent.toml (5).
.TP
.B \-\-check\-config
Say what is wrong with the configuration, and exit: 0 if it is right, else 1.
.TP
.B \-\-version
Show the version, and exit.
.SH SIGNALS
.TP
.B SIGHUP
Read the configuration, certificates and keys again.
When something is wrong with them, a line in the log says what, and nothing changes.
Otherwise no more changes than has to: connections and rules that are still wanted stay.
If it was started at a terminal which is gone, it stops instead.
.TP
.BR SIGTERM ,\  SIGINT
Stop: connections are closed, and operations in flight end, in bounded time.
.SH ENVIRONMENT
.TP
.BR NOTIFY_SOCKET ,\  WATCHDOG_USEC
Set by
.BR systemd (1),
which is told when the agent is ready, alive and stopping.
.SH CAPABILITIES
The drivers
.I asic
and
.I software
with ports of type
.I memory
need none.
Ports of type
.I netdev
need CAP_NET_RAW and CAP_NET_ADMIN; ports of type
.IR tap ,
in-band control and the driver
.I tcflower
need CAP_NET_ADMIN.
.SH EXIT STATUS
0 if it was stopped; 1 if it could not start, with a line on standard error that says why.
.SH FILES
.TP
.I /etc/ofagent/ofagent.toml
The configuration.
.TP
.I /run/ofagent/ofagent.ctl
The control socket, for
.BR ofagentctl (8)
and
.BR ovs\-appctl (8),
where the configuration says so.
.SH SEE ALSO
.BR ofagentctl (8),
.BR ofagent.toml (5),
.BR ovs\-ofctl (8),
.BR twistd (1)
"""


def escape(text: str) -> str:
    """A text that roff leaves alone."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def _head(name: str, section: int) -> str:
    return (
        '.\\" Made by "make man".\n'
        f'.TH {escape(name.upper())} {section} "" "ofagent {agent.__version__}" "ofagent"\n'
    )


def ofagent() -> str:
    """The page of the agent."""
    return _head("ofagent", 8) + _OFAGENT.lstrip("\n")


def configuration() -> str:
    """The page of the configuration."""
    return _head("ofagent.toml", 5) + "".join(f"{line}\n" for line in _configuration())


def _configuration() -> Iterator[str]:
    yield ".SH NAME"
    yield "ofagent.toml \\- configuration of ofagent"
    yield ".SH DESCRIPTION"
    yield "A TOML file.  Nothing in it is ignored: an unknown key or a wrong value is an error,"
    yield "which is told in one line with its place and what is allowed.  Relative paths are"
    yield "relative to the directory of the file, those of sockets to"
    yield ".IR run_dir ."
    for way, keys in describe(Config):
        shown = f"[{way}] and [[{way}]]" if way else ""
        yield f'.SH "{escape(title(way) if shown else "TOP LEVEL")}"'
        for key in keys:
            yield from _key(key)
    yield ".SH SEE ALSO"
    yield ".BR ofagent (8),"
    yield ".BR ofagentctl (8)"


def _key(key: Key) -> Iterator[str]:
    yield ".TP"
    yield f".B {escape(key.name)}"
    yield from map(escape, facts(key))


def control() -> str:
    """The page of ofagentctl."""
    return _head("ofagentctl", 8) + "".join(f"{line}\n" for line in _control(make_parser()))


def _control(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield ".SH NAME"
    yield "ofagentctl \\- look at a running OpenFlow agent, and tell it what to do"
    yield ".SH SYNOPSIS"
    yield ".B ofagentctl"
    yield ".RB [ \\-t"
    yield ".IR PATH ]"
    yield ".I COMMAND"
    yield ".RI [ ARGUMENT ...]"
    yield ".SH OPTIONS"
    yield from _options(parser)
    yield ".SH COMMANDS"
    for name, text, command in commands(parser):
        yield f'.SS "{escape(usage(name, command))}"'
        yield escape(text)
        yield from _options(command)
    yield ".SH EXIT STATUS"
    yield escape(EPILOG.partition(":")[2].strip())
    yield ".SH SEE ALSO"
    yield ".BR ofagent (8),"
    yield ".BR ofagent.toml (5)"


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for names, text in options(parser):
        yield ".TP"
        yield f".B {escape(names)}"
        yield escape(text)


PAGES: Final = {"ofagent.8": ofagent, "ofagent.toml.5": configuration, "ofagentctl.8": control}


def main(arguments: Sequence[str] = ()) -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DIRECTORY / name).write_text(page())


if __name__ == "__main__":
    main()
