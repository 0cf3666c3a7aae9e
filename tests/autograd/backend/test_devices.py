"""Devices: the CPU and the fake CuPy in one program, and DLPack."""

import copy
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

pytestmark = pytest.mark.host  # independent of --device

STRICT = "strict:0"


@pytest.fixture(autouse=True)
def _cpu_by_default() -> Any:
    with ag.default_device("cpu"):
        yield


def test_tensors_are_created_on_the_requested_device() -> None:
    tensors = [ag.tensor([1.0], device="strict"), ag.arange(3, device="strict")]
    with ag.default_device("strict"):
        tensors += [
            ag.tensor(np.ones(2)),
            ag.zeros(2),
            ag.one_hot([1, 0], 2),
            ag.random.default_generator.normal((2, 2)),
        ]
        tensors += nn.LSTM(2, 3).parameters()
    assert {t.device for t in tensors} == {STRICT}
    assert ag.zeros(2).device == "cpu"


def test_results_and_gradients_are_on_the_device_of_the_inputs() -> None:
    x = ag.tensor([1.0, 2.0], requires_grad=True, device="strict")
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.device == STRICT
    assert isinstance(x.grad.data, fake_cupy.Array)
    assert x.grad.tolist() == [2.0, 4.0]


def test_gradients_are_copied_back_to_the_device_of_the_input() -> None:
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x.to("strict")
    assert y.device == STRICT
    (y * y).to("cpu").sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [2.0, 4.0]


def test_cupy_arrays_are_recognized_before_cuda_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ag.backend, "_backends", {"cpu": ag.backend.get("cpu")})
    monkeypatch.setitem(ag.backend._factories, "cuda", fake_cupy.StrictBackend)
    cupy_array = type("ndarray", (fake_cupy.Array,), {"__module__": "cupy"})
    assert ag.tensor(cupy_array(np.ones(2))).device == STRICT


@pytest.mark.parametrize(
    "kind", [list, np.array, lambda counts: ag.tensor(counts, device="strict")]
)
def test_repeat_accepts_counts_of_any_type(kind: Any) -> None:
    repeated = repeat(ag.tensor([1.0, 2.0], device="strict"), kind([2, 1]))
    assert repeated.tolist() == [1.0, 1.0, 2.0]


