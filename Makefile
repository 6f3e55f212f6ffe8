# Every target makes its own environment in .venv first; only Python and make are needed.
PYTHON ?= python3
ENVIRONMENT := .venv
RUN := $(ENVIRONMENT)/bin/python
INSTALLED := $(ENVIRONMENT)/installed
# Two workers of one thread each: small steps gain nothing by more threads, and wait for each other.
JOBS ?= 2
TEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS)

.PHONY: demo test test-fast doctest lint clean

# An Exemplar VAE beside KernelDensity on digits, and demo.png. DATA=<folder>: on MNIST.
demo: $(INSTALLED)
	$(RUN) benchmarks/demo.py $(if $(DATA),--data "$(DATA)")

test: $(INSTALLED)
	$(TEST) tests

# All tests but the slow ones.
test-fast: $(INSTALLED)
	$(TEST) -m "not slow" tests

# The examples in docstrings and documents.
doctest: $(INSTALLED)
	$(TEST) --doctest-modules sklearn_exemplar_vae
	$(TEST) --doctest-glob="*.md" README.md docs

# Style, the direction of imports, and the docstrings of all that is public.
lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(ENVIRONMENT)/bin/lint-imports --no-cache --no-logo
	$(RUN) docs/validate_docstrings.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[plot,test,lint]"
	touch $@

clean:
	rm -rf $(ENVIRONMENT)
