"""``twistd ofagent``: its options, and the service that is the whole agent.

:func:`makeService` does everything that can go wrong before it lets anything happen: it reads the
configuration and provides for what it asks for (:mod:`agent.prepare`).  When something is wrong,
one line on standard error says what, the exit status is 1, and nothing has been started.

The bridges themselves are :class:`agent.bridge.Bridge`.
"""

from __future__ import annotations

import gc
import resource
import sys
from typing import Any, Final, NoReturn

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.reflect import namedAny

import agent
from agent.admin.config import Config, load
from agent.admin.inherited import Inherited, from_environment
from agent.admin.listeners import bind
from agent.admin.schema import ConfigError
from agent.admin.vlog import Vlog, for_twistd
from agent.hangup import Hangup
from agent.notify import Notifier
from agent.prepare import Listen, check, prepare
from agent.service import AgentService, BridgeFactory

DEFAULT_CONFIG: Final = "/etc/ofagent/ofagent.toml"
_log = Logger()


class Options(usage.Options):
    """What may stand behind ``twistd ofagent``."""

    synopsis = "[--config FILE] [--check-config]"
    longdesc = "An OpenFlow switch agent for slow hardware, with honest barriers."
    optParameters = [["config", "c", DEFAULT_CONFIG, "The configuration file."]]
    optFlags = [
        ["check-config", None, "Check the configuration, say what is wrong with it, and exit."]
    ]

    def opt_version(self) -> NoReturn:
        """Show the version and exit."""
        sys.stdout.write(f"ofagent {agent.__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Check, when that is all there is to do: before twistd does anything else."""
        if self["check-config"]:
            try:
                check(self["config"])
            except ConfigError as error:
                raise SystemExit(f"ofagent: {error}") from None
            sys.stdout.write(f"{self['config']}: right\n")
            raise SystemExit(0)


def makeService(options: Options) -> IService:
    """The agent, ready to start.

    :raises SystemExit: with the one line that says what is wrong.
    """
    # twistd gives no reactor, so this is the one place that fetches it.
    reactor = namedAny("twisted.internet.reactor")
    try:
        config = load(options["config"])
        vlog = for_twistd(
            options.parent or {}, config.agent.log_level, config.agent.log_format, reactor
        )
        listen = Inherited(from_environment())
        service = build(config, reactor, namedAny("agent.bridge.Bridge"), vlog, listen=listen)
        for address in listen.unused():
            _log.warn("nothing listens on systemd's socket {address}", address=address)
        Hangup(reactor, service).setServiceParent(service)  # type: ignore[no-untyped-call]
        Notifier(reactor).setServiceParent(service)  # type: ignore[no-untyped-call]
    except ConfigError as error:
        raise SystemExit(f"ofagent: {error}") from None
    _tune_garbage_collection()
    _raise_descriptor_limit()
    return service


def build(
    config: Config,
    reactor: Any,
    make_bridge: BridgeFactory,
    vlog: Vlog,
    *,
    listen: Listen = bind,
) -> AgentService:
    """Everything that a configuration asks for, with its sockets bound and nothing started.

    :raises ConfigError: when it cannot be had; no socket is left open then.
    """
    prepared = prepare(config, listen)
    try:
        return AgentService(prepared, reactor, make_bridge, vlog, listen)
    except BaseException:
        prepared.discard()
        raise


def _tune_garbage_collection() -> None:
    """Look for circular garbage less often.

    Rules live long and are no garbage, yet each collection would look at all of them; what requests
    leave behind has no circles.  With Python's own thresholds an ADD among 100,000 rules costs a
    third more than among 1,000.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _raise_descriptor_limit() -> None:
    """Allow as many open connections as the system lets this process have.

    The usual soft limit of 1024 is there for programs that use select(2), which this one does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
