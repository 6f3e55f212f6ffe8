"""Validate the docstring of every public class, method and function with numpydoc.

    python docs/validate_docstrings.py

Classes and functions need an example. The exit status is 1 if anything is missing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from numpydoc.validate import validate

import sklearn_exemplar_vae
from sklearn_exemplar_vae import datasets

# As in scikit-learn: a docstring starts on the line of its quotes (GL01) and ends on one of its own
# (GL02), and a single return value has a name (RT02). A long explanation (ES01) and related names
# (SA01) are not always needed.
IGNORED = {"GL01", "GL02", "RT02", "ES01", "SA01"}
# A method is shown in its class's example.
IGNORED_IN_METHODS = {"EX01"}


def public_objects() -> Iterator[tuple[str, set[str]]]:
    """Yield the names of all public objects, and the checks that each is spared."""
    for name in sorted(set(sklearn_exemplar_vae.__all__) - {"__version__"}):
        kind = getattr(sklearn_exemplar_vae, name)
        yield f"sklearn_exemplar_vae.{name}", IGNORED
        for attribute, method in inspect.getmembers(kind, inspect.isfunction):
            is_ours = method.__module__.startswith(sklearn_exemplar_vae.__name__)
            if is_ours and not attribute.startswith("_"):
                yield f"sklearn_exemplar_vae.{name}.{attribute}", IGNORED | IGNORED_IN_METHODS
    for name, function in inspect.getmembers(datasets, inspect.isfunction):
        if not name.startswith("_") and function.__module__ == datasets.__name__:
            yield f"{datasets.__name__}.{name}", IGNORED


def main() -> int:
    n_faults = n_objects = 0
    for name, ignored in public_objects():
        n_objects += 1
        for code, fault in validate(name)["errors"]:
            if code not in ignored:
                print(f"{name}: {code} {fault}")
                n_faults += 1
    print(f"{n_objects} public docstrings, {n_faults} faults")
    return min(n_faults, 1)


if __name__ == "__main__":
    sys.exit(main())
