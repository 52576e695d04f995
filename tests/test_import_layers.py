# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Imports run one way, down; a worker for plain functions stays small; names are lazy."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import host
import pytest
from programs import run_program

import genro_executor_plugin

pytestmark = pytest.mark.once

PACKAGE = Path(genro_executor_plugin.__file__).parent

LAYERS = (
    "hosts",
    "errors",
    "options",
    "metrics",
    "portable",
    "worker",
    "remote",
    "engines",
    "executors",
    "agent",
    "routing",
    "tasks",
    "offload",
    "serving",
    "console",
    "tools",
    "cli",
    "testing",
    "pytest_plugin",
    "genro_asgi",
    "kajenn",
)
"""Packages and root modules from the ground up: each imports itself and those before it."""

LEVEL = {name: level for level, name in enumerate(LAYERS)}

PLUMBING = LEVEL["executors"]
"""Up to here nobody imports genro-routes or a host."""

HOST_NAMES = re.compile(r"genro_?asgi|kajenn", re.IGNORECASE)
"""How a host is named in code: its package, and names made of it. In texts, which are for people,
genro-asgi has a hyphen."""

LIBRARIES_OF_HOSTS = ("genro_asgi", "kajenn", "genro_builders", "genro_bag")
"""What only ``hosts`` imports."""

OF_ONE_HOST = ("genro_asgi", "kajenn")
"""The modules of this package that need that host."""

WITHOUT_A_HOST = ("genro_executor_plugin.hosts.loaded.",)
"""The part of ``hosts`` that the plumbing may use: it imports no host."""

MOST_ROOT_MODULES = 6
"""How many modules may lie at the package's root, ``__init__`` among them."""

MOST_LINES = 350
"""How long a file of the package may be."""

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"
)  # fmt: skip


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, root: Path = PACKAGE) -> list[tuple[int, str]]:
    """The absolute names that ``path`` imports anywhere in it, with their lines.

    Args:
        root: the folder of the package that it is a module of.
    """
    package = [root.name, *path.relative_to(root).parent.parts]
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_nothing_that_stands_above_it(path: Path) -> None:
    own = layer_of(path)
    assert own in LEVEL, f"{path.name} has no layer yet: give it one in LAYERS"
    for line, name in imports_of(path):
        top, _, rest = name.partition(".")
        if top in LIBRARIES_OF_HOSTS:
            assert own == "hosts", f"{path}:{line} imports {name}; take it from hosts"
        elif name.startswith("genro_executor_plugin.hosts.") and own != "hosts":
            above = LEVEL[own] > PLUMBING or name.startswith(WITHOUT_A_HOST)
            assert above, f"{path}:{line} imports {name}, which imports a host"
        if top == "genro_executor_plugin":
            target = rest.split(".")[0]
            if target in LEVEL:
                assert LEVEL[target] <= LEVEL[own], f"{path}:{line} imports {name}"
            else:
                above = LEVEL[own] >= LEVEL["tools"]
                assert above, f"{path}:{line} imports the package itself"
        elif top == "genro_routes":
            assert LEVEL[own] > PLUMBING, f"{path}:{line} imports {name}"


def test_the_modules_of_hosts_have_the_same_names() -> None:
    """What only one host is asked has one surface; the two at the root differ in a name."""

    def public(name: str) -> set[str]:
        tree = ast.parse((PACKAGE / "hosts" / f"{name}.py").read_text(encoding="utf-8"))
        (names,) = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        return set(names)

    first, second = OF_ONE_HOST
    assert public(first) == public(second)
    at_the_root = (PACKAGE / f"{first}.py").read_text(encoding="utf-8")
    assert at_the_root.replace(first, second) == (PACKAGE / f"{second}.py").read_text("utf-8")


