"""Runs one of the applications that came with os-ken, for :mod:`tests.system.test_osken_apps`.

os-ken 1.4.1 is the last one with applications, and does not run with every Python any more; so its
applications run on the os-ken that Faucet came with.  make puts them into the directory ``apps`` of
that environment.

Run by that environment's Python, with the names of applications and os-ken's options as arguments.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

# The applications' web server names something of eventlet's that it needs for websockets only.
eventlet_wsgi: Any = importlib.import_module("eventlet.wsgi")
eventlet_wsgi.ALREADY_HANDLED = []

hub: Any = importlib.import_module("os_ken.lib.hub")
hub.patch(thread=True)

app: Any = importlib.import_module("os_ken.app")
app.__path__.append(str(Path(sys.prefix) / "apps" / "os_ken" / "app"))


def main() -> None:
    """Do what osken-manager of that time did."""
    cfg: Any = importlib.import_module("os_ken.cfg")
    wsgi: Any = importlib.import_module("os_ken.app.wsgi")
    managers: Any = importlib.import_module("os_ken.base.app_manager")
    log: Any = importlib.import_module("os_ken.log")
    importlib.import_module("os_ken.controller.controller")  # for its options
    cfg.CONF.register_cli_opts([cfg.MultiStrOpt("app", positional=True, default=[])])
    cfg.CONF(args=sys.argv[1:], project="os_ken", default_config_files=[])
    log.init_log()
    manager = managers.AppManager.get_instance()
    manager.load_apps(cfg.CONF.app)
    services = manager.instantiate_apps(**manager.create_contexts())
    server = wsgi.start_service(manager)
    if server is not None:
        services.append(hub.spawn(server))
    hub.joinall(services)


if __name__ == "__main__":
    main()
