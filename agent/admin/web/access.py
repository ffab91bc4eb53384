"""Who may read: whoever is on this host, and from elsewhere who has the token.

A page on loopback is open to every program of this host, as the counters of a daemon usually are.
Only a browser that was lured to another site's name for 127.0.0.1 (DNS rebinding) is turned away,
by the name that it asks for.  A server on any other address asks everybody for the token, which is
in a file that only the agent's owner can read; it is never logged and never stays in a URL.

A token comes as ``Authorization: Bearer TOKEN``, as Prometheus and curl send it, or once as
``?token=TOKEN``, for a browser, which is given a cookie and sent on.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

COOKIE: Final = b"ofagent_token"
MIN_TOKEN: Final = 16
"""Characters of the shortest token."""

HEADERS: Final = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


class TokenError(ValueError):
    """A file that holds no token; the text says what is wrong with it."""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this host only."""
    return ipaddress.ip_address(host).is_loopback


def token_of(path: Path) -> str:
    """The token in a file, which is made when it is not there.

    :raises TokenError: when it is too short, or not one line of printable ASCII.
    :raises OSError: when it can be neither read nor made.
    """
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
    except FileExistsError:
        pass
    token = path.read_bytes().strip()
    if len(token) < MIN_TOKEN or not all(0x20 < byte < 0x7F for byte in token):
        raise TokenError(f"must hold one word of {MIN_TOKEN} or more printable ASCII characters")
    return token.decode()


def refuse(request: Request, status: HTTPStatus, text: str) -> bytes:
    """Answer with a status, and a line for people."""
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    return f"{status.value} {status.phrase}: {text}\n".encode()


@implementer(IResource)
class Gate:
    """What stands before everything that is served.

    :param token: what is asked for; empty: nothing, for the server is on loopback.
    """

    isLeaf = True

    def __init__(self, inside: Resource, token: str = "") -> None:
        self._inside = inside
        self._token = token.encode()

    def render(self, request: Any) -> Any:
        """Let it through, or not."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return refuse(request, HTTPStatus.METHOD_NOT_ALLOWED, "this is read only")
        if not self._token:
            host = request.getRequestHostname().decode("latin-1")
            if not _names_loopback(host):
                return refuse(request, HTTPStatus.FORBIDDEN, f"{host!r} is not this host")
        elif not self._has_token(request):
            given = request.args.pop(b"token", [b""])[0]
            if hmac.compare_digest(given, self._token):
                return self._remember(request)
            request.setHeader(b"www-authenticate", b'Bearer realm="ofagent"')
            return refuse(
                request, HTTPStatus.UNAUTHORIZED, "send the token (agent.http_token says where)"
            )
        resource = self._inside
        while request.postpath and not resource.isLeaf:
            name = request.postpath.pop(0)
            request.prepath.append(name)
            resource = resource.getChildWithDefault(name, request)
        return resource.render(request)

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """It is a leaf: whatever is asked for comes to :meth:`render`."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """It has no children of its own."""
        raise TypeError("a gate has no children")

    def _has_token(self, request: Any) -> bool:
        scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            given = request.getCookie(COOKIE) or b""
        return hmac.compare_digest(given.strip(), self._token)

    def _remember(self, request: Any) -> int:
        """Give the browser a cookie, and have it forget the URL."""
        request.addCookie(COOKIE, self._token, path=b"/", httpOnly=True, sameSite=b"strict")
        rest = urlencode(
            [(name, value) for name, values in request.args.items() for value in values]
        ).encode()
        path = b"/" + request.path.lstrip(b"/")
        request.redirect(path + (b"?" + rest if rest else b""))
        request.finish()
        return NOT_DONE_YET


def _names_loopback(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return is_loopback(host.strip("[]"))
    except ValueError:
        return False
