"""Music: notes in MIDI files, as tokens for a language model, and as sound.

MIDI files are read and written by mido, of the extra `examples`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...summary import summary_repr
from ..files import PathLike, display_name, read_bytes
from ..text import Ids

NUM_KEYS, LOWEST_PITCH, DRUM_CHANNEL = 88, 21, 9
"""The piano's keys, the MIDI number of the lowest, and the channel whose notes are no keys."""

NUM_TIME_SHIFTS = 17
"""A note's token says in how many steps the next one begins: 0 (with it) to 16 (or later)."""
NUM_TOKENS = NUM_KEYS * NUM_TIME_SHIFTS

MAX_STEPS = 1 << 17
"""Steps in a piece, at most: more than four hours of quarter beats at 120 beats a minute. A file of
37 bytes can claim a billion."""
MAX_SECONDS = 3600
"""Seconds of sound that `sound` makes, at most."""
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")
"""Bytes that all say "the number continues". MIDI has 4 of them at most; mido takes any number, in
quadratic time."""


class Note(NamedTuple):
    """A key from 0 to 87 (a middle C is 39), struck at a step of time, and active for some."""

    start: int
    key: int
    length: int


def read_midi(path: PathLike, steps_per_beat: int = 4) -> list[Note]:
    """Return the notes of a MIDI file, by time and key, at the nearest steps.

    Drums are left out, and notes beyond a piano's keys are moved by octaves. InputError for a file
    that is not MIDI, holds no notes, or lasts for more than `MAX_STEPS` steps.
    """
    name, mido = display_name(path), _mido()
    content = read_bytes(path, "a MIDI file")
    if _ENDLESS_NUMBER.search(content):
        raise InputError(f"{name}: holds a number without end; is it a MIDI file?")
    try:
        file = mido.MidiFile(file=io.BytesIO(content), clip=True)
        messages = list(file.merged_track)
    except (OSError, EOFError, ValueError, LookupError, TypeError, mido.KeySignatureError) as error:
        raise InputError(
            f"{name}: {str(error) or 'it ends too early'}; is it a MIDI file?"
        ) from error
    if file.ticks_per_beat <= 0:
        raise InputError(f"{name}: counts time in frames of film; one that counts beats is needed")
    notes: dict[tuple[int, int], int] = {}
    active: dict[tuple[int, int], int] = {}
    ticks = 0
    for message in messages:
        ticks += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
            continue
        if ticks * steps_per_beat > MAX_STEPS * file.ticks_per_beat:
            raise InputError(
                f"{name}: lasts for more than {MAX_STEPS} steps of {steps_per_beat} to a beat"
            )
        now = round(ticks * steps_per_beat / file.ticks_per_beat)
        if (start := active.pop((message.channel, message.note), None)) is not None:
            place = start, _on_piano(message.note - LOWEST_PITCH)
            notes[place] = max(notes.get(place, 1), now - start)
        if message.type == "note_on" and message.velocity:
            active[message.channel, message.note] = now
    if not notes:
        raise InputError(f"{name}: holds no note (drums do not count)")
    return [Note(start, key, length) for (start, key), length in sorted(notes.items())]


def write_midi(
    path: PathLike, notes: Iterable[Note], steps_per_beat: int = 4, tempo: float = 120
) -> None:
    """Write notes as a MIDI file for a piano, `tempo` beats a minute."""
    mido = _mido()
    file = mido.MidiFile(ticks_per_beat=24 * steps_per_beat)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    file.tracks.append(track)
    events = [
        (start + length * (not on), on, key) for start, key, length in notes for on in (False, True)
    ]
    now = 0
    for time, on, key in sorted(events):
        kind, wait = "note_on" if on else "note_off", 24 * (time - now)
        track.append(mido.Message(kind, note=key + LOWEST_PITCH, velocity=80 * on, time=wait))
        now = time
    file.save(os.fspath(path))


def notes_to_tokens(notes: Sequence[Note]) -> Ids:
    """One number for each note: its key, and in how many steps the next one begins. Notes that
    begin together are 0 steps apart, so chords, and several voices, are texts like any other.
    """
    starts = np.array([note.start for note in notes])
    waits = np.diff(starts, append=starts[-1:] + [note.length for note in notes[-1:]])
    return np.array([note.key for note in notes]) * NUM_TIME_SHIFTS + np.minimum(
        waits, NUM_TIME_SHIFTS - 1
    )


