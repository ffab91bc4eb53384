"""Tests from outside: a real agent process, real sockets, real peers, real time.

Each test says what it needs (a Debian package, root, network namespaces, a virtual machine) and
skips itself with that reason where it is missing.  In CI nothing is missing, so a skip there is
a failure.
"""
