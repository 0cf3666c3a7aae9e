"""Sound: WAV files, resampling, and log-mel spectrograms."""

from __future__ import annotations

import os
import struct
import wave

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..files import PathLike, display_name, read_bytes

Samples = npt.NDArray[np.float64]
EXPECTED = "a WAV file of PCM samples (8, 16, 24 or 32 bits) or floats (32 or 64 bits)"
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
WIDTHS = {PCM: (1, 2, 3, 4), FLOAT: (4, 8)}
"""Bytes per sample."""
_GUID = bytes.fromhex("0000 00001000 8000 00aa00389b71")
"""The end of the identifier of an extensible format; the number of a plain format precedes it."""
_UNKNOWN_SIZE = 0xFFFFFFFF
"""The size that programs write to a pipe, where they cannot update the header."""
MAX_RATE, MAX_UPSAMPLING = 1_000_000, 32
"""Limits of the sample rate in Hz, and of the ratio of the new rate to the file's rate."""


def read_wav(path: PathLike, rate: int | None = None) -> tuple[Samples, int]:
    """Read a WAV file.

    Channels are averaged. PCM is scaled to the range from -1 to 1.

    Parameters
    ----------
    path : path
        The file, which may be compressed by gzip.
    rate : int, optional
        Sample rate in Hz to which the sound is resampled; by default the file's rate.

    Returns
    -------
    samples : ndarray of float64, shape (n,)
        The samples.
    rate : int
        The sample rate in Hz.

    Raises
    ------
    InputError
        If the file is truncated, or if it does not contain PCM of 8, 16, 24 or 32 bits or IEEE
        floats of 32 or 64 bits, in a plain or an extensible format.
    """
    name, content = display_name(path), read_bytes(path, EXPECTED)
    format_chunk, raw = _chunks(name, content)
    samples, file_rate = _samples(name, format_chunk, raw)
    if rate is None:
        return samples, file_rate
    if rate > MAX_UPSAMPLING * file_rate:
        raise InputError(f"{name}: a sample rate of {file_rate} Hz is too low for {rate} Hz")
    return resample(samples, file_rate, rate), rate


def _chunks(name: str, content: bytearray) -> tuple[memoryview, memoryview]:
    """Return the format chunk and the data chunk of a WAV file."""
    head = bytes(content[:12])
    if head[:4] in (b"RIFX", b"RF64", b"BW64"):
        raise InputError(
            f"{name}: {head[:4].decode()} is a variant of WAV that is not supported; expected "
            f"{EXPECTED}"
        )
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise InputError(
            f"{name}: begins with {head!r} instead of RIFF, a size and WAVE; expected {EXPECTED}"
        )
    view, start = memoryview(content), 12
    chunks: dict[bytes, memoryview] = {}
    while b"data" not in chunks:
        if start + 8 > len(content):
            raise InputError(
                f"{name}: ends after {len(content)} bytes, within its header; expected {EXPECTED}"
            )
        chunk_id, size = struct.unpack_from("<4sI", content, start)
        start += 8
        chunks[chunk_id] = view[start : start + size]
        start += size
        if size % 2 and content[start : start + 1] == b"\0":  # some programs do not pad
            start += 1
    if len(chunks[b"data"]) < size != _UNKNOWN_SIZE:
        raise InputError(
            f"{name}: ends within its samples, after {len(chunks[b'data'])} of {size} bytes"
        )
    if len(chunks.get(b"fmt ", b"")) < 16:
        raise InputError(f"{name}: no format chunk before the samples; expected {EXPECTED}")
    return chunks[b"fmt "], chunks[b"data"]


