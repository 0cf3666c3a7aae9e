"""Two devices in one program: here the CPU and the stand-in for a GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_cupy
import numpy as np
import pytest
from command import TEXT
from helpers import at_once

import autograd as ag
from autograd.backend import DeviceError
from autograd.ops.movement import repeat
from tinygrad_rnn import nn
from tinygrad_rnn.data import TextCorpus
from tinygrad_rnn.tasks.language_modeling import LanguageTraining, Options, generate
from tinygrad_rnn.training.serialization import load_tree, save_tree

pytestmark = pytest.mark.host  # which devices take part does not depend on --device

STRICT = "strict:0"


@pytest.fixture(autouse=True)
def _cpu_by_default() -> Any:
    with ag.default_device("cpu"):
        yield


def test_tensors_are_made_where_it_is_said() -> None:
    made = [ag.tensor([1.0], device="strict"), ag.arange(3, device="strict")]
    with ag.default_device("strict"):
        made += [
            ag.tensor(np.ones(2)),
            ag.zeros(2),
            ag.one_hot([1, 0], 2),
            ag.random.default_generator.normal((2, 2)),
        ]
        made += nn.LSTM(2, 3).parameters()
    assert {t.device for t in made} == {STRICT}
    assert ag.zeros(2).device == "cpu"


def test_results_and_gradients_stay_there() -> None:
    x = ag.tensor([1.0, 2.0], requires_grad=True, device="strict")
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.device == STRICT
    assert isinstance(x.grad.data, fake_cupy.Array)
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_gradient_travels_back() -> None:
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x.to("strict")
    assert y.device == STRICT
    (y * y).to("cpu").sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [2.0, 4.0]


def test_cupys_arrays_are_known_before_their_device_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ag.backend, "_backends", {"cpu": ag.backend.get("cpu")})
    monkeypatch.setitem(ag.backend._factories, "cuda", fake_cupy.StrictBackend)
    cupys = type("ndarray", (fake_cupy.Array,), {"__module__": "cupy"})
    assert ag.tensor(cupys(np.ones(2))).device == STRICT


@pytest.mark.parametrize(
    "kind", [list, np.array, lambda counts: ag.tensor(counts, device="strict")]
)
def test_counts_of_any_kind(kind: Any) -> None:
    repeated = repeat(ag.tensor([1.0, 2.0], device="strict"), kind([2, 1]))
    assert repeated.tolist() == [1.0, 1.0, 2.0]


def test_devices_are_asked_for_while_others_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many names of one device, first asked for in one thread while others look scalars up."""
    monkeypatch.setattr(ag.backend, "_backends", dict(ag.backend._backends))
    monkeypatch.setitem(ag.backend._factories, "many", lambda index: fake_cupy.StrictBackend(0))
    found = set()

    def ask() -> None:
        found.update(ag.backend.get(f"many:{i}") for i in range(500))

    def compute() -> None:
        assert {ag.backend.of_array(1.0) for _ in range(2000)} == {ag.backend.get("cpu")}

    at_once([ask, ask, compute, compute])
    assert found == {ag.backend.get("strict")}


def test_mixing_is_refused_by_name() -> None:
    with pytest.raises(DeviceError, match=r"multiply: .* cpu and strict:0; move one with .to"):
        ag.ones(2) * ag.ones(2, device="strict")


def test_a_whole_module_moves() -> None:
    there, here = nn.Linear(2, 3).to("strict"), nn.Linear(2, 3)
    assert {p.device for p in there.parameters()} == {STRICT}
    here.load_state_dict(there.state_dict())
    x = ag.ones((4, 2))
    np.testing.assert_array_equal(here(x).numpy(), there(x.to("strict")).numpy())


def trained(device: str, file: Path) -> tuple[list[float], str]:
    """Losses of a short training that is saved and resumed on the way, and what it then writes."""
    options = Options(hidden=8, embed=4, batch=4, seq_len=8, layers=2, dropout=0.2, device=device)
    corpus = TextCorpus(TEXT)
    first, second = LanguageTraining(options, corpus), LanguageTraining(options, corpus)
    records = [first.update() for _ in range(5)]
    save_tree(file, first.state_dict())
    second.load_state_dict(load_tree(file), file)
    records += [second.update(), second.evaluate()]
    losses = [record["bits_per_character"] for record in records]
    assert next(second.model.parameters()).device == ag.backend.get(device).device
    return losses, "".join(generate(second.model, corpus.vocabulary, 20))


