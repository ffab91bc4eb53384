"""The client's end of the control socket."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, Final, Protocol

PLACES: Final = ("/run/ofagent/ofagent.ctl", "etc/run/ofagent.ctl")
"""Where a control socket is looked for: that of the system's service, that of ``make run``."""

VARIABLE: Final = "OFAGENT_CTL"
"""The environment's word on where it is."""


class RefusedError(Exception):
    """The agent answers with an error."""


class UnreachableError(Exception):
    """There is no agent to ask."""


class Asks(Protocol):
    """Who can be asked; :class:`Client`, or what a test has instead."""

    def ask(self, command: str, *arguments: str) -> str:
        """Execute a command of the control socket.

        :raises RefusedError: when the agent refuses.
        :raises UnreachableError: when there is none.
        """


def find_socket(given: str | None) -> str:
    """The path of the control socket.

    :raises UnreachableError: when none is named and none is found.
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        return named
    for place in PLACES:
        if Path(place).is_socket():
            return place
    raise UnreachableError(
        f"no control socket at {' or '.join(PLACES)}; is the agent running? "
        f"name its socket with --socket or ${VARIABLE}"
    )


class Client:
    """A connection to an agent, which is made when it is first needed.

    :param path: of the control socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def ask(self, command: str, *arguments: str) -> str:
        """See :class:`Asks`; takes as long as the agent does."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.connect(self._path)
            request = {"id": 0, "method": command, "params": arguments}
            self._socket.sendall(json.dumps(request).encode())
            reply = self._reply(self._socket)
        except OSError as error:
            self.close()
            raise UnreachableError(f"{self._path}: {error.strerror or error}") from None
        if reply.get("error") is not None:
            raise RefusedError(str(reply["error"]).strip())
        return str(reply.get("result") or "")

    def close(self) -> None:
        """Let go of the connection; another is made when it is needed."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reply(self, connection: socket.socket) -> dict[str, Any]:
        """The next object; it is alone, for there is one request at a time."""
        data = bytearray()
        while True:
            piece = connection.recv(1 << 16)
            if not piece:
                raise OSError(0, "the agent closed the connection")
            data += piece
            if data.rstrip().endswith(b"}"):
                try:
                    reply = json.loads(data)
                except ValueError:
                    continue
                if isinstance(reply, dict):
                    return reply
                raise OSError(0, "this is no control socket")
