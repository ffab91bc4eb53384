"""Tests with a kernel that has the tc flower classifier, as root in a network namespace.

``make system-test`` runs them, in a virtual machine if this machine's kernel has no flower
(``tests/vm``).  Each makes its own devices and removes them again.
"""

import functools
import os
import shutil
import subprocess

from tests.system import need


@functools.cache
def has_flower() -> bool:
    """Whether the kernel has the classifier, as a module or built in."""
    modprobe = shutil.which("modprobe")
    return (
        modprobe is not None
        and not subprocess.run([modprobe, "--quiet", "cls_flower"], check=False).returncode
    )


def need_flower() -> None:
    """Skip a test where it cannot be run."""
    need(os.geteuid() == 0 and has_flower(), "needs root and cls_flower: make system-test")


def run(line: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(line.split(), check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"{line}: {done.stderr}")
    return done.stdout
