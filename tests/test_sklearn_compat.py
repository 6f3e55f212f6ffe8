"""Private names of scikit-learn and imbalanced-learn are needed in one module alone."""

import ast
import re
from pathlib import Path

import pytest

import sklearn_exemplar_vae

LIBRARIES = ("sklearn", "imblearn")
PACKAGE = Path(sklearn_exemplar_vae.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
COMPAT = PACKAGE / "_sklearn_compat.py"


def is_private(path: str) -> bool:
    """Return whether a dotted path into a library has a part with a leading underscore."""
    library, *parts = path.split(".")
    return library in LIBRARIES and any(re.match(r"_(?!_)", part) for part in parts)


def dotted(node: ast.AST, imported: dict[str, str]) -> str:
    """Return the dotted path that an expression spells out, its first name resolved."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, imported)}.{node.attr}"
    return ""


def private_names(source: str) -> list[str]:
    """Return the private names of the libraries that a module's source imports or spells out."""
    tree, imported, found = ast.parse(source), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(alias.name)
                name = alias.asname or alias.name.split(".")[0]
                imported[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                found.append(f"{node.module}.{alias.name}")
                imported[alias.asname or alias.name] = found[-1]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"\w+(\.\w+)+", node.value):  # a module for sys.modules or importlib
                found.append(node.value)
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    found += [dotted(node, imported) for node in attributes]
    return [name for name in found if is_private(name)]


@pytest.mark.parametrize(
    "module", MODULES, ids=[str(module.relative_to(PACKAGE)) for module in MODULES]
)
def test_only_the_compatibility_module_needs_private_names(module):
    found = private_names(module.read_text())
    assert bool(found) == (module == COMPAT), found


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.base import _fit_context",
        "from sklearn.base import BaseEstimator, _fit_context as fit_context",
        "from sklearn.utils._param_validation import Interval",
        "from imblearn.utils import _tags",
        "import sklearn.utils._tags",
        "import sklearn.utils._tags as tags",
        "import sklearn.utils\nsklearn.utils._safe_indexing(X, rows)",
        "import sklearn.utils as utils\nutils._safe_indexing(X, rows)",
        "from sklearn import utils\nutils.validation._check_sample_weight(weights, X)",
        "def late():\n    from sklearn.base import _fit_context",
        "extended = sys.modules.get('imblearn.utils._tags')",
        "importlib.import_module('sklearn.utils._tags')",
    ],
)
def test_a_private_name_is_found_however_it_is_imported(source):
    assert private_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.base import BaseEstimator",
        "import sklearn\nsklearn.__version__",
        "from sklearn.base import BaseEstimator\nBaseEstimator.__sklearn_tags__(self)",
        "from ._sklearn_compat import fit_context",
        "from torch._dynamo import config",
        "from sklearn.utils import gen_batches\nself._rows = gen_batches(n_rows, 8)",
        "'''See sklearn.utils._tags for more.'''",
    ],
)
def test_public_names_and_others_private_names_are_left_alone(source):
    assert private_names(source) == []
