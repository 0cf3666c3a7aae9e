"""Files of the formats that the library reads, and the errors that name them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import pytest

from tinygrad_rnn.errors import InputError


def refuses(load: Callable[..., Any], path: Path, *says: str) -> None:
    """One line that names the file."""
    with pytest.raises(InputError) as error:
        load(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert not [words for words in says if words not in message], message


def idx(array: Any, code: int) -> bytes:
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return (
        bytes([0, 0, code, array.ndim])
        + shape
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def written(path: Path, *tracks: list[Any], **settings: Any) -> Path:
    file = mido.MidiFile(**settings)
    file.tracks += [mido.MidiTrack(track) for track in tracks]
    file.save(path)
    return path


def on(note: int, time: int = 0, velocity: int = 64, channel: int = 0) -> Any:
    return mido.Message("note_on", note=note, velocity=velocity, time=time, channel=channel)
