"""A bridge has its block for itself.

The number of a block comes from the bridge's name, so that two agents in one network namespace that
have a bridge of one name would share a block, and each would put right what the other does.  Who
has a block holds a name among the abstract unix sockets of the network namespace, which is where
blocks are, too; the kernel lets go of it with the process, however that ends.

Source: unix(7).
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from drivers.software.system import System
from drivers.tcflower.probe import TcError


class Lock:
    """See the module."""

    def __init__(self, system: System, block: int, bridge: str) -> None:
        """Hold it.

        :param block: the number of the block.
        :param bridge: whose it is, for the error.
        :raises TcError: when somebody has it.
        """
        self._socket: Any = system.socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0)
        try:
            self._socket.bind(f"\0ofagent/tcflower/{block}")
        except OSError as error:
            self._socket.close()
            why = error.strerror
            if error.errno == errno.EADDRINUSE:
                why = "another process has it; stop that, or give the bridge another name"
            what = f"cannot have block {block} of bridge {bridge} in this network namespace"
            raise TcError(error.errno or errno.EPERM, f"{what}: {why}") from error

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