def test_training_gives_the_same_losses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the stand-in in the place of the GPU."""
    there = ag.backend._backends | {"cuda": fake_cupy.StrictBackend(0)}
    monkeypatch.setattr(ag.backend, "_backends", there)
    losses, text = trained("cpu", tmp_path / "cpu.safetensors")
    found, found_text = trained("cuda", tmp_path / "cuda.safetensors")
    assert found == pytest.approx(losses, rel=1e-5)
    assert found_text == text


# --- DLPack ---------------------------------------------------------------------------------------


def test_other_libraries_see_the_same_memory() -> None:
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    theirs = np.from_dlpack(x.T)
    assert np.shares_memory(theirs, x.data)
    np.testing.assert_array_equal(theirs, [[1, 3], [2, 4]])


def test_we_see_the_same_memory() -> None:
    theirs = np.arange(6.0).reshape(2, 3)
    ours = ag.from_dlpack(theirs[:, ::2])
    theirs[1, 2] = 7
    assert ours.tolist() == [[0.0, 2.0], [3.0, 7.0]]
    assert ours.is_leaf
    assert not ours.requires_grad


def test_torch_and_we_see_the_same_memory() -> None:
    torch = pytest.importorskip("torch")
    x = ag.zeros(3)
    torch.from_dlpack(x)[1] = 5
    assert x.tolist() == [0.0, 5.0, 0.0]
    for dtype in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool"):
        t = ag.zeros((2, 3), dtype).T
        there = torch.from_dlpack(t)
        back = ag.from_dlpack(there)
        assert str(there.dtype) == f"torch.{dtype}"
        assert back.dtype == t.dtype
        assert back.data.ctypes.data == there.data_ptr() == t.data.ctypes.data
        assert back.data.strides == t.data.strides
    theirs = torch.zeros(3)
    ours = ag.from_dlpack(theirs)
    theirs[1] = 5
    assert ours.tolist() == [0.0, 5.0, 0.0]


def test_jax_and_we_see_the_same_memory() -> None:
    """Ours, as JAX asks for it, if it starts at a multiple of 64 bytes; JAX copies it otherwise."""
    jnp = pytest.importorskip("jax.numpy")
    raw = np.zeros(128, np.uint8)
    start = -raw.ctypes.data % 64
    x = ag.Tensor(raw[start : start + 16].view(np.float32))
    there = jnp.from_dlpack(x)
    x[1] = 5
    assert there.tolist() == [0.0, 5.0, 0.0, 0.0]
    theirs = jnp.arange(3.0)
    assert ag.from_dlpack(theirs).data.ctypes.data == theirs.unsafe_buffer_pointer()


def test_a_recorded_tensor_is_not_handed_out() -> None:
    with pytest.raises(BufferError, match=r"would lose its history: detach\(\) it first"):
        np.from_dlpack(ag.ones(2, requires_grad=True))


def read_only() -> ag.Tensor:
    array = np.ones((3, 2))
    array.flags.writeable = False
    return ag.Tensor(array)


READ_ONLY: dict[str, Callable[[], ag.Tensor]] = {
    "a read-only array": read_only,
    "a part of a read-only array": lambda: read_only()[1:, ::2],
    "a broadcast tensor": lambda: ag.broadcast_to(ag.tensor([1.0, 2.0]), (3, 2)),
    "a writable view with repeated elements": lambda: ag.Tensor(
        np.lib.stride_tricks.as_strided(np.ones(2), (3, 2), (0, 8))
    ),
}


@pytest.mark.parametrize("name", READ_ONLY)
def test_memory_that_must_not_be_written_is_exported_as_a_copy(name: str) -> None:
    x = READ_ONLY[name]()
    before = x.numpy()
    for theirs in (np.from_dlpack(x), np.asarray(x), np.array(x), ag.from_dlpack(x).data):
        assert not np.shares_memory(theirs, x.data)
        theirs[0] = 7
        np.testing.assert_array_equal(x.numpy(), before)
    with pytest.raises(BufferError, match="exported as a copy"):
        x.__dlpack__(copy=False)


@pytest.mark.parametrize("name", READ_ONLY)
def test_torch_cannot_write_into_read_only_memory(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = READ_ONLY[name]()
    torch.from_dlpack(x)[0] = 7
    assert 7 not in x.numpy()


@pytest.mark.parametrize("copy", [None, True])
def test_a_tensor_becomes_an_array_by_a_copy(copy: bool | None) -> None:
    x = ag.tensor([1.0, 2.0])
    array = np.array(x, copy=copy)
    array[0] = 7
    assert x.tolist() == [1.0, 2.0]
    assert np.array(x, "int32", copy=copy).dtype == np.int32
    with pytest.raises(ValueError, match="copy=False"):
        np.array(x, copy=False)


class Foreign:
    """An array of a device that there is no backend for."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 10, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("nobody could read it")


def test_what_no_backend_can_hold_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"CPU .*type 1\) or on CUDA \(2\), got .* type 10"):
        ag.from_dlpack(Foreign())
    with pytest.raises(TypeError, match="complex128"):
        ag.from_dlpack(np.zeros(2, complex))
