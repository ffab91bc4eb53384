"""The command line of ``ofagentctl``."""

from __future__ import annotations

import argparse
from typing import Final

import agent

REPORTS: Final = {
    "tables": ("bridge", "the flow tables of a bridge, and how full they are"),
    "connections": ("connections", "controllers and clients, and what each waits for"),
    "pending": ("pending", "what is in flight, and what waits for what"),
    "ports": ("ports", "ports and their counters"),
    "groups": ("groups", "the group table"),
    "meters": ("meters", "the meter table"),
    "driver": ("driver", "the hardware, as its driver knows it"),
}
"""Commands that show one report of one bridge: the report, and their help."""

ACTIONS: Final = {
    "clog": ("ofproto/clog", "halt the hardware"),
    "unclog": ("ofproto/unclog", "let the hardware go on"),
}
"""Commands that do one thing to one bridge, or to all."""

EPILOG: Final = """\
exit status: 0 well; 1 the agent refuses, or something is wrong; 2 the command line is wrong;
3 there is no agent to ask.  The control socket is --socket, or $OFAGENT_CTL, or where the system's
service or "make run" has it."""


def make_parser() -> argparse.ArgumentParser:
    """Everything that can be said."""
    parser = argparse.ArgumentParser(
        prog="ofagentctl",
        description="Look at a running OpenFlow agent, and tell it what to do.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ofagentctl {agent.__version__}")
    parser.add_argument("-t", "--socket", metavar="PATH", help="the control socket")
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="what the agent said, for programs")
    shown.add_argument("--no-header", action="store_true", help="no heads of columns")
    shown.add_argument(
        "--watch",
        metavar="SECONDS",
        type=_seconds,
        nargs="?",
        const=1.0,
        help="show it again and again, every second unless told otherwise",
    )
    bridge = argparse.ArgumentParser(add_help=False)
    bridge.add_argument("bridge", metavar="BRIDGE", nargs="?", help="needed if there are several")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    commands.add_parser("status", parents=[shown], help="the agent and its bridges")
    commands.add_parser("bridges", parents=[shown], help="the bridges")
    for name, (_, text) in REPORTS.items():
        commands.add_parser(name, parents=[shown, bridge], help=text)

    flows = commands.add_parser(
        "flows", parents=[shown, bridge], help="rules, and whether they are in the hardware"
    )
    flows.add_argument("match", metavar="MATCH", nargs="?", help="like ip,nw_dst=10.0.0.0/8")
    flows.add_argument("--table", metavar="N", help="of one table")
    flows.add_argument("--text", help="that contain a text")
    flows.add_argument("--state", help="installed, pending, degraded, ghost; with commas between")
    flows.add_argument("--offset", metavar="N", default="0", help="pass over so many")
    flows.add_argument("--limit", metavar="N", default="100", help="show so many (100)")
    flows.add_argument("--follow", action="store_true", help="go on, and show what changes")
    commands.add_parser(
        "why", parents=[shown, bridge], help="rules that are not in the hardware, and why"
    )

    asic = commands.add_parser("asic", help="the simulated ASIC")
    asic_commands = asic.add_subparsers(dest="asic_command", metavar="COMMAND", required=True)
    asic_commands.add_parser("show", parents=[shown, bridge], help="how its tables are filled")
    timeline = asic_commands.add_parser(
        "timeline", parents=[bridge], help="draw what it did lately, and who waited for it"
    )
    timeline.add_argument("file", metavar="FILE", help="the picture, a PNG")
    timeline.add_argument(
        "--last", metavar="SECONDS", type=_seconds, help="draw no more than the last seconds"
    )

    trace = commands.add_parser("trace", help="the way of a described packet")
    trace.add_argument("bridge", metavar="BRIDGE")
    trace.add_argument("flow", metavar="FLOW", help="like in_port=1,tcp,nw_dst=10.0.0.1")

    capture = commands.add_parser("capture", help="write what a connection says to a pcap file")
    capture.add_argument("bridge", metavar="BRIDGE")
    capture.add_argument("connection", metavar="CONNECTION", help='named as by "connections"')
    capture.add_argument("file", metavar="FILE", nargs="?", help="a new one; in run_dir")
    capture.add_argument("--megabytes", metavar="N", help="the most it may have (64)")
    capture.add_argument("--stop", action="store_true", help="end it; without FILE")

    for name, (_, text) in ACTIONS.items():
        commands.add_parser(name, parents=[bridge], help=text)
    commands.add_parser("flush", parents=[bridge], help="delete every rule")
    commands.add_parser("wait", parents=[bridge], help="wait until nothing is in flight")
    fault = commands.add_parser("fault", help="make the hardware fail, for tests")
    fault.add_argument("bridge", metavar="BRIDGE")
    fault.add_argument("words", metavar="WORD", nargs="+", help="like: fail every 10; show; clear")

    commands.add_parser("reload", help="read the configuration again")
    check = commands.add_parser("check-config", help="say what is wrong with a configuration")
    check.add_argument("file", metavar="FILE")
    call = commands.add_parser("call", help="any command of the control socket; see: call help")
    call.add_argument("name", metavar="COMMAND")
    call.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)
    commands.add_parser("completion", help='for bash: eval "$(ofagentctl completion)"')
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be from 0.1 to 3600, not {text!r}")
    return seconds


def completion(parser: argparse.ArgumentParser) -> str:
    """A script for bash that completes commands and options.

    Bridges are completed by asking the agent.
    """
    words = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                words[name] = sorted(
                    option
                    for each in sub._actions
                    for option in (
                        each.choices
                        if isinstance(each, argparse._SubParsersAction)
                        else each.option_strings
                    )
                    if option != "-h"
                )
    cases = "\n".join(
        f'        {name}) words="{" ".join(options)}" ;;' for name, options in words.items()
    )
    return f"""\
_ofagentctl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command= words= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in -*) ;; *) command=$word; break ;; esac
    done
    case $command in
        "") words="{" ".join(words)}" ;;
{cases}
    esac
    if [ -n "$command" ] && [[ $current != -* ]]; then
        words+=" $(ofagentctl call ofproto/list 2>/dev/null)"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [ "$command" = check-config ] && COMPREPLY+=($(compgen -f -- "$current"))
}}
complete -F _ofagentctl ofagentctl
"""
