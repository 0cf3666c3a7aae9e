"""Initial values. Each function writes into a tensor and returns it; numbers come from the default
stream. The tensor may be a view of a parameter, such as `lstm.bias_hh_l0[H : 2 * H]`: the parameter
is written then.

A weight of shape (out, in, ...) has a fan-in of in times the size of the further axes, and a
fan-out of out times that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import Tensor, concatenate, eye, log, no_grad, random, zeros


@no_grad()
def _write(tensor: Tensor, values: Any) -> Tensor:
    tensor[...] = values
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform numbers from [a, b)."""
    return _write(
        tensor, random.default_generator.uniform(tensor.shape, a, b, tensor.dtype, tensor.device)
    )


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers."""
    return _write(
        tensor,
        random.default_generator.normal(tensor.shape, mean, std, tensor.dtype, tensor.device),
    )


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return _write(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _write(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere."""
    if tensor.ndim != 2:
        raise ValueError(
            f"Only tensors with 2 dimensions are supported, not one of shape {tensor.shape}"
        )
    rows, columns = tensor.shape
    return _write(tensor, eye(rows, columns, tensor.dtype, tensor.device))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights should be larger before this nonlinearity, so that signals keep their
    size. `param` is the negative slope of "leaky_relu" (0.01).
    """
    if nonlinearity in ("linear", "sigmoid"):
        return 1.0
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(
        f"Unsupported nonlinearity {nonlinearity}; there are linear, sigmoid, tanh, relu, "
        "leaky_relu and selu"
    )


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-a, a) of variance 2 gain^2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, 2 gain^2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(_fans(tensor))))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """U(-b, b) of variance gain^2 / fan (He et al. 2015), for the gain of `nonlinearity` with
    parameter `a`; `mode` is "fan_in" or "fan_out".
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """N(0, gain^2 / fan) (He et al. 2015); arguments as in `kaiming_uniform_`."""
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et
    al. 2014); further axes count as columns. Made on the host.
    """
    _fans(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    shape = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(
        random.default_generator.normal(shape, dtype="float64", device="cpu").numpy()
    )
    q = q * np.sign(np.diag(r))  # else it is not uniform among them (Mezzadri 2007)
    values = gain * (q.T if rows < columns else q).reshape(tensor.shape)
    return _write(tensor, Tensor(values).astype(tensor.dtype).to(tensor.device))


def chrono_(tensor: Tensor, longest: float) -> Tensor:
    """The bias (4H) of an LSTM's gates for memories of up to `longest` steps: log U(1, longest - 1)
    for the forget gates, which is about how many steps each unit then keeps what it holds; its
    opposite for the input gates, 0 for the others (Tallec & Ollivier 2018, "Can recurrent neural
    networks warp time?", section 2).
    """
    if tensor.ndim != 1 or tensor.size % 4:
        raise ValueError(f"a bias of the four gates (4H) is needed, not a tensor of {tensor.shape}")
    if not longest > 2:
        raise ValueError(f"longest must be more than 2 steps, not {longest!r}")
    units, placement = tensor.size // 4, (tensor.dtype, tensor.device)
    forget = log(random.default_generator.uniform((units,), 1, longest - 1, *placement))
    return _write(tensor, concatenate((-forget, forget, zeros(2 * units, *placement))))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Fan-in and fan-out."""
    if tensor.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, such "
            f"as {tensor.shape}"
        )
    receptive = math.prod(tensor.shape[2:])
    fans = tensor.shape[1] * receptive, tensor.shape[0] * receptive
    return fans if tensor.size else (1, 1)  # of nothing: anything to divide by


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
