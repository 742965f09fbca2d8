PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-slow test-notebook test-browser test-real check docs gallery bench

demo: $(INSTALLED)
	$(BIN)/babelscope models import gemma-3-270m --accept-terms
	$(BIN)/babelscope study run studies/demo.yaml --out runs/demo

test: $(INSTALLED)
	$(BIN)/pytest

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

test-notebook: $(INSTALLED)
	$(BIN)/pytest -m 'notebook and not real'

test-browser: $(INSTALLED)
	$(BIN)/pytest -m browser -n 0

test-real: $(INSTALLED)
	$(BIN)/babelscope models import gemma-3-270m --accept-terms
	$(BIN)/pytest -m real

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.venv/source $(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

# The site opens from the disk: site/index.html. The variable silences an advertisement of mkdocs-material.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(INSTALLED)
	$(BIN)/babelscope models import gemma-3-270m --accept-terms
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks --out docs/benchmarks.md $(if $(wildcard runs/demo/manifest.json),--study runs/demo)

gallery: $(INSTALLED)
	$(BIN)/python docs/gallery.py runs/demo runs/grid

# Everything is pinned by constraints.txt: an unpinned torch would bring gigabytes of GPU libraries.
$(INSTALLED): pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	mkdir -p .venv/source && ln -sfn $(CURDIR) .venv/source/babelscope  # the package under its own name, for mypy
	touch $@