def names_of_hosts(path: Path) -> list[str]:
    """Where the code of ``path`` names a host: identifiers and texts, docstrings excepted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented)]
    docs = {
        id(statement.value)
        for body in bodies
        for statement in body
        if isinstance(statement, ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        written = [value for _, value in ast.iter_fields(node) if isinstance(value, str)]
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            written.append(node.value.decode("latin-1"))
        if id(node) not in docs:
            line = getattr(node, "lineno", "?")
            found += [f"{path}:{line}: {text!r}" for text in written if HOST_NAMES.search(text)]
    return found


def test_only_hosts_names_a_host() -> None:
    paths = [*MODULES, PACKAGE / "__init__.py"]
    found = [name for path in paths if layer_of(path) != "hosts" for name in names_of_hosts(path)]
    assert not found, "\n".join(found)


def test_a_name_of_a_host_is_seen_wherever_it_is_written(tmp_path: Path) -> None:
    written = tmp_path / "written.py"
    written.write_text(
        '"""genro_asgi in a docstring, and genro-asgi."""\n'
        "import genro_asgi.sse\n"
        "from kajenn.sse import SseStream as Stream\n"
        "module = sys.modules.get('genro_asgi.streaming')\n"
        "home = os.environ[f'{prefix}GENRO_ASGI_HOME']\n"
        "text = 'genro-asgi is a product'\n"
        "genro_asgi.exceptions.HTTPException\n"
    )
    lines = [found.split(":")[1] for found in names_of_hosts(written)]
    assert sorted(lines) == ["2", "3", "4", "5", "7"]


def test_the_surface_of_the_host_is_what_it_says_it_is() -> None:
    tree = ast.parse((PACKAGE / "hosts" / "names.py").read_text(encoding="utf-8"))
    declared = {
        node.module: {alias.name for alias in node.names}
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    from genro_executor_plugin.hosts import names

    del declared["chosen"]
    assert set().union(*declared.values()) == set(names.__all__)
    assert len(names.__all__) == sum(map(len, declared.values()))
    for module, its_names in declared.items():
        if module == OF_ONE_HOST[0]:  # which the types are checked with
            module = host.PACKAGE
        home = import_module(f"genro_executor_plugin.hosts.{module}")
        assert set(home.__all__) >= its_names
        for name in its_names:
            assert getattr(names, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        names.NoSuchName  # noqa: B018


def test_the_root_holds_a_few_modules_and_no_file_is_long() -> None:
    root = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(root) <= MOST_ROOT_MODULES, root
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def module_of(path: Path, root: Path) -> str:
    """The name of the module at ``path`` below the package at ``root``, empty for the package."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(root: Path) -> dict[str, set[str]]:
    """The modules below the package at ``root`` which each of its modules imports, by name.

    ``from . import name`` imports the module ``name`` if there is one, and else the package.
    """
    modules = {module_of(path, root): path for path in sorted(root.rglob("*.py"))}
    edges: dict[str, set[str]] = {}
    for own, path in modules.items():
        for _, name in imports_of(path, root):
            top, _, rest = name.partition(".")
            if top != root.name:
                continue
            target = rest if rest in modules else rest.rpartition(".")[0]
            # The package at the root, whose name is empty here, imports on demand only.
            if target and target in modules and target != own:
                edges.setdefault(own, set()).add(target)
    return edges


def circles_of(edges: dict[str, set[str]]) -> list[str]:
    """The circles in ``edges``, each as it is found first."""
    found: list[str] = []
    finished: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        if module in above:
            found.append(" -> ".join([*above[above.index(module) :], module]))
        elif module not in finished:
            for target in sorted(edges.get(module, ())):
                walk(target, (*above, module))
            finished.add(module)

    for module in sorted(edges):
        walk(module, ())
    return found


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    edges = imported_modules(PACKAGE)
    assert "tasks.store" in edges, "a package is a module, too"
    assert circles_of(edges) == []


