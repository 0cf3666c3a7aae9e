"""Readers and writers of file formats: WAV, MIDI, FASTA and IDX."""