def test_backends_are_created_while_other_threads_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads resolve new device names while two others look up the backend of scalars."""
    monkeypatch.setattr(ag.backend, "_backends", dict(ag.backend._backends))
    monkeypatch.setitem(ag.backend._factories, "many", lambda index: fake_cupy.StrictBackend(0))
    backends = set()

    def resolve() -> None:
        backends.update(ag.backend.get(f"many:{i}") for i in range(500))

    def compute() -> None:
        assert {ag.backend.of_array(1.0) for _ in range(2000)} == {ag.backend.get("cpu")}

    at_once([resolve, resolve, compute, compute])
    assert backends == {ag.backend.get("strict")}


def test_the_old_name_of_of_array_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"use autograd\.backend\.of_array"):
        assert ag.backend.of(np.ones(2)) is ag.backend.get("cpu")


def test_mixed_devices_raise_an_error_that_names_the_operation() -> None:
    with pytest.raises(DeviceError, match=r"multiply: .* cpu and strict:0; move one .*'strict:0'"):
        ag.ones(2) * ag.ones(2, device="strict")


def test_a_module_moves_with_its_parameters() -> None:
    on_device, on_cpu = nn.Linear(2, 3).to("strict"), nn.Linear(2, 3)
    assert {p.device for p in on_device.parameters()} == {STRICT}
    on_cpu.load_state_dict(on_device.state_dict())
    x = ag.ones((4, 2))
    np.testing.assert_array_equal(on_cpu(x).numpy(), on_device(x.to("strict")).numpy())


@pytest.mark.parametrize(
    "module",
    [nn.Linear(2, 3), nn.LSTM(2, 3), nn.GRUCell(2, 3), nn.Sequential(nn.Linear(2, 3), nn.Tanh())],
    ids=repr,
)
def test_modules_copy_numpy_inputs_to_their_device(module: nn.Module) -> None:
    module = copy.deepcopy(module).to("strict")
    x = np.ones((4, 2), "float32")
    for y, expected in zip(
        ag.flatten(module(x)), ag.flatten(module(ag.tensor(x, device="strict"))), strict=True
    ):
        assert y.device == STRICT
        np.testing.assert_array_equal(y.numpy(), expected.numpy())


def test_attention_copies_numpy_inputs_to_its_device() -> None:
    attention = nn.AdditiveAttention(2, 3, 4).to("strict")
    query, memory = np.ones((1, 2), "float32"), np.ones((5, 1, 3), "float32")
    assert attention(query, memory, lengths=[4])[0].device == STRICT


def train(device: str, file: Path) -> tuple[list[float], str]:
    """Train, save, resume and sample; return the losses and the sample."""
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
    """The fake CuPy is registered as the device "cuda"."""
    backends = ag.backend._backends | {"cuda": fake_cupy.StrictBackend(0)}
    monkeypatch.setattr(ag.backend, "_backends", backends)
    losses, text = train("cpu", tmp_path / "cpu.safetensors")
    cuda_losses, cuda_text = train("cuda", tmp_path / "cuda.safetensors")
    assert cuda_losses == pytest.approx(losses, rel=1e-5)
    assert cuda_text == text


# --- DLPack ---------------------------------------------------------------------------------------


def test_dlpack_export_shares_memory() -> None:
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    array = np.from_dlpack(x.T)
    assert np.shares_memory(array, x.data)
    np.testing.assert_array_equal(array, [[1, 3], [2, 4]])


def test_dlpack_import_shares_memory() -> None:
    array = np.arange(6.0).reshape(2, 3)
    tensor = ag.from_dlpack(array[:, ::2])
    array[1, 2] = 7
    assert tensor.tolist() == [[0.0, 2.0], [3.0, 7.0]]
    assert tensor.is_leaf
    assert not tensor.requires_grad


def test_dlpack_shares_memory_with_torch() -> None:
    torch = pytest.importorskip("torch")
    x = ag.zeros(3)
    torch.from_dlpack(x)[1] = 5
    assert x.tolist() == [0.0, 5.0, 0.0]
    for dtype in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool"):
        t = ag.zeros((2, 3), dtype).T
        exported = torch.from_dlpack(t)
        imported = ag.from_dlpack(exported)
        assert str(exported.dtype) == f"torch.{dtype}"
        assert imported.dtype == t.dtype
        assert imported.data.ctypes.data == exported.data_ptr() == t.data.ctypes.data
        assert imported.data.strides == t.data.strides
    array = torch.zeros(3)
    tensor = ag.from_dlpack(array)
    array[1] = 5
    assert tensor.tolist() == [0.0, 5.0, 0.0]


def test_dlpack_shares_memory_with_jax() -> None:
    """JAX imports memory without a copy if its address is a multiple of 64."""
    jnp = pytest.importorskip("jax.numpy")
    raw = np.zeros(128, np.uint8)
    start = -raw.ctypes.data % 64
    x = ag.Tensor(raw[start : start + 16].view(np.float32))
    exported = jnp.from_dlpack(x)
    x[1] = 5
    assert exported.tolist() == [0.0, 5.0, 0.0, 0.0]
    array = jnp.arange(3.0)
    assert ag.from_dlpack(array).data.ctypes.data == array.unsafe_buffer_pointer()


def test_export_of_a_recorded_tensor_raises() -> None:
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
def test_read_only_memory_is_exported_as_a_copy(name: str) -> None:
    x = READ_ONLY[name]()
    before = x.numpy()
    for array in (np.from_dlpack(x), np.asarray(x), np.array(x), ag.from_dlpack(x).data):
        assert not np.shares_memory(array, x.data)
        array[0] = 7
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
def test_conversion_to_numpy_copies(copy: bool | None) -> None:
    x = ag.tensor([1.0, 2.0])
    array = np.array(x, copy=copy)
    array[0] = 7
    assert x.tolist() == [1.0, 2.0]
    assert np.array(x, "int32", copy=copy).dtype == np.int32
    with pytest.raises(ValueError, match="copy=False"):
        np.array(x, copy=False)


class ForeignArray:
    """Array on a device without a backend."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 10, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("the memory must not be exported")


def test_import_of_unsupported_arrays_raises() -> None:
    with pytest.raises(DeviceError, match=r"CPU .*type 1\) or on CUDA \(2\), got .* type 10"):
        ag.from_dlpack(ForeignArray())
    with pytest.raises(TypeError, match="complex128"):
        ag.from_dlpack(np.zeros(2, complex))
