"""FASTA files and coding regions."""

from pathlib import Path

import pytest
from data_files import assert_input_error

from tinygrad_rnn import data

pytestmark = pytest.mark.host  # files are processed on the host


def fasta(folder: Path, content: str) -> Path:
    path = folder / "a.fa"
    path.write_bytes(content.encode("latin-1"))
    return path


def test_fasta(tmp_path: Path) -> None:
    content = ">one of two\r\nacgATGGC\r\nTTAAuu\r\n\r\n>two\r\nnryaaaATG\r\n"
    one, two = data.read_fasta(fasta(tmp_path, content))
    assert (one.name, two.name) == ("one", "two")
    assert one.bases.tolist() == [0, 1, 2, 0, 3, 2, 2, 1, 3, 3, 0, 0, 3, 3]
    assert one.phases.tolist() == [0, 0, 0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 0, 0]
    assert two.bases.tolist() == [4, 4, 4, 0, 0, 0, 0, 3, 2]
    assert data.coding_regions(one.phases) == [(4, 12)]
    assert data.coding_regions(two.phases) == [(7, 9)]
    assert data.coding_regions([0, 0]) == []
    unlabeled = data.read_fasta(fasta(tmp_path, ">\nACGT\n>\nac\n"), labeled=False)
    assert [(s.name, s.phases.tolist()) for s in unlabeled] == [
        ("record1", [0] * 4),
        ("record2", [0] * 2),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("acgt\n", "line 1: expected a header line '>name'"),
        (">a\nacgATG\n>b\n\n>c\nacg\n", "line 3: no sequence follows the header of 'b'"),
        (
            ">a\nacg\nac-ATG\n",
            "line 3, column 3: expected a base",
        ),
        (">a\nac\xe9\n", "not utf-8"),
        (">a\nacgATGA\n", "line 1: 'a': the coding region 4 to 7 has 4 bases"),
        (">a\nACG\n", "all letters have the same case"),
        (" \n\n", "empty"),
    ],
)
def test_damaged_fasta(tmp_path: Path, content: str, message: str) -> None:
    assert_input_error(data.read_fasta, fasta(tmp_path, content), message)
