"""Imports go only downwards: the layers of the design, read off the syntax tree of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each layer's top-level modules and packages below ``jmix``; "" is jmix/__init__.py itself.
LAYERS = (
    {"errors", "runtime", "datasets"},
    {"families", "numerics", "items"},
    {"formula", "design"},
    {"responses"},
    {"spec"},
    {"likelihood"},
    {"estimate"},
    {"results"},
    {
        *(
            "",
            "api",
            "api_irt",
            "models",
            "models_glmm",
            "models_irt",
            "models_irt_file",
            "models_irt_fit",
            "models_irt_options",
            "models_options",
            "models_student",
            "__main__",
        ),
        *("cli", "cli_data", "cli_fit", "cli_irt", "cli_irt_options", "cli_irt_tables", "cli_sample", "cli_info"),
        *("cli_options", "cli_tables"),
    },
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}


def layer(module: str) -> int | None:
    """The layer of a dotted module name such as ``jmix.estimate.lbfgs``; None where the design names no layer."""
    top = module.split(".")[1] if "." in module else ""
    return LAYER_OF["design"] if top.startswith("design") else LAYER_OF.get(top)


def modules(root: Path) -> dict[str, Path]:
    """Dotted name to file, for every module of the package ``root / "jmix"``."""
    found = {}
    for path in sorted((root / "jmix").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _package(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def _absolute(package: str, target: str | None, level: int) -> str:
    if level == 0:
        return target or ""
    base = package.split(".")[: len(package.split(".")) - (level - 1)]
    return ".".join([*base, *([target] if target else [])])


def _dynamic_target(node: ast.Call, package: str) -> str | None:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in {"import_module", "__import__"} or not node.args:
        return None
    first = node.args[0]
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return None
    stripped = first.value.lstrip(".")
    return _absolute(package, stripped, len(first.value) - len(stripped))


def imports(tree: ast.AST, package: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import in a module, also those inside functions and by import_module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(package, node.module, node.level)
            for alias in node.names:
                member = f"{base}.{alias.name}"
                yield node.lineno, member if member in known or not base.startswith("jmix") else base
        elif isinstance(node, ast.Call) and (target := _dynamic_target(node, package)):
            yield node.lineno, target


def touches_jax_config(tree: ast.AST) -> Iterator[int]:
    """Lines that reach ``jax.config``, under whatever name jax was imported."""
    names = {"jax"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname for alias in node.names if alias.name == "jax" and alias.asname}
            yield from (node.lineno for alias in node.names if alias.name.startswith("jax.config"))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            from_config = (node.module or "").startswith("jax.config")
            from_jax = node.module == "jax" and any(alias.name == "config" for alias in node.names)
            if from_config or from_jax:
                yield node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "config" and getattr(node.value, "id", None) in names:
            yield node.lineno


def violations(root: Path) -> list[str]:
    """One line for each import, or use of jax.config, that the design forbids."""
    found = modules(root)
    problems = []
    for name, path in found.items():
        where = path.relative_to(root)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        own = layer(name)
        if own is None:
            problems.append(f"{where}: the design has no layer for {name}")
            continue
        for line, target in imports(tree, _package(name, path), set(found)):
            top = target.split(".")[0]
            if top == "jaxopt" and name != "jmix.estimate.lbfgs":
                problems.append(f"{where}:{line}: only jmix/estimate/lbfgs.py imports jaxopt")
            theirs = layer(target) if top == "jmix" else 0
            if theirs is None or theirs > own:
                problems.append(f"{where}:{line}: {name} (layer {own}) imports {target} (layer {theirs})")
        if name != "jmix.runtime":
            problems += [
                f"{where}:{line}: only jmix/runtime.py touches jax.config" for line in touches_jax_config(tree)
            ]
    return problems


def test_the_package_keeps_its_layers(repo: Path) -> None:
    assert len(modules(repo)) > 5
    assert violations(repo) == []


def plant(root: Path, module: str, source: str) -> None:
    """Write a small package of allowed imports, then one module with ``source``."""
    clean = {
        "jmix/__init__.py": "def __getattr__(name):\n    from .api import lmm\n    return lmm\n",
        "jmix/api.py": "from jmix.estimate import lbfgs\nfrom . import errors\n",
        "jmix/errors.py": "import difflib\n",
        "jmix/design.py": "from jmix.formula import parse\nfrom . import design_columns, errors\n",
        "jmix/design_columns.py": "from jmix import errors\n",
        "jmix/runtime.py": "import jax\njax.config.update('jax_enable_x64', True)\n",
        "jmix/formula/__init__.py": "from .parse import cut\n",
        "jmix/formula/parse.py": "import jax\nfrom ..errors import FormulaError\njax.jit\nself.config\n",
        "jmix/estimate/__init__.py": "",
        "jmix/estimate/lbfgs.py": "import jaxopt\nfrom .. import design\nfrom ..formula import parse\n",
        "jmix/results/__init__.py": "from ..estimate.lbfgs import run\n",
    }
    for file, text in (clean | {module: source}).items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_allowed_imports_pass(tmp_path: Path) -> None:
    plant(tmp_path, "jmix/spec/__init__.py", "from jmix.numerics import blocks\n")
    assert violations(tmp_path) == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("jmix/errors.py", "from jmix.formula import parse", "imports jmix.formula.parse (layer 2)"),
        ("jmix/errors.py", "from . import design", "imports jmix.design (layer 2)"),
        ("jmix/errors.py", "import jmix.api", "imports jmix.api (layer 8)"),
        ("jmix/errors.py", "import jmix", "imports jmix (layer 8)"),
        ("jmix/errors.py", "from jmix import lmm", "imports jmix (layer 8)"),
        ("jmix/formula/parse.py", "def f():\n    from ..estimate import lbfgs", "parse.py:2: jmix.formula.parse"),
        ("jmix/formula/parse.py", "class A:\n    def f(self):\n        import jmix.results as r", "(layer 7)"),
        ("jmix/formula/parse.py", "import importlib\nimportlib.import_module('jmix.api')", "imports jmix.api"),
        ("jmix/formula/__init__.py", "from ..results import fit", "imports jmix.results (layer 7)"),
        ("jmix/design_columns.py", "from jmix.spec import layout", "imports jmix.spec (layer 4)"),
        ("jmix/results/fit.py", "from jmix import model", "imports jmix (layer 8)"),
        ("jmix/numerics/newton.py", "import jaxopt", "only jmix/estimate/lbfgs.py imports jaxopt"),
        ("jmix/estimate/em.py", "from jaxopt.implicit_diff import custom_root", "only jmix/estimate/lbfgs.py"),
        (
            "jmix/api.py",
            "import jax\ndef f():\n    jax.config.update('jax_enable_x64', True)",
            "api.py:3: only jmix/run",
        ),
        ("jmix/api.py", "import jax as j\nj.config.x", "only jmix/runtime.py touches jax.config"),
        ("jmix/api.py", "from jax import config", "only jmix/runtime.py touches jax.config"),
        ("jmix/helpers.py", "", "the design has no layer for jmix.helpers"),
        ("jmix/api.py", "from jmix.helpers import x", "imports jmix.helpers (layer None)"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, module: str, source: str, message: str) -> None:
    plant(tmp_path, module, source)
    problems = violations(tmp_path)
    assert len(problems) == 1, problems
    assert message in problems[0]