def _samples(name: str, format_chunk: memoryview, raw: memoryview) -> tuple[Samples, int]:
    """Decode the samples (n,) as the format chunk describes; return them and their rate."""
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", format_chunk)
    if tag == EXTENSIBLE and format_chunk[26:40] == _GUID:
        (tag,) = struct.unpack_from("<H", format_chunk, 24)
    width = (bits + 7) // 8
    if (
        width not in WIDTHS.get(tag, ())
        or block != channels * width
        or not channels
        or not 0 < rate <= MAX_RATE
    ):
        raise InputError(
            f"{name}: format {tag} with {channels} channels of {bits} bits in blocks of {block} "
            f"bytes at {rate} Hz; expected {EXPECTED}"
        )
    count = len(raw) // block
    if not count:
        raise InputError(f"{name}: contains no samples")
    raw = raw[: count * block]
    if tag == FLOAT:
        floats = np.frombuffer(raw, f"<f{width}")
        if not (np.abs(floats) < 1e10).all():
            raise InputError(f"{name}: a sample is not finite or exceeds 1e10")
        return floats.reshape(count, channels).mean(1, dtype=np.float64), rate
    # The bytes of a sample are the most significant bytes of a 32-bit integer; 8-bit samples are
    # unsigned.
    integers = np.zeros((count * channels, 4), np.uint8)
    integers[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
    if width == 1:
        integers[:, 3] ^= 0x80
    return integers.view("<i4").reshape(count, channels).mean(1) / 2**31, rate


def write_wav(path: PathLike, samples: npt.ArrayLike, rate: int) -> None:
    """Write samples as a mono WAV file with 16 bits per sample.

    Parameters
    ----------
    path : path
        The file.
    samples : array_like of float, shape (n,)
        The samples; values outside [-1, 1] are clipped.
    rate : int
        The sample rate in Hz.
    """
    levels = np.clip(np.rint(np.asarray(samples) * 2**15), -(2**15), 2**15 - 1)
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.astype("<i2").tobytes())


def resample(samples: Samples, rate: int, to: int) -> Samples:
    """Resample a sound by its Fourier series.

    Frequencies above half the new rate are removed.

    Parameters
    ----------
    samples : ndarray of float64, shape (n,)
        The samples.
    rate : int
        Their sample rate in Hz.
    to : int
        The new sample rate in Hz.

    Returns
    -------
    ndarray of float64, shape (round(n * to / rate),)
        The resampled sound.
    """
    count = max(1, round(len(samples) * to / rate))
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    shorter = min(count, len(samples))
    if shorter % 2 == 0 and count != len(samples):  # the Nyquist bin combines f and -f
        spectrum[shorter // 2] *= 2 if count == shorter else 0.5
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def log_mel(
    samples: npt.ArrayLike,
    rate: int,
    bands: int = 24,
    window: float = 0.025,
    step: float = 0.01,
) -> npt.NDArray[np.float32]:
    """Compute the log-mel spectrogram of a sound.

    The bands are overlapping triangles of equal width on the mel scale, 2595 log10(1 + f / 700) for
    f Hz, from 0 to half the sample rate.

    Parameters
    ----------
    samples : array_like of float, shape (n,)
        The samples; a sound shorter than one window is padded with zeros.
    rate : int
        The sample rate in Hz.
    bands : int, default 24
        Number of mel bands.
    window : float, default 0.025
        Length of the windows in seconds.
    step : float, default 0.01
        Distance between the starts of adjacent windows in seconds.

    Returns
    -------
    ndarray of float32, shape (T, bands)
        The logarithm of the energy in each band.

    References
    ----------
    Davis & Mermelstein 1980, "Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences".
    """
    size, hop = max(1, round(window * rate)), max(1, round(step * rate))
    samples = np.asarray(samples, np.float64)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), 2 * size)) ** 2
    position = _mel(np.fft.rfftfreq(2 * size, 1 / rate)) / _mel(rate / 2) * (bands + 1)
    triangles = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(1, bands + 1)))
    energies: npt.NDArray[np.float32] = np.log(power @ triangles + 1e-8).astype(np.float32)
    return energies


def _mel(frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)
