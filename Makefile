# Every target makes its own environment in .venv first; only Python and make are needed.
PYTHON ?= python3
ENVIRONMENT := .venv
RUN := $(ENVIRONMENT)/bin/python
INSTALLED := $(ENVIRONMENT)/installed

.PHONY: demo test doctest lint clean

# An Exemplar VAE beside KernelDensity on digits, and demo.png. DATA=<folder>: on MNIST.
demo: $(INSTALLED)
	$(RUN) benchmarks/demo.py $(if $(DATA),--data "$(DATA)")

test: $(INSTALLED)
	$(RUN) -m pytest tests

# The examples in docstrings and documents.
doctest: $(INSTALLED)
	$(RUN) -m pytest --doctest-modules sklearn_exemplar_vae
	$(RUN) -m pytest --doctest-glob="*.md" README.md docs

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[plot,test]"
	touch $@

clean:
	rm -rf $(ENVIRONMENT)
