"""An os-ken application that installs rules, for :mod:`tests.system.test_controller`.

It deletes what there is, adds ``OFAGENT_RULES`` rules, asks for a barrier, and says so by writing
``done`` into the file ``OFAGENT_STATE``; before that it writes how many it has sent.  The arguments
are options of os-ken.
"""

import os
import sys
from pathlib import Path

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3

RULES = int(os.environ.get("OFAGENT_RULES", "0"))
STATE = Path(os.environ.get("OFAGENT_STATE", os.devnull))


def say(text: str) -> None:
    """Have the file say this; whoever reads it meanwhile finds the old text or the new one."""
    new = STATE.with_suffix(".new")
    new.write_text(text)
    new.replace(STATE)


class Push(app_manager.OSKenApp):  # type: ignore[misc]
    """Pushes rules to every switch that connects."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)  # type: ignore[untyped-decorator]
    def connected(self, event: object) -> None:
        """A switch is there: begin."""
        hub.spawn(self.push, event.msg.datapath)  # type: ignore[attr-defined]

    def push(self, datapath: object) -> None:
        """Send everything, a rule every few milliseconds."""
        proto, parser = datapath.ofproto, datapath.ofproto_parser  # type: ignore[attr-defined]
        send = datapath.send_msg  # type: ignore[attr-defined]
        send(
            parser.OFPFlowMod(
                datapath,
                table_id=proto.OFPTT_ALL,
                command=proto.OFPFC_DELETE,
                out_port=proto.OFPP_ANY,
                out_group=proto.OFPG_ANY,
            )
        )
        for index in range(RULES):
            match = parser.OFPMatch(eth_type=0x0800, ipv4_dst=0x0A000000 + index)
            actions = [parser.OFPActionOutput(2)]
            apply = parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)
            send(parser.OFPFlowMod(datapath, priority=10, match=match, instructions=[apply]))
            say(str(index + 1))
            hub.sleep(0.005)
        send(parser.OFPBarrierRequest(datapath))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def confirmed(self, event: object) -> None:
        """All rules are in the hardware, says the switch."""
        say("done")


if __name__ == "__main__":
    cfg.CONF(args=sys.argv[1:], project="os_ken")
    app_manager.AppManager.run_apps(["tests.system.osken_push"])
