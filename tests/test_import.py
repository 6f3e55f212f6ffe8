"""What `import sklearn_exemplar_vae` brings along."""

import subprocess
import sys


def test_the_import_brings_no_numba():
    """It takes seconds, so it comes with the first call that needs it."""
    lazy = ("numba", "pynndescent", "matplotlib")
    code = f"import sys, sklearn_exemplar_vae; print([m for m in {lazy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
