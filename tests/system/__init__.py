"""Tests from outside: a real agent process, real sockets, real peers, real time.

Each test says what it needs (a Debian package, root, network namespaces, a virtual machine) with
:func:`need`, and skips itself with that reason where it is missing.  In CI nothing is missing:
there ``OFAGENT_NO_SKIP`` is set, and what would be a skip is a failure.
"""

import os

from twisted.trial.unittest import FailTest, SkipTest


def need(present: object, reason: str) -> None:
    """Skip the test that calls this, itself or in its ``setUp``, if ``present`` is false.

    ``need(shutil.which("ovs-ofctl"), "ovs-ofctl: install openvswitch-common")``.

    :param reason: what is missing and how to get it.
    :raises SkipTest: where skipping is allowed.
    :raises FailTest: in CI.
    """
    if not present:
        raise (FailTest if os.environ.get("OFAGENT_NO_SKIP") else SkipTest)(reason)
