"""MIDI files, tokens, piano rolls and synthesis."""

from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
from data_files import assert_damage_is_handled, assert_input_error, note_on, write_tracks
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import data
from tinygrad_rnn.data.formats import midi
from tinygrad_rnn.data.formats.midi import NUM_TIME_SHIFTS, Note

pytestmark = pytest.mark.host  # files are processed on the host


def test_midi_of_two_tracks(tmp_path: Path) -> None:
    path = write_tracks(
        tmp_path / "a.mid",
        [
            note_on(60),
            note_on(60, 100, 0),
            note_on(64),
            mido.Message("note_off", note=64, time=190),
        ],
        [
            note_on(36, 2),
            note_on(38, channel=9),
            note_on(38, 5, 0, 9),
            note_on(36, 190, 0),
            note_on(12),
            note_on(12, 1, 0),
        ],
        ticks_per_beat=96,
    )
    assert data.read_midi(path) == [Note(0, 15, 8), Note(0, 39, 4), Note(4, 43, 8), Note(8, 3, 1)]


notes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 87)), min_size=1, unique_by=lambda n: n[1]
).flatmap(
    lambda places: st.tuples(
        st.just(sorted(places)), st.lists(st.integers(1, 9), min_size=len(places), max_size=99)
    )
)


@given(notes)
def test_written_midi_files_are_read_back(tmp_path_factory: Any, drawn: Any) -> None:
    places, lengths = drawn
    piece = [Note(*place, n) for place, n in zip(places, lengths, strict=False)]
    path = tmp_path_factory.getbasetemp() / "piece.mid"
    data.write_midi(path, piece, steps_per_beat=3)
    assert data.read_midi(path, steps_per_beat=3) == piece
    tokens = midi.notes_to_tokens(piece)
    decoded = midi.tokens_to_notes(tokens)
    gap = max(np.diff([n.start for n in piece]), default=0)
    if gap < NUM_TIME_SHIFTS:
        assert [n.start for n in decoded] == [n.start - piece[0].start for n in piece]
    assert [n.key for n in decoded] == [n.key for n in piece]


def test_tokens_of_a_chord_and_the_next_note() -> None:
    tokens = midi.notes_to_tokens([Note(0, 1, 4), Note(0, 5, 4), Note(4, 2, 3)])
    assert tokens.tolist() == [
        1 * NUM_TIME_SHIFTS,
        5 * NUM_TIME_SHIFTS + 4,
        2 * NUM_TIME_SHIFTS + 3,
    ]
    assert midi.tokens_to_notes(tokens) == [Note(0, 1, 4), Note(0, 5, 4), Note(4, 2, 3)]


def test_piano_roll() -> None:
    roll = midi.piano_roll([Note(0, 1, 2), Note(1, 87, 3)])
    assert roll.shape == (4, 88)
    assert np.argwhere(roll).tolist() == [[0, 1], [1, 1], [1, 87], [2, 87], [3, 87]]


def test_synthesized_notes_have_their_pitch() -> None:
    samples = midi.synthesize([Note(0, 48, 4)], rate=8000)
    assert np.abs(samples).max() == 1
    spectrum = np.abs(np.fft.rfft(samples[:4000]))
    assert spectrum.argmax() * 2 == 440


def test_damaged_midi(tmp_path: Path) -> None:
    path = tmp_path / "b.mid"
    path.write_bytes(b"RIFFabcdefgh" * 5)
    assert_input_error(data.read_midi, path, "expected a MIDI file")
    intact = write_tracks(tmp_path / "a.mid", [note_on(60), note_on(60, 100, 0)] * 4)
    path.write_bytes(intact.read_bytes()[:-9])
    assert_input_error(data.read_midi, path, "expected a MIDI file")
    path.write_bytes(intact.read_bytes()[:5])
    assert_input_error(data.read_midi, path, "b.mid: ends too early; expected a MIDI file")
    assert_input_error(
        data.read_midi, write_tracks(path, [note_on(38, channel=9)]), "contains no notes"
    )
    assert_damage_is_handled(data.read_midi, intact, tmp_path)
    key = mido.MidiFile(tracks=[mido.MidiTrack([mido.MetaMessage("key_signature", key="C")])])
    key.save(path)
    path.write_bytes(path.read_bytes().replace(b"\xff\x59\x02\0\0", b"\xff\x59\x02\x49\0"))
    assert_input_error(data.read_midi, path, "73 sharps")
