"""What the repository promises: documented, small files, few dependencies with floors, nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted((ROOT / "src" / "percepts").rglob("*.py"))
MAX_LINES = 400

# Written in pieces so that this file does not contain what it forbids.
HOSTS = (
    "pypi" + ".org",
    "python" + "hosted",
    "download.py" + "torch.org",
    "conda" + ".anaconda",
    "registry" + ".npmjs",
)
MACHINE_PATH = re.compile(
    "(?<![A-Za-z0-9_.~-])/(?:" + "|".join(["ho" + "me", "ro" + "ot", "wo" + "rk", "Us" + "ers"]) + r")/\w"
)


def test_public_code_has_docstrings() -> None:
    trees = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in SOURCES}
    contracts = {name for tree in trees.values() for name in documented_methods(tree)}
    missing = [f"{path}:{line}: {name}" for path, tree in trees.items() for name, line in undocumented(tree, contracts)]
    assert not missing


def test_undocumented_finds_what_has_no_docstring() -> None:
    tree = ast.parse("""
class A:
    def b(self): pass
    def _c(self): pass
    def protocol(self): ...
    def render(self): pass
class B:
    'documented'
    def render(self): 'the contract'
def d(): pass
def e():
    'documented'
    def inner(): pass
""")
    assert documented_methods(tree) == {"render"}
    assert [name for name, _ in undocumented(tree, {"render"})] == ["module", "A", "A.b", "d"]


def test_few_hard_dependencies() -> None:
    assert len(PROJECT["dependencies"]) <= 10


PLAIN = r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?>=[0-9.]+"
"""A requirement with a floor and nothing else, perhaps with extras of its own."""


def test_dependencies_have_floors_and_no_caps() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [requirement for group in groups for requirement in group if not requirement.startswith("percepts")]
    wrong = [requirement for requirement in requirements if not re.fullmatch(PLAIN, requirement)]
    assert not wrong


def test_constraints_pin_every_direct_dependency_at_or_above_its_floor() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {line.split("==")[0]: line.split("==")[1] for line in lines if "==" in line}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in {requirement for group in groups for requirement in group if ">=" in requirement}:
        name, floor = re.sub(r"\[.*\]", "", requirement).split(">=")
        assert name in pins, f"constraints.txt does not pin {name}"
        assert numbers(pins[name]) >= numbers(floor)
    assert pins["torch"].startswith("2.13.0")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES, "is this one thing?"


def test_nothing_names_a_package_host_or_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if any(host in line for host in HOSTS) or MACHINE_PATH.search(line)
    ]
    assert not found


@pytest.mark.parametrize(
    ("line", "matches"),
    [
        ("open('/ho" + "me/ada/x')", True),
        ("see /wo" + "rk/a", True),
        ("how/wo" + "rk/it", False),
        ("~/ro" + "ot/x", False),
    ],
)
def test_machine_paths_are_recognised(line: str, matches: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is matches


def test_ci_runs_the_tests_and_the_linters() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
    assert {"make test", "make lint"} <= set(script.read_text().splitlines())


def undocumented(tree: ast.Module, contracts: set[str]) -> Iterator[tuple[str, int]]:
    """(name, line) of everything public without a docstring.

    A method needs none where the class says it all (a protocol's signature, body `...`) or where the method keeps a
    contract that is written elsewhere (`contracts`, and torch's `forward`). Functions in functions are not public.
    """
    if tree.body and not ast.get_docstring(tree):
        yield "module", 1
    for node in public(tree):
        if not ast.get_docstring(node):
            yield node.name, node.lineno
        for member in public(node) if isinstance(node, ast.ClassDef) else ():
            is_signature = ast.unparse(member.body[-1]) == "..."
            if not (ast.get_docstring(member) or is_signature or member.name in contracts | {"forward"}):
                yield f"{node.name}.{member.name}", member.lineno


def documented_methods(tree: ast.Module) -> set[str]:
    """The names of the methods that have a docstring somewhere."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        member.name
        for node in classes
        for member in public(node)
        if not isinstance(member, ast.ClassDef) and ast.get_docstring(member)
    }


def public(parent: ast.Module | ast.ClassDef) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public classes and functions directly in `parent`."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in parent.body if isinstance(node, kinds) and not node.name.startswith("_")]


def tracked() -> list[Path]:
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
