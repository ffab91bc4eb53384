"""The demonstration: an agent with slow hardware, its page, and controllers that keep it busy."""
