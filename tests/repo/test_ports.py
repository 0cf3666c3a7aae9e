"""Programs written for PyTorch, and their ports: what had to change; that they learn the same."""

import difflib
import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autograd as ag

ROOT = Path(__file__).parents[2]
PORTS = ROOT / "examples" / "ports"
LENGTH = ["--length", "12", "--count", "5", "--future", "3"]


def program(name: str) -> Any:
    """A program of `examples/ports` as a module."""
    spec: Any = importlib.util.spec_from_file_location(name, PORTS / f"{name}.py")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both(name: str) -> tuple[Any, Any]:
    """A port, and the program for PyTorch that it was made from."""
    pytest.importorskip("torch").set_num_threads(1)
    return program(name), program(f"{name}_torch")


# What had to change


def changes(name: str) -> list[str]:
    """The lines that a port takes away and puts in."""
    texts = [(PORTS / f"{name}{end}.py").read_text().splitlines() for end in ("_torch", "")]
    lines = list(difflib.unified_diff(*texts, n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@") and line != "+"]


@pytest.mark.host
@pytest.mark.parametrize("name", ["word_lm", "sine"])
def test_the_page_on_porting_lists_every_line_that_changed(name: str) -> None:
    page = (ROOT / "docs" / "guide" / "porting.md").read_text()
    section = page.partition(f"examples/ports/{name}.py")[2].partition("\n## ")[0]
    listed = re.findall(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert sorted("".join(listed).splitlines()) == sorted(changes(name))


# Each is a part of a line of the table, and what to write here for it.
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
}


@pytest.mark.host
@pytest.mark.parametrize("line", SILENT)
def test_silent_differences_are_listed_with_what_to_write(line: str) -> None:
    torch: Any = pytest.importorskip("torch")
    table = (
        (ROOT / "docs" / "guide" / "porting.md").read_text().partition("## Silent differences")[2]
    )
    x = np.array([[3.0, 1, 2], [5, 9, 4], [8, 7, 6]], np.float32)
    names = {"ag": ag, "np": np, "t": ag.tensor(x)}
    theirs, ours = SILENT[line]
    expected = eval(theirs, {"torch": torch, "t": torch.tensor(x)})
    same_line = eval(theirs.replace("torch.", "ag."), names)
    found = eval(ours, names)
    assert line in table
    assert found.dtype == expected.numpy().dtype if hasattr(expected, "numpy") else found is True
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    dtypes = {np.asarray(result).dtype for result in (same_line, expected)}
    shapes = {np.shape(result) for result in (same_line, expected)}
    assert len(dtypes) + len(shapes) > 2 or not np.allclose(same_line, expected)


# That they run, and learn the same


def test_the_language_model_runs(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--nhid", "8", "--characters", "3000", "--batch-size", "4", "--epochs", "2"]
    for model in ("LSTM", "GRU"):
        program("word_lm").main([*sizes, "--model", model, "--lr", "1", "--device", device])
        printed = capsys.readouterr().out
        assert f"(rnn): {model}(8, 8, num_layers=2, dropout=0.2)" in printed
        first, second, test = map(float, re.findall(r"(?:validation|test loss) +(\S+)", printed))
        assert second < first
        assert test < first


def test_the_learning_rate_falls_when_validation_gets_no_better(
    device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, losses = program("word_lm"), iter([3.0, 4.0, 2.0, 5.0])
    monkeypatch.setattr(module, "evaluate", lambda *args: next(losses))
    monkeypatch.setattr(module, "train", lambda *args: [1.0])
    sizes = ["--nhid", "8", "--characters", "3000", "--batch-size", "4", "--epochs", "3"]
    module.main([*sizes, "--lr", "8", "--device", device])
    rates = re.findall(r"lr +(\S+)", capsys.readouterr().out)
    assert list(map(float, rates)) == [8, 8, 2]


def test_the_forecaster_runs(capsys: pytest.CaptureFixture[str]) -> None:
    program("sine").main([*LENGTH, "--steps", "2"])
    errors = [float(found) for found in re.findall(r"test (\S+)", capsys.readouterr().out)]
    assert errors[1] < errors[0] < 1


@pytest.mark.host
def test_the_forecaster_draws(tmp_path: Path) -> None:
    program("sine").main([*LENGTH, "--steps", "1", "--png", str(tmp_path / "waves.png")])
    assert (tmp_path / "waves.png").read_bytes().startswith(b"\x89PNG")


def same_weights(ours: Any, theirs: Any) -> None:
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})


@pytest.mark.host
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_language_models_losses_are_pytorchs(kind: str) -> None:
    args = SimpleNamespace(bptt=5, clip=0.25, device="cpu")
    text = "the cat and the dog and the bird; " * 20
    modules = both("word_lm")
    models = [module.RNNModel(kind, 7, 6, 2, 0.0) for module in modules]
    same_weights(*models)
    found = []
    for module, model in zip(modules, models, strict=True):
        corpus, criterion = module.Corpus(text), module.nn.CrossEntropyLoss()
        assert len(corpus.words) == 7
        source = module.batchify(corpus.train, 4, "cpu")
        optimizer = module.optim.SGD(model.parameters(), lr=2)
        losses = module.train(model, source, criterion, optimizer, args)
        found.append([*losses, module.evaluate(model, source, criterion, args)])
    assert len(found[0]) > 4
    assert found[0][-1] < found[0][0]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


@pytest.mark.host
def test_the_forecasters_losses_are_pytorchs() -> None:
    ours, theirs = both("sine")
    data = ours.waves(4, 15)
    sequences = ours.Sequence(7).to("float64"), theirs.Sequence(7).double()
    same_weights(*sequences)
    found = []
    for module, seq, tensor in (
        (ours, sequences[0], ours.ag.tensor),
        (theirs, sequences[1], theirs.torch.from_numpy),
    ):
        optimizer = module.optim.LBFGS(seq.parameters(), lr=0.8)
        input, target = tensor(data[:, :-1]), tensor(data[:, 1:])
        losses = module.train(seq, input, target, optimizer, module.nn.MSELoss())
        found.append(np.concatenate([losses, seq(input, future=3).detach().numpy().ravel()]))
    assert len(found[0]) > 4 * 17 + 10
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