def tokens_to_notes(tokens: npt.ArrayLike) -> list[Note]:
    """The notes that tokens stand for, each active until another than those with it begins."""
    keys, waits = np.divmod(np.asarray(tokens, np.int64), NUM_TIME_SHIFTS)
    starts = np.cumsum(waits) - waits
    ends = np.append(starts, starts[-1:] + waits[-1:])[np.searchsorted(starts, starts, "right")]
    active = np.maximum(ends - starts, 1)
    return [Note(*map(int, note)) for note in zip(starts, keys, active, strict=True)]


@dataclass(frozen=True)
class NoteVocabulary:
    """The tokens that pieces are made of, numbered from 1; 0 stands for what is no note."""

    tokens: tuple[int, ...]

    __repr__ = summary_repr

    @classmethod
    def from_pieces(cls, pieces: Iterable[Sequence[Note]]) -> NoteVocabulary:
        """The different tokens of all pieces, sorted."""
        tokens = [np.unique(notes_to_tokens(notes)) for notes in pieces]
        return cls(tuple(np.unique(np.concatenate([np.zeros(0, np.int64), *tokens])).tolist()))

    def __len__(self) -> int:
        return 1 + len(self.tokens)

    def encode(self, notes: Sequence[Note]) -> Ids:
        """The numbers of the notes' tokens (n,). One that is not known is taken for the nearest, as
        a rule the same key for another time."""
        places: Ids = np.abs(notes_to_tokens(notes)[:, None] - np.array(self.tokens)).argmin(1)
        return 1 + places

    def decode(self, ids: npt.ArrayLike) -> list[Note]:
        """The notes that have these numbers, from 1 on, as of `tokens_to_notes`."""
        return tokens_to_notes(np.array(self.tokens)[np.asarray(ids, np.int64) - 1])


def piano_roll(notes: Sequence[Note]) -> npt.NDArray[np.float32]:
    """Return the piano roll (T, 88): 1 where a key is active at a step, else 0. InputError for more
    than `MAX_STEPS` steps."""
    steps = max(start + length for start, _, length in notes)
    if steps > MAX_STEPS:
        raise InputError(f"a piece of {steps} steps is too long; {MAX_STEPS} are allowed")
    roll = np.zeros((steps, NUM_KEYS), np.float32)
    for start, key, length in notes:
        roll[start : start + length, key] = 1
    return roll


def synthesize(
    notes: Sequence[Note], rate: int = 22050, steps_per_beat: int = 4, tempo: float = 120
) -> npt.NDArray[np.float64]:
    """Return samples from -1 to 1 of the notes, as sums of sines that fade like strings. InputError
    for more than an hour."""
    step = 60 / tempo / steps_per_beat
    seconds = max(n.start + n.length for n in notes) * step + 1
    if seconds > MAX_SECONDS:
        raise InputError(f"{seconds:.0f} seconds are too long; {MAX_SECONDS} are allowed")
    samples: npt.NDArray[np.float64] = np.zeros(round(seconds * rate))
    for start, key, length in notes:
        t = np.arange(round((length * step + 0.3) * rate)) / rate
        pitch = 440 * 2 ** ((key + LOWEST_PITCH - 69) / 12)
        tone = sum(
            np.sin(2 * np.pi * pitch * k * t) / k**2 for k in range(1, 5) if pitch * k < rate / 2
        )
        fade = np.exp(-3 * t) * np.minimum(1, t / 0.005) * np.clip((t[-1] - t) / 0.3, 0, 1)
        samples[(begin := round(start * step * rate)) : begin + len(t)] += tone * fade
    samples /= max(1e-9, np.abs(samples).max())
    return samples


def _on_piano(key: int) -> int:
    """The key within the piano's range that is whole octaves away."""
    return key + 12 * -(min(key, 0) // 12) if key < 0 else key - 12 * -(-max(key - 87, 0) // 12)


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise InputError(
            "MIDI files are read and written by mido: pip install 'tinygrad-rnn[examples]'"
        ) from error
    return mido
