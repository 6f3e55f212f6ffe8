import sys
from pathlib import Path

# The benchmarks are scripts that import each other by their bare names.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
