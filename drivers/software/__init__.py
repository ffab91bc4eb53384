"""A datapath in software, which executes OpenFlow actions on frames itself.

It completes every operation at once, which makes it the yardstick for speed and for correctness:
what another driver does to a frame must look the same as what this one does.
"""
