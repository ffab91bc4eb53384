"""Tests with a kernel that has the tc flower classifier, as root in a network namespace.

``make system-test`` runs them, in a virtual machine if this machine's kernel has no flower
(``tests/vm``).  Each makes its own devices and removes them again.
"""
