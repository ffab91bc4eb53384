"""The wheel, built from the checkout and installed into an environment of its own.

What a checkout forgives, a wheel does not: a package or a profile that is not listed is not there,
and the plugin is found through the installation alone.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

import agent

ROOT = Path(__file__).parents[2]
SHIPPED = (
    "agent",
    "drivers",
    "etc",
    "twisted",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
)


def run(*command: object, cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    """Run to the end, with what it says caught."""
    words = [str(word) for word in command]
    return subprocess.run(words, check=False, cwd=cwd, capture_output=True, text=True, timeout=300)


@attrs.frozen
class Installation:
    """A wheel, and where it is installed.

    :ivar directory: which has the wheel in it.
    :ivar problem: why there is no wheel or no installation; empty when there is.
    """

    directory: Path
    problem: str

    @property
    def bin(self) -> Path:
        """The commands of the environment."""
        return self.directory / "venv" / "bin"


@functools.cache
def installation() -> Installation:
    """Build from a copy, so that nothing that lies around in the checkout gets in, and install;
    once for all tests, and removed when the process ends.
    """
    directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
    atexit.register(shutil.rmtree, directory)
    source = directory / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "dropin.cache", "run")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    pip = directory / "venv" / "bin" / "pip"
    wheel = directory / f"ofagent-{agent.__version__}-py3-none-any.whl"
    for step in (
        (sys.executable, "-m", "venv", directory / "venv"),
        (pip, "wheel", "-q", "--no-deps", "-w", directory, source),
        (pip, "install", "-q", wheel),
    ):
        done = run(*step, cwd=directory)
        if done.returncode:
            words = " ".join(map(str, step))
            return Installation(directory, f"{words}:\n{done.stdout}{done.stderr}")
    return Installation(directory, "")


class WheelTests(SynchronousTestCase):
    """Looked at from outside."""

    def setUp(self) -> None:
        """Without an installation there is nothing to see, and the reason is worth seeing."""
        installed = installation()
        self.assertEqual(installed.problem, "")
        self.directory, self.bin = installed.directory, installed.bin

    def test_files(self) -> None:
        """The wheel has every module and every profile, and nothing else at the top."""
        (wheel,) = self.directory.glob("*.whl")
        self.assertEqual(wheel.name, f"ofagent-{agent.__version__}-py3-none-any.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
        expected = {
            str(path.relative_to(ROOT))
            for folder in ("agent", "drivers", "twisted")
            for pattern in ("*.py", "py.typed")
            for path in (ROOT / folder).rglob(pattern)
        }
        expected |= {
            f"drivers/asic/profiles/{path.name}" for path in (ROOT / "etc/profiles").glob("*.toml")
        }
        expected |= {
            str(path.relative_to(ROOT)) for path in (ROOT / "agent/admin/web/page").iterdir()
        }
        metadata = {name for name in names if ".dist-info/" in name}
        self.assertEqual(names - metadata, expected)
        self.assertTrue(any(name.endswith("LICENSE") for name in metadata))

    def test_help(self) -> None:
        """The installed twistd has the command, from wherever it is called, and so has the shell
        that which asks a running agent."""
        done = run(self.bin / "ofagentctl", "--version")
        self.assertEqual(done.stdout, f"ofagentctl {agent.__version__}\n")
        done = run(self.bin / "twistd", "ofagent", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--check-config", done.stdout)
        self.assertEqual(
            run(self.bin / "twistd", "ofagent", "--version").stdout,
            f"ofagent {agent.__version__}\n",
        )

    def test_default_configuration(self) -> None:
        """The default configuration is right for the installed agent: its driver and its profile
        came with the wheel."""
        file = self.directory / "ofagent.toml"
        shutil.copy(ROOT / "etc" / "ofagent.toml", file)
        done = run(self.bin / "twistd", "ofagent", "--check-config", "--config", file)
        self.assertEqual((done.returncode, done.stdout), (0, f"{file}: right\n"), done.stderr)

    def test_other_plugins(self) -> None:
        """Twisted's own commands are still there beside ours."""
        done = run(self.bin / "twistd", "--help")
        self.assertIn(" ofagent ", done.stdout)
        self.assertIn(" web ", done.stdout)
