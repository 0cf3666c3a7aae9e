"""Sound: WAV files, and the spectrogram that a network reads of them."""

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
"""Bytes of a sample."""
_GUID = bytes.fromhex("0000 00001000 8000 00aa00389b71")
"""The identifier of an extensible format, after the number of a plain format."""
_UNKNOWN_SIZE = 0xFFFFFFFF
"""The size that programs write into a pipe, where they cannot return to the header."""
HIGHEST_RATE, LARGEST_FACTOR = 1_000_000, 32
"""Limits of what a file may ask for: Hz, and new samples for each one that it holds."""


def read_wav(path: PathLike, rate: int | None = None) -> tuple[Samples, int]:
    """Return the samples (n,) of a WAV file, and how many of them make a second.

    PCM is scaled to the range from -1 to 1; floats stay as they are. Channels are averaged. With
    `rate`, sound of another rate is brought to it (`resample`).

    Raises
    ------
    InputError
        For a file that is cut short, or does not hold PCM of 8, 16, 24 or 32 bits or IEEE floats of
        32 or 64 bits, in a plain or an extensible format.
    """
    name, content = display_name(path), read_bytes(path, EXPECTED)
    form, raw = _chunks(name, content)
    samples, found = _samples(name, form, raw)
    if rate is None:
        return samples, found
    if rate > LARGEST_FACTOR * found:
        raise InputError(f"{name}: {found} Hz are too few to make {rate} Hz of them")
    return resample(samples, found, rate), rate


def _chunks(name: str, content: bytearray) -> tuple[memoryview, memoryview]:
    """Return the format and the samples of a WAV file, as bytes."""
    head = bytes(content[:12])
    if head[:4] in (b"RIFX", b"RF64", b"BW64"):
        raise InputError(
            f"{name}: {head[:4].decode()} is a variant of WAV that is not supported; {EXPECTED} is "
            "expected"
        )
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise InputError(
            f"{name}: begins with {head!r}, not with RIFF, a size and WAVE; {EXPECTED} is expected"
        )
    whole, begin = memoryview(content), 12
    chunks: dict[bytes, memoryview] = {}
    while b"data" not in chunks:
        if begin + 8 > len(content):
            raise InputError(
                f"{name}: ends after {len(content)} bytes, within its header; {EXPECTED} is "
                "expected"
            )
        kind, size = struct.unpack_from("<4sI", content, begin)
        begin += 8
        chunks[kind] = whole[begin : begin + size]
        begin += size
        if size % 2 and content[begin : begin + 1] == b"\0":  # some programs do not pad
            begin += 1
    if len(chunks[b"data"]) < size != _UNKNOWN_SIZE:
        raise InputError(f"{name}: ends within its samples: {len(chunks[b'data'])} bytes of {size}")
    if len(chunks.get(b"fmt ", b"")) < 16:
        raise InputError(f"{name}: no format before its samples; {EXPECTED} is expected")
    return chunks[b"fmt "], chunks[b"data"]


def _samples(name: str, form: memoryview, raw: memoryview) -> tuple[Samples, int]:
    """Return the samples (n,) and their rate, as the format chunk describes them."""
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and form[26:40] == _GUID:
        (tag,) = struct.unpack_from("<H", form, 24)
    width = (bits + 7) // 8
    if (
        width not in WIDTHS.get(tag, ())
        or block != channels * width
        or not channels
        or not 0 < rate <= HIGHEST_RATE
    ):
        raise InputError(
            f"{name}: format {tag} with {channels} channels of {bits} bits in blocks of {block} "
            f"bytes at {rate} Hz; {EXPECTED} is expected"
        )
    count = len(raw) // block
    if not count:
        raise InputError(f"{name}: holds no sample")
    raw = raw[: count * block]
    if tag == FLOAT:
        floats = np.frombuffer(raw, f"<f{width}")
        if not (np.abs(floats) < 1e10).all():
            raise InputError(f"{name}: a sample is not finite, or above 1e10")
        return floats.reshape(count, channels).mean(1, dtype=np.float64), rate
    # The bytes of a sample are the upper ones of a 32-bit integer; those of 8 bits are unsigned.
    upper = np.zeros((count * channels, 4), np.uint8)
    upper[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
    if width == 1:
        upper[:, 3] ^= 0x80
    return upper.view("<i4").reshape(count, channels).mean(1) / 2**31, rate


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