def test_a_circle_is_seen_through_packages_and_names_of_modules(tmp_path: Path) -> None:
    root = tmp_path / "made_up"
    (root / "room").mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "room" / "__init__.py").write_text("from ..below import thing\n")
    (root / "below.py").write_text("from .room import Name\n")
    (root / "one.py").write_text("from . import two\n")
    (root / "two.py").write_text("import made_up.one\n")
    (root / "apart.py").write_text("from . import one\nfrom .room import Name\n")
    assert circles_of(imported_modules(root)) == [
        "one -> two -> one",
        "room -> below -> room",
    ]


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".errors",
        ".hosts.names",
        ".hosts.loaded",
        ".portable.packing",
        ".engines.process.child",
        ".engines.process.template",
        ".executors",
        ".executors.registry",
        ".tasks.progress",
        ".tasks.store",
    ],
)
def test_the_plumbing_loads_neither_genro_routes_nor_a_host(module: str) -> None:
    loaded = json.loads(
        run_program(
            "-c",
            f"import json, sys, genro_executor_plugin{module}; print(json.dumps([*sys.modules]))",
        )
    )
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"genro_routes", host.PACKAGE, "genro_toolbox", "pydantic", "uvicorn"}
    if module in (".engines.process.child", ".engines.process.template"):
        assert not tops & {"psutil", "asyncio", "multiprocessing", "concurrent"}


PUBLIC = {
    "BaseExecutor",
    "ExecutorApplication",
    "ExecutorClosedError",
    "ExecutorConsole",
    "ExecutorError",
    "ExecutorMixin",
    "ExecutorOverloadError",
    "ExecutorPlugin",
    "ExecutorRegistry",
    "ExecutorServer",
    "ExecutorTimeoutError",
    "InlineExecutor",
    "LocalExecutor",
    "ProcessExecutor",
    "RemoteError",
    "SerializationError",
    "ThreadExecutor",
    "UnknownExecutorError",
    "WorkerCrashedError",
}
"""The names that the documentation promises."""


def test_the_public_names_are_exported() -> None:
    exported = genro_executor_plugin.__all__
    assert set(exported) >= PUBLIC
    assert exported == sorted(exported)
    assert set(dir(genro_executor_plugin)) >= set(exported)
    for name in exported:
        assert getattr(genro_executor_plugin, name).__name__ in (name, "ProcessExecutor")
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        genro_executor_plugin.NoSuchName  # noqa: B018


def test_every_error_is_exported() -> None:
    from genro_executor_plugin import errors

    declared = {name for name in errors.__all__ if name.endswith("Error")}
    assert declared <= set(genro_executor_plugin.__all__)


def test_a_type_checker_sees_every_name_that_is_exported() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    seen |= {
        target.id
        for node in block.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert seen == set(genro_executor_plugin.__all__)


def test_names_are_imported_when_they_are_used() -> None:
    shown = run_program(
        "-c",
        "import sys, genro_executor_plugin as package\n"
        "def loaded(): return sorted({'.'.join(m.split('.')[:2]) for m in sys.modules"
        " if m.startswith('genro_')})\n"
        "print(loaded())\n"
        "package.ExecutorOverloadError\n"
        "print(loaded())\n"
        "package.ExecutorServer\n"
        f"print({host.PACKAGE!r} in sys.modules)\n",
    ).splitlines()
    assert shown == [
        "['genro_executor_plugin', 'genro_executor_plugin.hosts']",
        "['genro_executor_plugin', 'genro_executor_plugin.errors', 'genro_executor_plugin.hosts']",
        "True",
    ]


def test_everything_a_module_says_it_has_is_there() -> None:
    listing = "\n".join(
        "genro_executor_plugin." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in MODULES
        if path.name not in ("__init__.py", "__main__.py") and "demo" not in path.parts
        if path.stem not in OF_ONE_HOST or path.stem == host.PACKAGE
    )
    run_program(
        "-c",
        "import importlib, sys\n"
        "for name in sys.stdin.read().split():\n"
        "    module = importlib.import_module(name)\n"
        "    missing = [n for n in getattr(module, '__all__', ()) if not hasattr(module, n)]\n"
        "    assert not missing, (name, missing)\n",
        input=listing,
    )
