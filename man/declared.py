"""What the agent's declarations say of the configuration and of ``ofagentctl``, in sentences.

Plain text, for whoever makes pages of it: :mod:`man.make`, and :mod:`docs.reference`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from agent.admin.schema import Change, Key

_CHANGES: Final = {
    Change.WARM: "takes effect at a reload, while all goes on",
    Change.COLD: "restarts the bridge at a reload",
    Change.IDENTITY: "tells the entries apart",
}


def title(way: str) -> str:
    """How a table is written in the file."""
    if way in ("agent", "tls", "bridge.driver"):
        return f"[{way}]"
    if way in ("bridge.listen", "bridge.controllers"):
        return f"an entry of {way.rpartition('.')[2]}"
    return f"[[{way}]]"


def facts(key: Key) -> Iterator[str]:
    """What a key is for, what it must be, its default, and what its change asks for."""
    yield key.text
    yield f"It must be {key.kind.allowed}."
    if key.required:
        yield "There is no default: it must be there."
    elif key.shown_default:
        yield f"Default: {key.shown_default}."
    changes = _CHANGES[key.change]
    if key.cold_if is not None:
        changes += f"; restarts the bridge if {key.cold_if.text}"
    yield f"It {changes}."


def commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """The commands of a parser: name, what it does, and its own parser.

    Of one that has commands itself only those are told, each with both names.
    """
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for name, command in action.choices.items():
                below = [(f"{name} {one}", text, own) for one, text, own in commands(command)]
                yield from below or [(name, _sentence(helps[name]), command)]


def usage(name: str, parser: argparse.ArgumentParser) -> str:
    """A command with its positional arguments."""
    words = [name]
    for action in parser._actions:
        if not action.option_strings:
            word = str(action.metavar or action.dest)
            words.append(f"[{word}]" if action.nargs in ("?", argparse.REMAINDER) else word)
    return " ".join(words)


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The options and arguments of a parser that have a help: how they are written, and that."""
    for action in parser._actions:
        if action.dest == "help" or isinstance(action, argparse._SubParsersAction):
            continue
        names = ", ".join(action.option_strings) or str(action.metavar)
        if action.option_strings and action.nargs != 0:
            names += f" {action.metavar or action.dest.upper()}"
        if action.help:
            yield names, _sentence(action.help)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
