# GNU make 3.81 and a POSIX shell suffice. Every target makes the environment it needs first.

PYTEST_ARGS ?=
bin := .venv/bin
ready := .venv/.ready
with_libvirt := .venv/.libvirt
with_browser := .venv/.browser
with_docs := .venv/.docs
with_platforms := .venv/.platforms

.PHONY: help setup demo test lint types imports libvirt test-libvirt browser test-browser platforms test-platforms docs wheel lab ci lock clean

help:
	@echo "make demo          plan a bundled fleet, check the plan, show it"
	@echo "make test          run the tests"
	@echo "make setup         make .venv (the others do it too)"
	@echo "make lint          ruff: rules and format"
	@echo "make types         mypy --strict"
	@echo "make imports       the import contracts (who may import whom)"
	@echo "make libvirt       add libvirt-python to .venv, and what it is built from"
	@echo "make test-libvirt  run the tests that need it; none may be skipped for want of it"
	@echo "make browser       add what the tests of the report need: Chromium and axe-core"
	@echo "make test-browser  open the report in it; none may be skipped for want of it"
	@echo "make platforms     add the tools that exports are tried with: linters, clients, types of APIs"
	@echo "make test-platforms  try the exports with them; none may be skipped for want of them"
	@echo "make docs          build the site of docs/ in build/site; a dead link fails"
	@echo "make wheel         build the wheel and run it from another directory"
	@echo "make lab           run the tests on a NUMA host with real libvirt, under QEMU"
	@echo "make ci            all that .ci/run does"
	@echo "make lock          pin newer versions in requirements/"
	@echo "make clean         remove .venv, builds and caches"

$(ready): pyproject.toml requirements/dev.txt scripts/make_env.sh
	@scripts/make_env.sh
	@touch $@

$(with_libvirt): $(ready) requirements/libvirt.txt scripts/install_libvirt.sh
	@scripts/install_libvirt.sh
	@touch $@

$(with_browser): $(ready) scripts/install_browser.sh
	@scripts/install_browser.sh
	@touch $@

$(with_docs): $(ready) requirements/docs.txt
	@scripts/uv.sh pip install --quiet --require-hashes --python .venv/bin/python -r requirements/docs.txt
	@touch $@

$(with_platforms): $(ready) requirements/platforms.txt scripts/install_platforms.sh
	@scripts/install_platforms.sh
	@touch $@

setup: $(ready)

demo: $(ready)
	@$(bin)/placer demo

# Two workers: the tests are many short processes and solves of one thread each.
test: $(ready)
	$(bin)/python -m pytest -n 2 -m "not lab" $(PYTEST_ARGS)

lint: $(ready)
	$(bin)/ruff check .
	$(bin)/ruff format --check .

types: $(ready)
	$(bin)/mypy

imports: $(ready)
	$(bin)/lint-imports

libvirt: $(with_libvirt)

test-libvirt: $(with_libvirt)
	$(bin)/python -m pytest -m libvirt --require-libvirt $(PYTEST_ARGS)

browser: $(with_browser)

test-browser: $(with_browser)
	$(bin)/python -m pytest -m browser --require-browser tests/browser $(PYTEST_ARGS)

platforms: $(with_platforms)

test-platforms: $(with_platforms)
	$(bin)/python -m pytest -m platforms --require-platforms tests/emit/outside $(PYTEST_ARGS)

docs: $(with_docs)
	$(bin)/mkdocs build --strict --quiet

wheel: $(ready)
	@scripts/try_wheel.sh

# Built once per scripts and package versions, in ~/.cache/placer-lab or where PLACER_LAB_CACHE says.
lab: $(with_libvirt)
	@scripts/install_lab.sh
	$(bin)/python -m pytest -n 2 --dist loadfile -m lab tests/lab $(PYTEST_ARGS)

ci:
	bash .ci/run

lock:
	@scripts/lock.sh

clean:
	rm -rf .venv .venv-tools build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find placer solvers benchmarks tests -type d -name __pycache__ -prune -exec rm -rf {} +
