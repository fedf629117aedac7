PYTHON ?= python3
# cpu refuses a torch that brings CUDA packages; cuda takes what the index offers.
TORCH ?= cpu
# Package index for torch alone, for example the CPU index that the selector on pytorch.org shows.
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip
TORCH_ARGS := torch -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

# Silences an announcement of the theme's authors, which is no warning about these pages.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

# Without a display, windows open on a virtual one.
SCREEN := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter-out Linux,$(shell uname)),,xvfb-run -a -s "-screen 0 1600x1000x24")

.DELETE_ON_ERROR:
.PHONY: help setup test demo demo-cli docs lint sample-data pictures clean window

help:  ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: .venv/test.stamp  ## make .venv with everything needed to run and test

# One process more than there are cores, since tests at a window wait now and then; of one thread each.
test: export OMP_NUM_THREADS = 1
test: export PYTEST_XDIST_AUTO_NUM_WORKERS = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
test: window .venv/test.stamp  ## run the tests
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist worksteal

demo: window .venv/test.stamp  ## open napari with a sample that is ready to train; without a display, do it all and leave demo_output/
	$(SCREEN) $(BIN)/python -m napari_knowsam.demo $(if $(SCREEN),--unattended demo_output)

demo-cli: .venv/test.stamp  ## segment the sample data on the command line, result in demo_output/
	$(BIN)/knowsam demo -o demo_output

pictures: window .venv/test.stamp  ## make the pictures of the documentation again
	$(SCREEN) $(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_pretraining_pictures.py

docs: .venv/dev.stamp  ## build the documentation as a site in site/
	$(MKDOCS) build --quiet

lint: .venv/dev.stamp  ## check style, types, structure and documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS) build --quiet --site-dir .venv/site

sample-data: .venv/test.stamp  ## make sample_data/ again
	$(BIN)/python sample_data/make_sample.py

clean:  ## remove the environment and everything made
	rm -rf .venv build dist site demo_output .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

window:
	@PYTHON=$(PYTHON) .ci/system_packages window $(if $(SCREEN),screen)

.venv/bin/python:
	@PYTHON=$(PYTHON) .ci/system_packages
	$(PYTHON) -m venv .venv

.venv/torch.stamp: .venv/bin/python constraints.txt
ifeq ($(TORCH),cpu)
	$(PIP) install --quiet --dry-run --report .venv/torch.json $(TORCH_ARGS)
	$(BIN)/python .ci/refuse_cuda.py .venv/torch.json
endif
	$(PIP) install --quiet $(TORCH_ARGS)
	touch $@

.venv/test.stamp: .venv/torch.stamp pyproject.toml
	$(PIP) install --quiet -e '.[test]' -c constraints.txt
	touch $@

.venv/dev.stamp: .venv/test.stamp
	$(PIP) install --quiet -e '.[dev]' -c constraints.txt
	touch $@
