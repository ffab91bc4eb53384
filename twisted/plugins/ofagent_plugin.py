"""Tells ``twistd`` of its command ``ofagent``.

:mod:`agent.tap` is named only as a string: every ``twistd`` of the host loads this module, and must
not fail because of an import of ours.  Neither ``twisted/`` nor ``twisted/plugins/`` may ever
get an ``__init__.py``: it would hide Twisted's own.
"""

from twisted.application.service import ServiceMaker

ofagent = ServiceMaker(
    "ofagent",
    "agent.tap",
    "An OpenFlow switch agent for slow hardware.",
    "ofagent",
)
