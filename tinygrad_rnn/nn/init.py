"""Initialization of parameters.

Each function writes into a tensor and returns it. Random numbers come from the default generator.
The tensor may be a view of a parameter, such as `lstm.bias_hh_l0[H : 2 * H]`; the parameter is
then written in place.

A weight of shape (out, in, ...) has the fan-in `in` times the size of the further axes, and the
fan-out `out` times the size of the further axes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import Tensor, concatenate, eye, log, no_grad, random, zeros

__all__ = [
    "calculate_gain",
    "chrono_",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


@no_grad()
def _write(tensor: Tensor, values: Any) -> Tensor:
    tensor[...] = values
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fill a tensor with uniform random numbers from [a, b).

    Parameters
    ----------
    tensor : Tensor
        Tensor to fill.
    a, b : float, default 0.0 and 1.0
        Bounds.

    Returns
    -------
    Tensor
        The tensor.
    """
    generator = random.default_generator
    return _write(tensor, generator.uniform(tensor.shape, a, b, tensor.dtype, tensor.device))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill a tensor with normal random numbers.

    Parameters
    ----------
    tensor : Tensor
        Tensor to fill.
    mean : float, default 0.0
        Mean.
    std : float, default 1.0
        Standard deviation.

    Returns
    -------
    Tensor
        The tensor.
    """
    generator = random.default_generator
    return _write(tensor, generator.normal(tensor.shape, mean, std, tensor.dtype, tensor.device))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill a tensor with a constant.

    Parameters
    ----------
    tensor : Tensor
        Tensor to fill.
    val : float
        The constant.

    Returns
    -------
    Tensor
        The tensor.
    """
    return _write(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill a tensor with zeros.

    Parameters
    ----------
    tensor : Tensor
        Tensor to fill.

    Returns
    -------
    Tensor
        The tensor.
    """
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill a tensor with ones.

    Parameters
    ----------
    tensor : Tensor
        Tensor to fill.

    Returns
    -------
    Tensor
        The tensor.
    """
    return _write(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on the diagonal and zeros elsewhere.

    Parameters
    ----------
    tensor : Tensor, shape (N, M)
        Matrix to fill.

    Returns
    -------
    Tensor
        The matrix.

    Raises
    ------
    ValueError
        If the tensor does not have two axes.
    """
    if tensor.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {tensor.shape}")
    rows, columns = tensor.shape
    return _write(tensor, eye(rows, columns, tensor.dtype, tensor.device))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the recommended gain of weights in front of a nonlinearity.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
        The nonlinearity.
    param : float, optional
        The negative slope of "leaky_relu" (default 0.01).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the nonlinearity is unknown.
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
        f"Unsupported nonlinearity {nonlinearity}: expected linear, sigmoid, tanh, relu, "
        "leaky_relu or selu"
    )


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a tensor from U(-a, a) with variance 2 gain^2 / (fan_in + fan_out).

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        Tensor to fill.
    gain : float, default 1.0
        Factor of the standard deviation.

    Returns
    -------
    Tensor
        The tensor.

    References
    ----------
    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks".
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a tensor from N(0, 2 gain^2 / (fan_in + fan_out)).

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        Tensor to fill.
    gain : float, default 1.0
        Factor of the standard deviation.

    Returns
    -------
    Tensor
        The tensor.

    References
    ----------
    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks".
    """
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(_fans(tensor))))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill a tensor from U(-b, b) with variance gain^2 / fan.

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        Tensor to fill.
    a : float, default 0.0
        The negative slope of "leaky_relu".
    mode : {"fan_in", "fan_out"}, default "fan_in"
        "fan_in" preserves the variance in the forward pass, "fan_out" in the backward pass.
    nonlinearity : str, default "leaky_relu"
        Nonlinearity that determines the gain, see `calculate_gain`.

    Returns
    -------
    Tensor
        The tensor.

    References
    ----------
    He et al. 2015, "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification".
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill a tensor from N(0, gain^2 / fan).

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        Tensor to fill.
    a : float, default 0.0
        The negative slope of "leaky_relu".
    mode : {"fan_in", "fan_out"}, default "fan_in"
        "fan_in" preserves the variance in the forward pass, "fan_out" in the backward pass.
    nonlinearity : str, default "leaky_relu"
        Nonlinearity that determines the gain, see `calculate_gain`.

    Returns
    -------
    Tensor
        The tensor.

    References
    ----------
    He et al. 2015, "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification".
    """
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a tensor with a random matrix with orthonormal rows or columns, whichever are fewer.

    The matrix is computed on the host.

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        Tensor to fill. The axes after the first count as columns.
    gain : float, default 1.0
        Factor.

    Returns
    -------
    Tensor
        The tensor.

    References
    ----------
    Saxe, McClelland & Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks".
    """
    _fans(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    shape = max(rows, columns), min(rows, columns)
    normal = random.default_generator.normal(shape, dtype="float64", device="cpu").numpy()
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Mezzadri 2007)
    values = gain * (q.T if rows < columns else q).reshape(tensor.shape)
    return _write(tensor, Tensor(values).astype(tensor.dtype).to(tensor.device))


def chrono_(tensor: Tensor, longest: float) -> Tensor:
    """Fill the bias of an LSTM's gates for dependencies of up to `longest` steps.

    The forget gates receive b = log U(1, longest - 1), so that a unit retains its state for about
    exp(b) steps. The input gates receive -b, and the other gates 0.

    Parameters
    ----------
    tensor : Tensor, shape (4 * H,)
        Bias to fill, with the gates in the order i, f, g, o.
    longest : float
        Longest dependency in steps, more than 2.

    Returns
    -------
    Tensor
        The bias.

    Raises
    ------
    ValueError
        If the tensor is not a bias of four gates, or `longest` is at most 2.

    References
    ----------
    Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", section 2.
    """
    if tensor.ndim != 1 or tensor.size % 4:
        raise ValueError(
            f"chrono_ requires a bias of four gates (4 * H,), got shape {tensor.shape}"
        )
    if not longest > 2:
        raise ValueError(f"longest must be more than 2 steps, got {longest!r}")
    units, placement = tensor.size // 4, (tensor.dtype, tensor.device)
    forget = log(random.default_generator.uniform((units,), 1, longest - 1, *placement))
    return _write(tensor, concatenate((-forget, forget, zeros(2 * units, *placement))))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Return fan-in and fan-out."""
    if tensor.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got "
            f"shape {tensor.shape}"
        )
    receptive = math.prod(tensor.shape[2:])
    fans = tensor.shape[1] * receptive, tensor.shape[0] * receptive
    return fans if tensor.size else (1, 1)  # avoid a division by zero for an empty tensor


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
