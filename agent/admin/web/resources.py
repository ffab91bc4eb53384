"""What there is to read: the page and its parts, metrics, and data as JSON.

::

    /                                     the page
    /metrics                              for Prometheus
    /events                               what happens, as it happens (server-sent events)
    /api/agent
    /api/bridges                          every bridge in a few numbers
    /api/bridges/NAME                     one of them
    /api/bridges/NAME/connections         and so on: see agent.admin.report.Report
    /api/bridges/NAME/flows?match=...&text=...&table=N&state=...&offset=N&limit=N

An error is JSON too: ``{"error": "..."}``, whose text names the argument.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from agent.admin.flow_search import DEFAULT_FLOWS, MAX_OFFSET, FlowSearch, SearchError, number
from agent.admin.report import Report
from agent.admin.web.feed import Feed

STATIC: Final = {
    b"": ("page.html", b"text/html; charset=utf-8"),
    b"page.css": ("page.css", b"text/css; charset=utf-8"),
    b"page.js": ("page.js", b"text/javascript; charset=utf-8"),
    b"draw.js": ("draw.js", b"text/javascript; charset=utf-8"),
    b"icon.svg": ("icon.svg", b"image/svg+xml"),
}
"""The parts of the page, and their types."""

MAX_FLOWS: Final = 1000
"""Rules in one answer."""

JSON: Final = b"application/json"

Args = dict[str, str]


class Root(Resource):
    """Everything."""

    def __init__(self, report: Report, feed: Feed, registry: CollectorRegistry) -> None:
        Resource.__init__(self)
        for name, (file, kind) in STATIC.items():
            self.putChild(name, Part(file, kind))
        self.putChild(b"metrics", Metrics(registry))
        self.putChild(b"events", Events(feed))
        self.putChild(b"api", Api(report))

    def getChild(self, path: bytes, request: Any) -> Resource:
        """What there is not."""
        missing: Resource = Missing()  # type: ignore[no-untyped-call]
        return missing


class Missing(Resource):
    """Nothing."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        """Say so."""
        return _missing(request)


class Part(Resource):
    """A file of the page."""

    isLeaf = True

    def __init__(self, file: str, kind: bytes) -> None:
        Resource.__init__(self)
        self._data = files("agent.admin.web").joinpath("page", file).read_bytes()
        self._kind = kind

    def render_GET(self, request: Any) -> bytes:
        """The file."""
        if request.postpath:
            return _missing(request)
        request.setHeader(b"content-type", self._kind)
        return self._data


class Metrics(Resource):
    """For Prometheus."""

    isLeaf = True

    def __init__(self, registry: CollectorRegistry) -> None:
        Resource.__init__(self)
        self._registry = registry

    def render_GET(self, request: Any) -> bytes:
        """All metrics, in the form that is asked for."""
        encode, kind = choose_encoder(request.getHeader("accept") or "")
        request.setHeader(b"content-type", kind.encode())
        return encode(self._registry)


class Events(Resource):
    """What happens."""

    isLeaf = True

    def __init__(self, feed: Feed) -> None:
        Resource.__init__(self)
        self._feed = feed

    def render_GET(self, request: Any) -> Any:
        """Everything from now on."""
        if self._feed.full:
            return _error(request, HTTPStatus.SERVICE_UNAVAILABLE, "too many are looking already")
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"x-accel-buffering", b"no")
        self._feed.add(request)
        return NOT_DONE_YET


class Api(Resource):
    """Data as JSON."""

    isLeaf = True
    _log = Logger()

    def __init__(self, report: Report) -> None:
        Resource.__init__(self)
        self._report = report

    def render_GET(self, request: Any) -> Any:
        """One of the reports."""
        try:
            path = [part.decode() for part in request.postpath]
            given = {name.decode(): values[-1].decode() for name, values in request.args.items()}
        except UnicodeDecodeError:
            return _error(request, HTTPStatus.BAD_REQUEST, "must be UTF-8")
        # A field of the page's form that is empty is not asked for.
        args = {name: value for name, value in given.items() if value}
        asked = maybeDeferred(self._find, path, args)
        finished = request.notifyFinish()
        finished.addErrback(lambda _: asked.cancel())
        asked.addCallbacks(
            lambda data: self._answer(data, request), lambda failure: self._refuse(failure, request)
        )
        asked.addErrback(self._broken, request)
        return NOT_DONE_YET

    def _find(self, path: list[str], args: Args) -> Any:
        while path and not path[-1]:
            path.pop()
        match path:
            case ["agent"]:
                return self._report.agent()
            case ["bridges"]:
                return self._report.bridges()
            case ["bridges", name, *rest] if len(rest) < 2:
                what = rest[0] if rest else "bridge"
                if what == "flows":
                    return self._flows(name, args)
                of_bridge = self._report.of_bridge.get(what)
                if of_bridge is not None and rest != ["bridge"]:
                    return of_bridge(name)
        raise LookupError("/".join(["there is no /api", *path]))

    def _flows(self, name: str, args: Args) -> Deferred[Any]:
        offset = number(args, "offset", 0, MAX_OFFSET)
        limit = number(args, "limit", DEFAULT_FLOWS, MAX_FLOWS)
        return self._report.flows(name, FlowSearch.parse(args), offset, limit)

    def _answer(self, data: object, request: Any) -> None:
        request.setHeader(b"content-type", JSON)
        request.write(json.dumps(data).encode())
        request.finish()

    def _refuse(self, failure: Failure, request: Any) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, KeyError):
            status, text = HTTPStatus.NOT_FOUND, f"there is no bridge {error.args[0]!r}"
        elif isinstance(error, LookupError):
            status, text = HTTPStatus.NOT_FOUND, str(error)
        elif isinstance(error, SearchError):
            status, text = HTTPStatus.BAD_REQUEST, str(error)
        else:
            self._log.failure("{path} failed", failure, path=request.path)
            status, text = HTTPStatus.INTERNAL_SERVER_ERROR, "see the log"
        request.write(_error(request, status, text))
        request.finish()

    def _broken(self, failure: Failure, request: Any) -> None:
        """What was found cannot be said."""
        self._log.failure("{path} cannot be answered", failure, path=request.path)
        if not request.finished and not request._disconnected:
            request.loseConnection()


def _missing(request: Any) -> bytes:
    path = request.path.decode("latin-1")
    return _error(request, HTTPStatus.NOT_FOUND, f"there is no {path}")


def _error(request: Any, status: HTTPStatus, text: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", JSON)
    return json.dumps({"error": text}).encode()
