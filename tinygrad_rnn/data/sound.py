"""Sound: WAV files, and the spectrogram that a network reads of them."""

from __future__ import annotations

import io
import os
import wave

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .files import PathLike, read_bytes

Samples = npt.NDArray[np.float64]
EXPECTED = "a WAV file of PCM samples (8, 16, 24 or 32 bits)"


def read_wav(path: PathLike, rate: int | None = None) -> tuple[Samples, int]:
    """The samples (n,) of a WAV file, from -1 to 1, and how many of them make a second.

    Channels are averaged. With `rate`, sound of another rate is brought to it (`resample`).
    InputError for a file that is cut short, or holds no PCM of 8, 16, 24 or 32 bits.
    """
    name, content = os.fspath(path), read_bytes(path, EXPECTED)
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, found, count = file.getparams()[:4]
            raw = file.readframes(count)
    except EOFError as error:
        raise InputError(
            f"{name}: ends after {len(content)} bytes, within its header; {EXPECTED} is expected"
        ) from error
    except (wave.Error, RuntimeError) as error:
        raise InputError(f"{name}: {error}; {EXPECTED} is expected") from error
    if width not in (1, 2, 3, 4) or not found:
        raise InputError(f"{name}: {8 * width} bits, {found} Hz; {EXPECTED} is expected")
    if len(raw) < count * channels * width:
        raise InputError(
            f"{name}: ends within its samples: {len(raw)} bytes of {count * channels * width}"
        )
    if not count:
        raise InputError(f"{name}: holds no sample")
    # The bytes of a sample are the upper ones of a 32-bit integer; those of 8 bits are unsigned.
    upper = np.zeros((count * channels, 4), np.uint8)
    upper[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
    if width == 1:
        upper[:, 3] ^= 0x80
    samples = upper.view("<i4").reshape(count, channels).mean(1) / 2**31
    return (samples, found) if rate is None else (resample(samples, found, rate), rate)


def write_wav(path: PathLike, samples: npt.ArrayLike, rate: int) -> None:
    """Write samples (n,) from -1 to 1 as a WAV file, mono, of 16 bits; louder ones are clipped."""
    levels = np.clip(np.rint(np.asarray(samples) * 2**15), -(2**15), 2**15 - 1)
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.astype("<i2").tobytes())


def resample(samples: Samples, rate: int, to: int) -> Samples:
    """The same sound at another rate, by its Fourier series: frequencies that the new rate does not
    have are left out.
    """
    count = max(1, round(len(samples) * to / rate))
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    fewer = min(count, len(samples))
    if fewer % 2 == 0 and count != len(samples):  # a last frequency stands for f and -f in one
        spectrum[fewer // 2] *= 2 if count == fewer else 0.5
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def log_mel(
    samples: npt.ArrayLike,
    rate: int,
    bands: int = 24,
    window: float = 0.025,
    step: float = 0.01,
) -> npt.NDArray[np.float32]:
    """The logarithm of the energy (T, bands) in bands of frequency, in windows of `window` seconds
    that begin every `step` seconds; what is shorter than a window is filled up with silence.

    The bands are triangles that overlap, of equal widths on the mel scale, 2595 log10(1 + f / 700)
    for f Hz, from 0 to half the rate (Davis & Mermelstein 1980, "Comparison of parametric
    representations for monosyllabic word recognition").
    """
    size, hop = max(1, round(window * rate)), max(1, round(step * rate))
    samples = np.asarray(samples, np.float64)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), 2 * size)) ** 2
    place = _mel(np.fft.rfftfreq(2 * size, 1 / rate)) / _mel(rate / 2) * (bands + 1)
    triangles = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(1, bands + 1)))
    energies: npt.NDArray[np.float32] = np.log(power @ triangles + 1e-8).astype(np.float32)
    return energies


def _mel(frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)
