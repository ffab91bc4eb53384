"""A controller made with os-ken that does what it is told, for the tests of roles.

It reads commands from its standard input and writes what it hears from the switch to its standard
output, each a line of JSON.  It runs in a process of its own, like a real controller:
``python -m tests.system.osken_roles`` with the options of os-ken.
"""

import json
import os
import sys
from typing import Any

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3

VERSION = {
    "1.0": ofproto_v1_0.OFP_VERSION,
    "1.3": ofproto_v1_3.OFP_VERSION,
}[os.environ.get("OFAGENT_VERSION", "1.3")]
# The handler of errors that comes with os-ken (4.2) asks for what 1.0 does not have, and the
# connection dies of it.
for _absent, _value in (
    ("OFPET_EXPERIMENTER", 0xFFFF),
    ("ofp_error_type_to_str", str),
    ("ofp_error_code_to_str", lambda kind, code: f"{kind}, {code}"),
    ("ofp_msg_type_to_str", str),
):
    if not hasattr(ofproto_v1_0, _absent):
        setattr(ofproto_v1_0, _absent, _value)
ALWAYS = [CONFIG_DISPATCHER, MAIN_DISPATCHER]


def say(**what: Any) -> None:
    """Tell the test something."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Roles(app_manager.OSKenApp):  # type: ignore[misc]
    """Sends what it is told, and tells what comes."""

    OFP_VERSIONS = (VERSION,)
    datapath: Any = None

    def start(self) -> Any:
        """Begin to listen to the test."""
        hub.spawn(self.obey)
        return super().start()

    def obey(self) -> None:
        """Do what the test says."""
        for line in sys.stdin:
            command = json.loads(line)
            self.datapath.send_msg(getattr(self, f"make_{command.pop('what')}")(**command))

    def make_role(self, role: int, generation: int = 0) -> Any:
        """A request for a role, by the numbers of the version."""
        parser = self.datapath.ofproto_parser
        if VERSION == ofproto_v1_0.OFP_VERSION:
            return parser.NXTRoleRequest(self.datapath, role)
        return parser.OFPRoleRequest(self.datapath, role, generation)

    def make_flow(self, priority: int) -> Any:
        """A rule that tells when it goes."""
        proto, parser = self.datapath.ofproto, self.datapath.ofproto_parser
        return parser.OFPFlowMod(
            self.datapath,
            match=parser.OFPMatch(in_port=1),
            cookie=0,
            command=proto.OFPFC_ADD,
            priority=priority,
            flags=proto.OFPFF_SEND_FLOW_REM,
        )

    def make_barrier(self) -> Any:
        """A barrier."""
        return self.datapath.ofproto_parser.OFPBarrierRequest(self.datapath)

    def make_set_async(self, masks: list[list[int]]) -> Any:
        """Masks of asynchronous messages."""
        return self.datapath.ofproto_parser.OFPSetAsync(self.datapath, *masks)

    def make_get_async(self) -> Any:
        """What are the masks?"""
        return self.datapath.ofproto_parser.OFPGetAsyncRequest(self.datapath)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)  # type: ignore[untyped-decorator]
    def connected(self, event: Any) -> None:
        """A switch is there."""
        self.datapath = event.msg.datapath
        say(heard="switch")

    def heard(self, event: Any) -> None:
        """Something has come."""
        message = event.msg
        if type(message).__name__ == "OFPVendor":
            message = message.data
        what: dict[str, Any] = {"heard": type(message).__name__}
        for name in ("role", "generation_id", "type", "code", "reason", "priority"):
            if hasattr(message, name):
                what[name] = getattr(message, name)
        if hasattr(message, "packet_in_mask"):
            what["masks"] = [
                list(message.packet_in_mask),
                list(message.port_status_mask),
                list(message.flow_removed_mask),
            ]
        say(**what)


for _name in (
    *("ErrorMsg", "Vendor", "RoleReply", "GetAsyncReply", "BarrierReply"),
    *("PacketIn", "FlowRemoved", "PortStatus"),
):
    _event = getattr(ofp_event, f"EventOFP{_name}", None)
    if _event is not None:
        set_ev_cls(_event, ALWAYS)(Roles.heard)


if __name__ == "__main__":
    cfg.CONF(args=sys.argv[1:], project="os_ken")
    app_manager.AppManager.run_apps(["tests.system.osken_roles"])
