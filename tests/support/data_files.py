"""Files of the formats that the library reads, and a check of their error messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from tinygrad_rnn.errors import InputError


def assert_input_error(load: Callable[..., Any], path: Path, *parts: str) -> None:
    """Assert that `load` raises InputError, in one line with the file name and some parts."""
    with pytest.raises(InputError) as error:
        load(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert not [part for part in parts if part not in message], message


def idx_bytes(array: Any, code: int) -> bytes:
    """Return the content of an IDX file."""
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return (
        bytes([0, 0, code, array.ndim])
        + shape
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def write_tracks(path: Path, *tracks: list[Any], **settings: Any) -> Path:
    file = mido.MidiFile(**settings)
    file.tracks += [mido.MidiTrack(track) for track in tracks]
    file.save(path)
    return path


def note_on(note: int, time: int = 0, velocity: int = 64, channel: int = 0) -> Any:
    return mido.Message("note_on", note=note, velocity=velocity, time=time, channel=channel)


def assert_damage_is_handled(load: Callable[..., Any], intact: Path, tmp_path: Path) -> None:
    """Assert that truncated files, and files with a changed byte, are read or raise InputError."""
    content, path = intact.read_bytes(), tmp_path / f"damaged{intact.suffix}"
    rng = np.random.default_rng(0)
    cases = [content[:end] for end in range(1, min(len(content), 90))]
    for place in range(min(len(content), 60)):
        values = (0, 0x7F, 0xFF, *rng.integers(256, size=3).tolist())
        cases += [content[:place] + bytes([byte]) + content[place + 1 :] for byte in values]
    for case in cases:
        path.write_bytes(case)
        try:
            load(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


def write_file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
