"""Compare compiled with eager execution of random scans.

    python tests/support/fuzz_scan.py --count 3000 --seed 0

prints the programs that differ, and a summary: the programs with each feature, and the fraction
that is compiled. `check_program` is what the tests call.
"""

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")]

import fake_cupy  # noqa: E402, F401  # registers the device "strict"
import numpy as np  # noqa: E402
from compiled import in_order, kind_of  # noqa: E402
from helpers import on_host  # noqa: E402
from random_scans import Program, random_scan  # noqa: E402

import autograd as ag  # noqa: E402

TOLERANCE = 1e-9


class Different(AssertionError):
    """Compiled and eager execution of a program differ."""


def floats(tree: Any) -> list[Any]:
    return [
        t for t in ag.flatten(in_order(tree)) if isinstance(t, ag.Tensor) and t.dtype.kind == "f"
    ]


def used(program: Program, out: Any) -> Any:
    """Return the part of the result of a program that is differentiated."""
    return out if program.used is None else (out[0], out[1][program.used])


def weighted_sum(leaves: list[Any]) -> Any:
    """Return the sum of all entries of recorded tensors, with random weights, or None."""
    total = None
    for i, leaf in enumerate(leaves):
        if leaf is not None and leaf.requires_grad:
            weight = np.random.default_rng(i).uniform(-1, 1, leaf.shape)
            term = (leaf * ag.tensor(weight)).sum()
            total = term if total is None else total + term
    return total


def derivatives(program: Program, names: dict[str, Any], order: int, **options: Any) -> list[Any]:
    """Return the result of a program and its derivatives up to an order, some of them None."""
    ag.manual_seed(3)
    out = names["run"](**options)
    tensors = [names[name] for name in program.inputs if names[name].requires_grad]
    found, leaves = [out], floats(used(program, out))
    for n in range(order):
        total = weighted_sum(leaves)
        if total is None:
            leaves = [None] * len(tensors)
        else:
            create_graph = n < order - 1
            leaves = [*ag.gradients(total, tensors, create_graph=create_graph, allow_unused=True)]
        found.append(leaves)
    return found


def jvp(program: Program, names: dict[str, Any], **options: Any) -> Any:
    """Return the Jacobian-vector product of a program with a fixed vector."""
    inputs = program.inputs
    before = [names[name] for name in inputs]

    def function(*tensors: Any) -> Any:
        names.update(zip(inputs, tensors, strict=True))
        ag.manual_seed(3)
        return tuple(floats(used(program, names["run"](**options))))

    rng = np.random.default_rng(0)
    tangents = [ag.tensor(rng.uniform(-1, 1, t.shape)) for t in before]
    try:
        return ag.jvp(function, tuple(before), tuple(tangents))
    finally:
        names.update(zip(inputs, before, strict=True))


def forward(program: Program, names: dict[str, Any], **options: Any) -> Any:
    """Return the results without recording."""
    ag.manual_seed(3)
    with ag.no_grad():
        return names["run"](**options)


def some_inputs(program: Program, names: dict[str, Any], **options: Any) -> Any:
    """Return the derivatives by every second input, with the others frozen."""
    for name in program.inputs[1::2]:
        names[name] = names[name].detach()
    return derivatives(program, names, 1, **options)


