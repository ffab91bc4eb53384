"""What README shows of tc flower by hand, done as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final

import attrs

from tests.kernel import need_flower, run
from tests.system.agent import ROOT, TIMEOUT, AgentCase

MARK: Final = "--- done"
"""A line behind what each command has printed."""


@attrs.define
class Command:
    """Something to type.

    :ivar text: that, of one line or several.
    :ivar shown: the lines that come out; in them ``...`` is anything, and alone any lines.
    """

    text: str
    shown: list[str] = attrs.Factory(list)

    def agrees(self, output: str) -> bool:
        """Whether this is what comes out."""
        parts = []
        for line in self.shown:
            if line == "...":
                parts.append(r"(?:.*\n)*?")
            else:
                parts.append(".*?".join(map(re.escape, line.split("..."))) + r" *\n")
        return re.fullmatch("".join(parts), output.expandtabs()) is not None


def section() -> list[str]:
    """The blocks of README's section, without their indentation."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"^#### By hand\n(.*?)^#", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", found[1], re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE).strip() + "\n" for block in blocks]


def commands(block: str) -> list[Command]:
    """What is to be typed, and what comes out."""
    found: list[Command] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif line.startswith(">") and not found[-1].shown:
            found[-1].text += "\n" + line[2:]
        else:
            found[-1].shown.append(line)
    return found


class ReadmeTests(AgentCase):
    """See the module."""

    # The machine is emulated.
    patience = 240.0
    timeout = 600

    def test_by_hand(self) -> None:
        """Each command does what is shown."""
        need_flower()
        configuration, session = section()
        typed = commands(session)
        for n in (1, 2):
            self.addCleanup(run, f"ip netns del host{n}")
        self.start(text=configuration)
        script = "".join(f"{command.text}\necho '{MARK}'\n" for command in typed)
        done = subprocess.run(
            ["bash"],
            input=script,
            check=False,
            cwd=self.directory,
            env={**os.environ, "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=8 * TIMEOUT,
        )
        *outputs, rest = done.stdout.split(f"{MARK}\n")
        self.assertEqual((len(outputs), rest), (len(typed), ""), done.stdout)
        for command, output in zip(typed, outputs, strict=True):
            self.assertTrue(command.agrees(output), f"{command.text}\n{output}")
        # Two rules, in two commands.
        counted = re.findall(r"n_packets=(\d+).*, in_port=", done.stdout)
        self.assertEqual(len(counted), 4)
        self.assertGreaterEqual(min(map(int, counted)), 3, done.stdout)
