"""Imports go down the floors of the house, start fast, and bring only declared packages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "percepts"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_NAMES = {"pillow": "PIL", "scikit_learn": "sklearn"}
SLOW = ("torch", "matplotlib", "sklearn", "accelerate", "PIL")


def test_imports_go_down_the_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # In a process of its own: import-linter silences the loggers that there are.
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, f"an import goes up: run lint-imports to see which. {found.stdout[-500:]}"


def test_modules_import_only_hard_dependencies_at_the_top() -> None:
    hard = {import_name(requirement) for requirement in PROJECT["dependencies"]}
    allowed = hard | sys.stdlib_module_names | {"percepts"}
    found = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources()
        for tree in [ast.parse(path.read_text())]
        for module in imported(tree.body)
        if module not in allowed | asked_for(tree)
    }
    assert not found, "optional packages are imported where they are used"


def test_imports_name_only_declared_packages() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    declared = {import_name(requirement) for group in groups for requirement in group}
    allowed = declared | sys.stdlib_module_names | {"percepts"}
    found = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources()
        for module in imported(ast.walk(ast.parse(path.read_text())))
        if module not in allowed
    }
    assert not found


def test_the_command_line_starts_without_heavy_packages() -> None:
    code = f"import sys, percepts.cli; print(*[name for name in {SLOW} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@pytest.mark.parametrize(
    ("call", "safe_argument"),
    [
        ("pickle.load", None),
        ("pickle.loads", None),
        ("joblib.load", None),
        ("yaml.load", None),
        ("torch.load", "weights_only=True"),
        ("np.load", "allow_pickle=False"),
        ("numpy.load", "allow_pickle=False"),
    ],
)
def test_nothing_runs_code_from_files(call: str, safe_argument: str | None) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == call
        if safe_argument not in [ast.unparse(keyword) for keyword in node.keywords]
    ]
    assert not found, f"{call} without {safe_argument}" if safe_argument else f"{call} runs what a file says"


@pytest.mark.parametrize("module", ["pickle", "cloudpickle", "dill", "joblib", "scipy", "yaml"])
def test_forbidden_modules_are_not_imported(module: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if module in set(imported(ast.walk(ast.parse(path.read_text()))))
    ]
    assert not found


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    """The top-level names of the packages that the statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def asked_for(tree: ast.Module) -> set[str]:
    """Packages that a module of an extra asks for with `require_package` before it imports them."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return {ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == "require_package"}


def import_name(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("-", "_")
    return IMPORT_NAMES.get(name, name)