def assert_same(actual: Any, expected: Any, what: str, ragged: bool) -> None:
    """Raise Different unless two trees have equal nesting, kinds, and values up to rounding."""
    kinds = [ag.tree_map(kind_of, tree) for tree in (actual, expected)]
    ones, others = list(leaves(actual)), list(leaves(expected))
    if len(ones) != len(others):
        raise Different(f"{what}: {kinds[0]} != {kinds[1]}")
    for i, (one, other) in enumerate(zip(ones, others, strict=True)):
        name = f"{what}, leaf {i}"
        if (one is None) != (other is None):
            if ragged and other is None and not on_host(one).any():
                continue
            raise Different(f"{name}: {one} instead of {other}")
        if other is None:
            continue
        if kind_of(one) != kind_of(other):
            raise Different(f"{name}: {kind_of(one)} instead of {kind_of(other)}")
        if not isinstance(other, ag.Tensor):
            if one != other:
                raise Different(f"{name}: {one} instead of {other}")
            continue
        if one.requires_grad != other.requires_grad and not (ragged and one.requires_grad):
            raise Different(f"{name}: requires_grad is {one.requires_grad}")
        assert_close(on_host(one), on_host(other), name)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of a tree, including None."""
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from leaves(tree[key])
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from leaves(item)
    else:
        yield tree


def assert_close(one: Any, other: Any, name: str) -> None:
    finite = np.isfinite(other)
    if not np.array_equal(finite, np.isfinite(one)):
        raise Different(f"{name}: {one} instead of {other}")
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        raise Different(f"{name}: {one} instead of {other}")
    limit = TOLERANCE * (1 + np.abs(other[finite].astype(float)).max(initial=0))
    error = np.abs(one[finite].astype(float) - other[finite]).max(initial=0)
    if error > limit:
        raise Different(f"{name}: differs by {error:.3g}: {one} instead of {other}")


COMPARISONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "gradients": (derivatives, {"order": 1}),
    "second derivatives": (derivatives, {"order": 2}),
    "jvp": (jvp, {}),
    "results without recording": (forward, {}),
    "gradients by some inputs": (some_inputs, {}),
}


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a function, or the error that it raises."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return error


def check_program(program: Program) -> bool:
    """Compare compiled with eager execution; raise Different if they differ.

    Returns
    -------
    bool
        True if the scan is compiled.
    """
    variants = range(3 if "captured floats" in program.features else 1)
    runs = [(size, variant, "gradients") for size in program.sizes for variant in variants]
    runs += [(program.sizes[0], 0, name) for name in list(COMPARISONS)[1:]]
    for (T, B), variant, name in runs:
        function, arguments = COMPARISONS[name]
        found = []
        for compile in (False, None):
            names = program.load(T, B, variant)
            found.append(outcome(function, program, names, compile=compile, **arguments))
        what = f"{name} at T = {T}, B = {B}, variant {variant}"
        expected, actual = found
        if isinstance(expected, Exception) or isinstance(actual, Exception):
            if (type(expected), str(expected)) != (type(actual), str(actual)):
                error = actual if isinstance(actual, Exception) else expected
                text = "".join(traceback.format_exception(error))
                raise Different(f"{what}: {actual!r} instead of {expected!r}\n{text}")
            if program.features.isdisjoint({"T = 0", "B = 0"}):
                raise expected
            continue
        assert_same(actual, expected, what, program.ragged)
    return explained(program)


def explained(program: Program) -> bool:
    """Return True if the scan of a program with two steps and two sequences is compiled."""
    names = program.load(max(program.sizes[0][0], 2), max(program.sizes[0][1], 2))
    return bool(names["run"](ag.explain).compiled)


def fuzz(
    count: int, seed: int = 0, report: Callable[[str], None] = print, progress: bool = False
) -> tuple[Counter[str], list[str]]:
    """Check `count` programs. Return the number of programs per feature, and the failures.

    The counts have the entries "programs" and "compiled" as well.
    """
    features: Counter[str] = Counter()
    compiled: Counter[str] = Counter()
    failures: list[str] = []
    start = time.monotonic()
    for n in range(count):
        program = random_scan(seed + n)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                is_compiled = check_program(program)
        except Exception as error:
            is_compiled = False
            text = str(error) if isinstance(error, Different) else traceback.format_exc()
            failures.append(f"# --- program {seed + n}\n{program}\n# {text}".rstrip())
            report(failures[-1])
        names = ["programs", *program.features]
        features.update(names)
        if is_compiled:
            compiled.update(names)
        if progress and (n + 1) % 50 == 0:
            seconds = time.monotonic() - start
            print(
                f"{n + 1}/{count} programs, {len(failures)} failures, {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    features["compiled"] = compiled["programs"]
    for name, number in sorted(compiled.items()):
        features[f"compiled: {name}"] = number
    return features, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=3000, help="number of programs")
    parser.add_argument("--seed", type=int, default=0, help="number of the first program")
    parser.add_argument("--show", action="store_true", help="print the first program, and stop")
    options = parser.parse_args()
    if options.show:
        print(random_scan(options.seed))
        return 0
    counts, failures = fuzz(options.count, options.seed, progress=True)
    for name in sorted(counts):
        if not name.startswith("compiled"):
            print(f"{counts[name]:6d}  {counts[f'compiled: {name}']:6d} compiled  {name}")
    print(
        f"{counts['programs']} programs, {counts['compiled']} compiled "
        f"({counts['compiled'] / max(counts['programs'], 1):.1%}), {len(failures)} failures"
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
