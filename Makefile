# The habits of this project.  `make run` and `make test` need nothing prepared: each sets up what
# it needs in .venv, once, and again only after setup.cfg changed.
#
#   make run                            start the default agent, without root
#   make demo                           the same with its page and two busy controllers
#   make test [TESTS=tests.openflow]    unit tests: no root, no network, no waiting
#   make system-test                    tests from outside; each says what it needs, or skips itself
#   make osken-long                     os-ken's tests of groups and meters: 20 minutes
#   make newcomer                       README's commands in a fresh Debian, timed; needs root
#   make lint                           ruff and mypy
#   make man                            the manual pages in man/, from what the code declares
#   make docs                           the documentation, in build/docs; warnings are errors
#   make bench                          speed, beside Open vSwitch
#   make bench-tcflower                 rules into the kernel's tc flower, beside tc -batch
#   make bench-asic                     what the order of operations is worth on slow hardware, and
#                                       barriers over hardware that lies
#   make fuzz [TESTS=...]               the property tests with very many examples
#   make clean                          remove all that was made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRIAL := $(BIN)/python -m twisted.trial
# Faucet pins an os-ken older than the one of [test]: it has an environment of its own.  The
# applications that an even older os-ken came with are in it, too, beside its packages.
FAUCET := .venv-faucet

# Where the virtual machine is made that has the kernel this one may lack.
VM := .vm
# The same of the fresh Debian.
NEWCOMER := .newcomer

# Everything under tests/ but what needs more than Python, which system-test runs.
UNIT := $(filter-out tests.system tests.kernel,$(sort \
	$(subst /,.,$(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py))) \
	$(subst /,.,$(patsubst %.py,%,$(wildcard tests/test_*.py)))))
TESTS ?= $(UNIT)

.PHONY: help run demo test system-test osken-long newcomer lint man docs bench bench-tcflower bench-asic \
	fuzz clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

run: $(VENV)/run.stamp
	@exec $(BIN)/twistd --nodaemon --pidfile= ofagent --config etc/ofagent.toml

demo: $(VENV)/run.stamp
	@exec $(BIN)/python -m demo

test: $(VENV)/test.stamp
	@$(TRIAL) $(TESTS)

system-test: $(VENV)/test.stamp $(FAUCET)/stamp
	@status=0; log=$$(mktemp); \
	VM_TIMEOUT=1500 tests/vm/in-kernel $(VM) \
		$(TRIAL) --temp-directory=/tmp/_trial_kernel tests.kernel \
		>$$log 2>&1 & kernel=$$!; \
	$(TRIAL) tests.system || status=1; \
	wait $$kernel || status=1; \
	cat $$log; rm $$log; exit $$status

osken-long: $(VENV)/test.stamp $(FAUCET)/stamp
	@$(TRIAL) tests.system.osken_long

newcomer:
	@tests/newcomer $(NEWCOMER)

lint: $(VENV)/dev.stamp
	@status=0; \
	$(BIN)/ruff check --quiet --output-format=concise || status=1; \
	$(BIN)/ruff format --check --quiet || status=1; \
	$(BIN)/mypy --no-error-summary || status=1; \
	exit $$status

man: $(VENV)/run.stamp
	@$(BIN)/python -m man.make

docs: $(VENV)/docs.stamp
	@rm -rf build/docs
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going \
		--doctree-dir build/doctrees docs build/docs
	@echo "The documentation is in build/docs/index.html"

bench: $(VENV)/test.stamp
	@$(BIN)/python -m bench.compare
	@for part in core codec matches packet lookup connmgr drivers ports; do \
		echo; $(BIN)/python -m bench.$$part || exit 1; done

bench-tcflower: $(VENV)/test.stamp
	@VM_SMP=2 VM_TIMEOUT=1800 tests/vm/in-kernel $(VM) $(BIN)/python -m bench.tcflower

bench-asic: $(VENV)/test.stamp
	@$(BIN)/python -m bench.asic
	@echo; $(BIN)/python -m bench.confirm

fuzz: $(VENV)/test.stamp
	@OFAGENT_TEST_PROFILE=fuzz $(TRIAL) $(TESTS)

clean:
	rm -rf $(VENV) $(FAUCET) $(VM) $(NEWCOMER) build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache etc/run
	rm -f twisted/plugins/dropin.cache
	find agent docs drivers tests twisted -name __pycache__ -prune -exec rm -rf {} +

# A stamp is as new as the setup.cfg that was last installed.  The installation is editable in the
# "compat" way, which puts the whole checkout on the path: the default way hides the twistd plugin.
$(VENV)/run.stamp: EXTRA :=
$(VENV)/test.stamp: EXTRA := [test]
$(VENV)/docs.stamp: EXTRA := [docs]
$(VENV)/dev.stamp: EXTRA := [dev]
$(VENV)/%.stamp: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing ofagent$(EXTRA) into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--config-settings editable_mode=compat --editable '.$(EXTRA)'
	@touch $@

# Made from nothing when its list changes, so that nothing of an old list stays.
$(FAUCET)/stamp: tests/system/faucet.txt tests/system/osken-apps.txt | $(BIN)/python
	@echo "Installing Faucet into $(FAUCET) ..."
	@$(PYTHON) -m venv --clear $(FAUCET)
	@$(FAUCET)/bin/python -m pip install -qq --disable-pip-version-check --requirement $<
	@$(FAUCET)/bin/python -m pip install -qq --disable-pip-version-check --no-deps \
		--target $(FAUCET)/apps --requirement tests/system/osken-apps.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"ofagent needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo >&2 \
		"$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
