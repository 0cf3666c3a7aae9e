"""Ports of PyTorch programs, and the page on porting: every difference is listed and true."""

import difflib
import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import nn

ROOT = Path(__file__).parents[2]
PORTS = ROOT / "examples" / "ports"
PAGE = (ROOT / "docs" / "guide" / "porting.md").read_text()
MATRIX = np.array([[3.0, 1, 2], [5, 9, 4], [8, 7, 6]], np.float32)
LENGTH = ["--length", "12", "--count", "5", "--future", "3"]


def section(title: str) -> str:
    """Return the part of the page on porting below a title."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def load_program(name: str) -> Any:
    """Return a program of `examples/ports` as a module."""
    spec: Any = importlib.util.spec_from_file_location(name, PORTS / f"{name}.py")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_pair(name: str) -> tuple[Any, Any]:
    """Return a port and the PyTorch program, as modules."""
    pytest.importorskip("torch").set_num_threads(1)
    return load_program(name), load_program(f"{name}_torch")


# The page


def changed_lines(name: str) -> list[str]:
    """Return the lines that a port removes and adds."""
    texts = [(PORTS / f"{name}{suffix}.py").read_text().splitlines() for suffix in ("_torch", "")]
    lines = list(difflib.unified_diff(*texts, n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@") and line != "+"]


@pytest.mark.host
@pytest.mark.parametrize("name", ["word_lm", "sine"])
def test_the_page_lists_every_line_that_changed(name: str) -> None:
    text = PAGE.partition(f"examples/ports/{name}.py")[2].partition("\n### ")[0]
    listed = re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert sorted("".join(listed).splitlines()) == sorted(changed_lines(name))


# A part of each row of the table -> the PyTorch expression, and the expression to write instead.
SILENT: dict[str, tuple[str, str]] = {
    "t.std()": ("t.std()", "t.std(correction=1)"),
    "x.max(1)": ("t.max(1)[1]", "ag.max_with_indices(t, 1)[1]"),
    "[1, 2]": ("torch.split(t, [1, 2])[1]", "ag.split(t, [1])[1]"),
    "t.repeat(2, 1)": ("t.repeat(2, 1)", "ag.tile(t, (2, 1))"),
    "t.transpose(0, 1)": ("t.transpose(0, 1)", "t.swapaxes(0, 1)"),
    "t.var(0, True)": ("t.var(0, True)", "t.var(0, correction=1)"),
    "torch.norm(t, 1)": ("torch.norm(t, 1)", "ag.abs(t).sum()"),
    "torch.sort(t)": ("torch.sort(t)[1]", "ag.argsort(t)"),
    "torch.median(t)": ("torch.median(t[:2])", "ag.sort(ag.ravel(t[:2]))[(t[:2].size - 1) // 2]"),
    "torch.equal(t, u)": ("torch.equal(t, t)", "np.array_equal(t, t)"),
    "torch.arange(3) * t": ("torch.arange(3) * t", "ag.arange(3).astype(t.dtype) * t"),
    "torch.tensor([1, 2]) / 2": (
        "torch.tensor([1, 2]) / 2",
        'ag.tensor([1, 2]).astype("float32") / 2',
    ),
    "np.float64(2) * t": ("np.float64(2) * t", "float(np.float64(2)) * t"),
    "torch.tensor(np.float64(2)) * t": (
        "torch.tensor(np.float64(2)) * t",
        "ag.tensor(np.float64(2)).astype(t.dtype) * t",
    ),
    "torch.tensor([np.float64(1)])": (
        "torch.tensor([np.float64(1)])",
        "ag.tensor(np.array([1.0]))",
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("row", SILENT)
def test_silent_differences(row: str) -> None:
    """The line has another result here, and its replacement has the result of PyTorch."""
    torch: Any = pytest.importorskip("torch")
    names = {"ag": ag, "np": np, "t": ag.tensor(MATRIX)}
    line, replacement = SILENT[row]
    expected = eval(line, {"torch": torch, "np": np, "t": torch.tensor(MATRIX)})
    unchanged = eval(line.replace("torch.", "ag."), names)
    replaced = eval(replacement, names)
    assert row in section("Silent differences")
    if hasattr(expected, "numpy"):
        assert replaced.dtype == expected.numpy().dtype
    np.testing.assert_allclose(replaced, expected, rtol=1e-6)
    dtypes = {np.asarray(result).dtype for result in (unchanged, expected)}
    shapes = {np.shape(result) for result in (unchanged, expected)}
    assert len(dtypes) + len(shapes) > 2 or not np.allclose(unchanged, expected)


@pytest.mark.host
def test_float64_input_of_float32_modules() -> None:
    torch: Any = pytest.importorskip("torch")
    assert nn.Linear(3, 2)(MATRIX.astype("float64")).dtype == "float64"
    with pytest.raises(RuntimeError, match="same dtype"):
        torch.nn.Linear(3, 2)(torch.tensor(MATRIX.astype("float64")))


@pytest.mark.host
def test_augmented_assignment_to_a_recorded_result() -> None:
    y = ag.tensor(MATRIX, requires_grad=True) * 2
    alias, view = y, y[0]
    y += 1
    np.testing.assert_array_equal(alias.numpy(), 2 * MATRIX)
    np.testing.assert_array_equal(view.numpy(), 2 * MATRIX[0])
    np.testing.assert_array_equal(y.numpy(), 2 * MATRIX + 1)


@pytest.mark.host
def test_the_state_of_a_module_is_a_copy() -> None:
    module = nn.Linear(3, 2)
    weight = module.weight.numpy()
    module.state_dict()["weight"][:] = 0
    np.testing.assert_array_equal(module.weight.numpy(), weight)


MISSING = re.findall(r"^\| `(.+?)`.*? \| `(.+?)`", section("Names that are missing"), re.MULTILINE)


@pytest.mark.host
@pytest.mark.parametrize(("expression", "replacement"), MISSING)
def test_replacements_of_missing_names(expression: str, replacement: str) -> None:
    torch: Any = pytest.importorskip("torch")
    index = np.array([[2], [0], [1]])
    t, i = torch.tensor(MATRIX), torch.tensor(index)
    expected = eval(expression, {"torch": torch, "t": t, "i": i})
    t, i = ag.tensor(MATRIX), ag.tensor(index)
    replaced = eval(replacement, {"ag": ag, "np": np, "t": t, "i": i})
    is_sequence = isinstance(expected, tuple)
    for left, right in (
        zip(replaced, expected, strict=True) if is_sequence else [(replaced, expected)]
    ):
        np.testing.assert_allclose(left, right, rtol=1e-6)
    name = re.match(r"torch\.(\w+)", expression)
    assert name is None or name[1] == "allclose" or not hasattr(ag, name[1])


def test_missing_names_are_found() -> None:
    assert len(MISSING) > 20


# The programs


def test_the_language_model_runs(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--nhid", "8", "--characters", "3000", "--batch-size", "4", "--epochs", "2"]
    for model in ("LSTM", "GRU"):
        load_program("word_lm").main([*sizes, "--model", model, "--lr", "1", "--device", device])
        printed = capsys.readouterr().out
        assert f"(rnn): {model}(8, 8, num_layers=2, dropout=0.2)" in printed
        first, second, test = map(float, re.findall(r"(?:validation|test loss) +(\S+)", printed))
        assert second < first
        assert test < first


def test_the_learning_rate_falls_when_the_validation_loss_does_not(
    device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, losses = load_program("word_lm"), iter([3.0, 4.0, 2.0, 5.0])
    monkeypatch.setattr(module, "evaluate", lambda *args: next(losses))
    monkeypatch.setattr(module, "train", lambda *args: [1.0])
    sizes = ["--nhid", "8", "--characters", "3000", "--batch-size", "4", "--epochs", "3"]
    module.main([*sizes, "--lr", "8", "--device", device])
    rates = re.findall(r"lr +(\S+)", capsys.readouterr().out)
    assert list(map(float, rates)) == [8, 8, 2]


@pytest.mark.host
def test_the_forecaster_runs(capsys: pytest.CaptureFixture[str]) -> None:
    load_program("sine").main([*LENGTH, "--steps", "2"])
    errors = [float(number) for number in re.findall(r"test (\S+)", capsys.readouterr().out)]
    assert errors[1] < errors[0] < 1


@pytest.mark.host
def test_the_forecaster_plots(tmp_path: Path) -> None:
    load_program("sine").main([*LENGTH, "--steps", "1", "--png", str(tmp_path / "waves.png")])
    assert (tmp_path / "waves.png").read_bytes().startswith(b"\x89PNG")


def copy_weights(port: Any, original: Any) -> None:
    port.load_state_dict({name: value.numpy() for name, value in original.state_dict().items()})


@pytest.mark.host
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_language_model_has_the_losses_of_pytorch(kind: str) -> None:
    args = SimpleNamespace(bptt=5, clip=0.25, device="cpu")
    text = "the cat and the dog and the bird; " * 20
    modules = load_pair("word_lm")
    models = [module.RNNModel(kind, 7, 6, 2, 0.0) for module in modules]
    copy_weights(*models)
    results = []
    for module, model in zip(modules, models, strict=True):
        corpus, criterion = module.Corpus(text), module.nn.CrossEntropyLoss()
        assert len(corpus.words) == 7
        source = module.batchify(corpus.train, 4, "cpu")
        optimizer = module.optim.SGD(model.parameters(), lr=2)
        losses = module.train(model, source, criterion, optimizer, args)
        results.append([*losses, module.evaluate(model, source, criterion, args)])
    assert len(results[0]) > 4
    assert results[0][-1] < results[0][0]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4)


@pytest.mark.host
def test_the_forecaster_has_the_losses_of_pytorch() -> None:
    port, original = load_pair("sine")
    data = port.waves(4, 15)
    models = port.Sequence(7).to("float64"), original.Sequence(7).double()
    copy_weights(*models)
    results = []
    for module, model, tensor in (
        (port, models[0], port.ag.tensor),
        (original, models[1], original.torch.from_numpy),
    ):
        optimizer = module.optim.LBFGS(model.parameters(), lr=0.8)
        inputs, targets = tensor(data[:, :-1]), tensor(data[:, 1:])
        losses = module.train(model, inputs, targets, optimizer, module.nn.MSELoss())
        forecast = model(inputs, future=3).detach().numpy().ravel()
        results.append(np.concatenate([losses, forecast]))
    assert len(results[0]) > 4 * 17 + 10
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
