"""``python -m agent.ctl`` is ``ofagentctl``."""

import sys

from agent.ctl.main import main

sys.exit(main())
