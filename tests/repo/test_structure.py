"""The package layout: layers of imports, sizes of files, and where libraries are imported."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]

# From the bottom up: a module may import its own package and the layers below, nothing beside it.
# The compiler is a pipeline of stages with the same rule.
ENGINE = [
    {"runtime"},
    {"backend"},
    {"core"},
    {"ops"},
    {"transforms", "random", "numpy_protocol"},
    {"recompute"},
    {"compile"},
    {"recurrence"},
    {"testing", "debug"},
    {"", "_tensor"},
]
COMPILER = [
    {"ir", "keys", "pure_step", "scan_call"},
    {"traced_array", "purity"},
    {"tracing"},
    {"step_trace"},
    {"step_graph"},
    {"differentiate", "replay"},
    {"schedule"},
    {"executors.c_expressions"},
    {"executors.cuda"},
    {"passes"},
    {"buffers"},
    {"loop_program"},
    {"operands", "generalize"},
    {"lowering"},
    {"executors"},
    {"explain", "scan_node"},
    {"plan_families", "unroll"},
    {"cache"},
    {""},
]
LIBRARY = [
    {"compatibility"},
    {"", "errors", "plotting", "scalars", "summary"},
    {"nn", "optim", "data"},
    {"insight"},
    {"models"},
    {"training"},
    {"tasks"},
    {"demos"},
    {"cli"},
    {"__main__"},
]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for package in ("autograd", "tinygrad_rnn")
    for path in sorted((ROOT / package).rglob("*.py"))
}
COMPILER_MODULES = {name for name in MODULES if name.startswith("autograd.compile")}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(module: str) -> set[str]:
    """Return the full names of all modules that a module imports, also inside its functions.

    Imports for type checkers do not count.
    """
    path = MODULES[module]
    package = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
    found = set()
    tree = parse(path)
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if ast.unparse(block.test) == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.add(inner if inner in MODULES else source)
    return found


def layer(module: str, layers: list[set[str]]) -> int:
    part = [*module.split("."), ""][1]
    places = [i for i, names in enumerate(layers) if part in names]
    assert places, f"{module} is new: add it to a layer"
    return places[0]


@pytest.mark.parametrize(("package", "layers"), [("autograd", ENGINE), ("tinygrad_rnn", LIBRARY)])
def test_imports_point_downwards(package: str, layers: list[set[str]]) -> None:
    for module in MODULES:
        own = module.split(".")[:2]
        for imported in imports(module) if own[0] == package else ():
            if imported.split(".")[0] == package and imported.split(".")[:2] != own:
                assert layer(imported, layers) < layer(module, layers), f"{module} -> {imported}"


def stage(module: str) -> tuple[int, str]:
    """Return the position and the name of the stage of a module of the compiler."""
    part = module.removeprefix("autograd.compile").removeprefix(".")
    for name in (part, part.split(".")[0]):
        for position, names in enumerate(COMPILER):
            if name in names:
                return position, name
    raise AssertionError(f"{module} is new: add it to a stage")


def test_stages_of_the_compiler_import_earlier_stages() -> None:
    for module in COMPILER_MODULES:
        for imported in imports(module) & COMPILER_MODULES:
            (before, name), (position, user) = stage(imported), stage(module)
            assert before < position or name == user, f"{module} -> {imported}"


def test_passes_depend_on_no_executor() -> None:
    """Except for the C expressions of operations, and the fused kernels that they become."""
    kernels = {"autograd.compile.executors.c_expressions", "autograd.compile.executors.cuda"}
    executors = {m for m in COMPILER_MODULES if m.startswith("autograd.compile.executors")}
    for module in COMPILER_MODULES:
        if module.startswith("autograd.compile.passes"):
            assert imports(module) & executors <= kernels, module


def test_the_engine_knows_nothing_of_the_library() -> None:
    for module in MODULES:
        if module.startswith("autograd"):
            assert not any(name.startswith("tinygrad_rnn") for name in imports(module)), module


def test_there_are_no_circles() -> None:
    order = TopologicalSorter({module: imports(module) & set(MODULES) for module in MODULES})
    assert set(order.static_order()) == set(MODULES)


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("cupy", {"autograd.backend.cupy"}),
        ("cupyx", {"autograd.backend.cupy"}),
        ("hypothesis", {"autograd.testing.strategies"}),
        ("mido", {"tinygrad_rnn.data.formats.midi"}),
    ],
)
def test_optional_libraries_are_imported_in_one_place(library: str, places: set[str]) -> None:
    users = {m for m in MODULES if any(i.split(".")[0] == library for i in imports(m))}
    assert users <= places


def test_state_is_set_in_blocks_and_locks_are_held_on_one_line() -> None:
    for module, path in MODULES.items():
        if module == "autograd.runtime.context":
            continue
        tree = parse(path)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "ContextVar" not in names, f"{module}: use autograd.runtime.context.ContextVariable"
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
        entered = [ast.unparse(item.context_expr) for node in blocks for item in node.items]
        assert not [name for name in entered if name.endswith("lock")], f"{module}: run_locked"


def test_operations_compute_through_the_backend_only() -> None:
    for module in MODULES:
        if module.startswith("autograd.ops"):
            assert not any(name.split(".")[0] == "numpy" for name in imports(module)), module


def test_no_file_is_long() -> None:
    folders = ("autograd", "tinygrad_rnn", "tests", "examples", "benchmarks")
    for path in [path for folder in folders for path in (ROOT / folder).rglob("*.py")]:
        limit = 400 if "autograd/compile/" in path.as_posix() else 500
        assert len(path.read_text(encoding="utf-8").splitlines()) <= limit, path


def lines_of(node: ast.AST) -> int:
    """Return the number of lines of a function or class, without its docstring."""
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    nodes = [node, node.body[0]] if ast.get_docstring(node) else [node]
    lines = [(n.end_lineno or 0) - n.lineno + 1 for n in nodes]
    return lines[0] - sum(lines[1:])


def test_no_function_or_class_is_long() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(parse(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert lines_of(node) <= 60, f"{module}.{node.name}"
            elif isinstance(node, ast.ClassDef):
                assert lines_of(node) <= 350, f"{module}.{node.name}"


def test_importing_the_engine_imports_little() -> None:
    script = "import sys, autograd as ag; ag.testing.check_gradients; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "numpy" in loaded
    assert not loaded & {"hypothesis", "cupy", "matplotlib", "rich", "safetensors", "tinygrad_rnn"}


def code_lines(path: Path) -> int:
    """Return the number of lines of code, without blank lines, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            prose |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return sum(n not in prose and line != "" and not line.startswith("#") for n, line in lines)


def test_the_engine_can_be_read_in_one_evening() -> None:
    """The limit excludes the compiler, without which only speed differs; -s prints all sizes."""
    sizes = {
        path.relative_to(ROOT / "autograd"): code_lines(path)
        for path in sorted((ROOT / "autograd").rglob("*.py"))
        if not {"testing", "compile", "debug"} & {*path.parts}
    }
    core = sum(n for path, n in sizes.items() if path.parts[0] == "core")
    print(*(f"{n:5} {path}" for path, n in sizes.items()), sep="\n")
    print(f"{core:5} in core/; {sum(sizes.values())} in all")
    assert core <= 1200
    assert sum(sizes.values()) <= 5500
