"""The agent over HTTP: metrics for Prometheus, the page, and the data that the page draws.

Everything here is read only.  Who may read is decided at one place (:mod:`.access`), what there is
to read comes from :mod:`agent.admin.report`.
"""
