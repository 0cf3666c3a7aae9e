"""Everything that can be wrong at the keyboard ends in one clear line and exit code 2.

Each test runs the real command line; `fails` also holds that no file came, went or changed.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND, ENVIRONMENT, SMALL, TEXT, contents, fails, is_one_line, run, succeeds
from safetensors.numpy import save_file

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a trained run, for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "text.txt").write_text(TEXT)
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("too short")
    (folder / "latin.txt").write_bytes(b"the lazy caf\xe9")
    (folder / "folder").mkdir()
    (folder / "folder" / "precious.txt").write_text("mine")
    succeeds("train", "text.txt", *SMALL, "--max-steps", 5, "--out", "done", cwd=folder)
    return folder


@pytest.fixture
def copy(workshop: Path, tmp_path: Path) -> Path:
    """A copy of the workshop that a test may damage."""
    return Path(shutil.copytree(workshop, tmp_path / "copy"))


WORDS = [
    ("trian", ["'trian'", "did you mean train?"]),
    ("frobnicate", ["'frobnicate'", "train, sample, eval, demo, predict, info"]),
    ("--frobnicate", ["--frobnicate"]),
    ("train --hiden 64", ["--hiden", "did you mean --hidden?"]),
    ("train --hid 64", ["--hid"]),
    ("train text.txt -z", ["-z"]),
    ("train --hidden", ["--hidden", "expected one argument"]),
    ("train --resume=yes --out done", ["--resume", "yes"]),
    ("sample", ["RUN"]),
    ("sample done extra", ["'extra'"]),
    ("sample done --lenght 5", ["--lenght", "did you mean --length?"]),
    ("eval", ["RUN"]),
    ("info now", ["'now'"]),
    ("sample -x", ["unknown option -x"]),
    ("eval --encodign latin-1", ["--encodign", "did you mean --encoding?"]),
    ("sample -- -x", ["no run -x"]),
    ("train text.txt -- -missing.txt", ["-missing.txt", "No such file"]),
]
TEXTS = [
    ("train missing.txt", ["missing.txt", "No such file"]),
    ("train text.txt missing.txt", ["missing.txt"]),
    ("train text.txt/below.txt", ["text.txt/below.txt"]),
    ("train folder", ["folder", "directory"]),
    ("train empty.txt", ["empty.txt", "empty"]),
    ("train short.txt", ["short.txt", "characters, got 9"]),
    ("train text.txt --batch 4 --seq-len 8000", ["text.txt", "2880 characters", "--seq-len"]),
    ("train text.txt --batch 8000 --seq-len 4", ["text.txt", "2880 characters", "--batch"]),
    ("train latin.txt", ["latin.txt", "byte 12", "--encoding"]),
    ("train text.txt --encoding utf-99", ["utf-99"]),
    ("train --encoding latin-1", ["--encoding", "TEXT"]),
    ("train -", ["empty"]),
    ("eval done --encoding latin-1", ["--encoding", "TEXT"]),
    ("eval done missing.txt", ["missing.txt"]),
    ("eval done latin.txt", ["latin.txt", "byte 12", "--encoding"]),
    ("eval done latin.txt --encoding latin-1", ["latin.txt", "'é'", "U+00E9"]),
    ("eval done empty.txt", ["empty.txt", "empty"]),
]
VALUES = [
    ("train text.txt --model elman", ["--model elman", "lstm"]),
    ("train text.txt --hidden 0", ["--hidden 0", "from 1 to 1,000,000"]),
    ("train text.txt --hidden 1.5", ["--hidden 1.5", "whole number"]),
    ("train text.txt --layers -1", ["--layers -1", "from 1 to 1,000"]),
    ("train text.txt --embed many", ["--embed many", "whole number"]),
    ("train text.txt --dropout 1", ["--dropout 1", "below 1"]),
    ("train text.txt --batch 0", ["--batch 0"]),
    ("train text.txt --seq-len 0", ["--seq-len 0"]),
    ("train text.txt --epochs 0", ["--epochs 0"]),
    ("train text.txt --max-steps 0", ["--max-steps 0"]),
    ("train text.txt --max-seconds 0", ["--max-seconds 0"]),
    ("train text.txt --lr nan", ["--lr nan", "above 0"]),
    ("train text.txt --lr inf", ["--lr inf"]),
    ("train text.txt --lr-decay 1.1", ["--lr-decay 1.1", "up to 1"]),
    ("train text.txt --clip 0", ["--clip 0"]),
    ("train text.txt --seed -1", ["--seed -1"]),
    ("train text.txt --seed 9223372036854775808", ["--seed 9223372036854775808"]),
    ("train text.txt --device gpu", ["--device gpu", "cpu, cuda or cuda:N"]),
    ("train text.txt --hidden 99999999999999999999", ["--hidden 9", "1,000,000"]),
    ("train text.txt --embed 1000001", ["--embed 1000001", "1,000,000"]),
    ("train text.txt --batch 1000001", ["--batch 1000001", "1,000,000"]),
    ("train text.txt --seq-len 1000001", ["--seq-len 1000001", "1,000,000"]),
    ("train text.txt --layers 1000000000", ["--layers 1000000000", "from 1 to 1,000"]),
    ("train text.txt --threads 1025", ["--threads 1025", "1,024"]),
    ("train text.txt --epochs 1000000000001", ["--epochs 1", "1,000,000,000,000"]),
    ("train text.txt --max-steps 1000000000001", ["--max-steps 1", "1,000,000,000,000"]),
    ("sample done --length 0", ["--length 0"]),
    ("sample done --temperature -1", ["--temperature -1"]),
    ("sample done --top-k 0", ["--top-k 0"]),
    ("sample done --top-p 0", ["--top-p 0", "above 0 and up to 1"]),
    ("sample done --top-p 1.5", ["--top-p 1.5"]),
    ("sample done --seed x", ["--seed x"]),
    ("sample done --prompt Ünknown", ["'Ü'", "U+00DC", "--prompt"]),
]
FOLDERS = [
    ("train text.txt --out done", ["done", "--resume", "--overwrite"]),
    ("train text.txt --out folder", ["folder", "--resume", "--overwrite"]),
    ("train text.txt --out text.txt", ["text.txt", "--overwrite"]),
    ("train text.txt --out text.txt/run", ["cannot create text.txt/run"]),
    ("train text.txt --out folder --overwrite", ["folder is not a run"]),
    ("train text.txt --out text.txt --overwrite", ["text.txt is not a folder"]),
    ("train text.txt --overwrite", ["--overwrite needs --out"]),
    ("train --resume --overwrite --out done", ["--resume and --overwrite"]),
    ("train --resume", ["--resume needs --out"]),
    ("train --resume --out nowhere", ["no run nowhere"]),
    ("train --resume --out folder", ["folder is not a run"]),
    ("train --resume --out done --hidden 16", ["--hidden 16", "(the run has 8)"]),
    ("train --resume --out done --lr 1 --seed 3", ["--lr 1.0", "--seed 3 (the run has 0)"]),
    ("train --resume --out done --max-steps 4", ["--max-steps 4", "(the run has 5)", "larger"]),
    ("train --resume --out done --max-seconds 9", ["--max-seconds 9", "(the run has no limit)"]),
    ("train latin.txt --encoding latin-1 --resume --out done", ["latin.txt", "text.txt"]),
    ("sample nowhere", ["no run nowhere"]),
    ("sample folder", ["folder is not a run"]),
    ("sample text.txt", ["text.txt is not a run"]),
    ("eval nowhere", ["no run nowhere"]),
]


@pytest.mark.parametrize(("line", "says"), WORDS + TEXTS + VALUES + FOLDERS)
def test_bad_input_is_one_line(workshop: Path, line: str, says: list[str]) -> None:
    fails(*line.split(), cwd=workshop, says=says, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", [["train"], ["eval", "done"]])
def test_a_text_without_a_name(workshop: Path, command: list[str]) -> None:
    fails(*command, "", cwd=workshop, says=["name of a text file is empty"])


@pytest.mark.skipif(sys.platform == "win32", reason="standard input closes differently")
@pytest.mark.parametrize("command", [["train"], ["eval", "done"]])
def test_standard_input_that_is_closed(workshop: Path, command: list[str]) -> None:
    says = ["standard input is closed"]
    fails(*command, "-", cwd=workshop, says=says, preexec_fn=lambda: os.close(0))


def test_unreadable_file(copy: Path) -> None:
    secret = copy / "secret.txt"
    secret.write_text(TEXT)
    secret.chmod(0)
    if os.access(secret, os.R_OK):  # root reads everything but a process's unmapped memory
        secret = Path("/proc/self/mem")
    if not secret.exists():
        pytest.skip("every file can be read here")
    done = run("train", secret, cwd=copy)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert f"error: {secret}: " in done.stderr


def test_out_in_a_place_where_nothing_can_be_made(workshop: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc")
    says = ["cannot create /proc/nothing/here"]
    fails("train", "text.txt", "--out", "/proc/nothing/here", cwd=workshop, says=says)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_cuda_without_cupy_says_what_to_install(workshop: Path) -> None:
    says = ["--device cuda", "CuPy", "pip install"]
    fails("train", "text.txt", "--device", "cuda", cwd=workshop, says=says)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("model.safetensors", ["sample", "done"]),
        ("last.safetensors", ["train", "--resume", "--out", "done", "--max-steps", "9"]),
        ("config.json", ["sample", "done"]),
    ],
)
@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "missing"])
def test_damaged_run(copy: Path, file: str, command: list[str], damage: str) -> None:
    path = copy / "done" / file
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-50], "foreign": b"{}{}" * 99}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    fails(*command, cwd=copy, says=[file])


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("model.safetensors", ["sample", "done"]),
        ("last.safetensors", ["train", "--resume", "--out", "done", "--max-steps", "9"]),
    ],
)
def test_checkpoint_of_another_program(copy: Path, file: str, command: list[str]) -> None:
    save_file({"weight": np.ones((2, 3), np.float32)}, copy / "done" / file)
    fails(*command, cwd=copy, says=[f"done/{file}"])


def test_checkpoint_of_another_model(copy: Path) -> None:
    larger = ["--hidden", 9, "--embed", 4, "--batch", 4, "--seq-len", 8, "--max-steps", 1]
    succeeds("train", "text.txt", *larger, "--out", "other", cwd=copy)
    for name in ("model.safetensors", "last.safetensors"):
        shutil.copy(copy / "other" / name, copy / "done" / name)
    fails("sample", "done", cwd=copy, says=["model.safetensors belongs to another model"])
    says = ["last.safetensors belongs to another model", "weight_hh_l0"]
    fails("train", "--resume", "--out", "done", "--epochs", 99, cwd=copy, says=says)


@pytest.mark.parametrize(
    "line",
    [b'"\xff"', b"[]", b"{}", b"garbage", b'{"event": "update"}', b"", b"[" * 9999, b'{"a":' * 999],
    ids=range(8),
)
def test_records_that_are_damaged(copy: Path, line: bytes) -> None:
    """This is found before the training, which would otherwise be for nothing."""
    path = copy / "done" / "metrics.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:], b""]))
    says = ["done/metrics.jsonl, line 2 is damaged"]
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, says=says)


@pytest.mark.parametrize("kept", [0, 3])
def test_records_that_are_missing(copy: Path, kept: int) -> None:
    path = copy / "done" / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    says = [f"metrics.jsonl is damaged: it has {kept} lines"]
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, says=says)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"vocabulary": ""}, "vocabulary"),
        ({"vocabulary": ["ab", "c"]}, "vocabulary"),
        ({"vocabulary": None}, "vocabulary"),
        ({"text": {}}, "'source'"),
        ({"text": {"source": "text.txt", "sha256": ""}}, "'characters'"),
        ({"text": {"source": "text.txt", "characters": 9}}, "'sha256'"),
        ({"text": []}, "'source'"),
        ({"options": {"hiden": 3}}, "'hiden'"),
    ],
)
@pytest.mark.parametrize(
    "command", ["train --resume --max-steps 9 --out done", "sample done", "eval done"]
)
def test_config_that_is_damaged(
    copy: Path, command: str, damage: dict[str, object], says: str
) -> None:
    path = copy / "done" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    fails(*command.split(), cwd=copy, says=["done/config.json is damaged: ", says])


def test_vocabulary_that_is_not_the_texts(copy: Path) -> None:
    path = copy / "done" / "config.json"
    config = json.loads(path.read_text())
    config["vocabulary"] = config["vocabulary"][:-1] + "~"
    path.write_text(json.dumps(config))
    says = ["done/config.json is damaged", "vocabulary", "done/corpus.txt"]
    fails("eval", "done", cwd=copy, says=says)
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, says=says)


def test_corpus_that_was_changed(copy: Path) -> None:
    (copy / "done" / "corpus.txt").write_text(TEXT + "more")
    says = ["corpus.txt was changed"]
    fails("train", "--resume", "--out", "done", "--epochs", 99, cwd=copy, says=says)


def test_resume_lists_the_runs_there_are(copy: Path) -> None:
    for number in (2, 10):
        shutil.copytree(copy / "done", copy / "runs" / f"lstm-{number}")
    fails("train", "--resume", cwd=copy, says=["--out", "runs/lstm-2, runs/lstm-10"])


def test_two_processes_do_not_train_one_run(copy: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(copy / "done", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)  # the weakest lock: training wants the folder for itself
    for mode in ("--resume", "--overwrite"):
        words = ["train", "text.txt", mode, "--out", "done"]
        fails(*words, cwd=copy, says=["another process is training done"])
    os.close(handle)


def test_divergence_names_the_step_and_keeps_the_best_model(copy: Path) -> None:
    words = ["train", "text.txt", *SMALL, "--lr", "1e38", "--out", "wild"]
    done = run(*words, cwd=copy)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "diverged at step " in done.stderr
    assert "--lr 1e+38" in done.stderr
    assert len(succeeds("sample", "wild", "--length", 20, cwd=copy)) == 21


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a run's first files, but not for its later ones."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_keeps_what_was_saved(small_disk: Path, workshop: Path, tmp_path: Path) -> None:
    """The line names the file; once there is room, the run ends as if nothing had happened."""
    words = ["train", workshop / "text.txt", *SMALL, "--max-steps", 200, "--out"]
    done = run(*words, "disk/full", cwd=tmp_path)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "disk/full/" in done.stderr
    assert "No space left" in done.stderr
    assert not list(small_disk.rglob(".*"))
    shutil.copytree(small_disk / "full", tmp_path / "roomy")
    assert len(succeeds("sample", "roomy", "--length", 9, cwd=tmp_path)) == 10
    succeeds("train", "--resume", "--out", "roomy", cwd=tmp_path)
    succeeds(*words, "undisturbed", cwd=tmp_path)
    name = "model.safetensors"
    assert (tmp_path / "roomy" / name).read_bytes() == (
        tmp_path / "undisturbed" / name
    ).read_bytes()


def test_disk_that_is_full_from_the_start_leaves_no_folder(
    small_disk: Path, tmp_path: Path
) -> None:
    (small_disk / "filler").write_bytes(bytes(32 * 1024))
    (tmp_path / "text.txt").write_text(TEXT)
    fails("train", "text.txt", *SMALL, "--out", "disk/none", cwd=tmp_path, says=["No space left"])


def test_overwriting_on_a_full_disk_keeps_the_old_run(copy: Path) -> None:
    """As a limit on the size of files, which needs no root: the first write of all fails."""
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    words = ["train", "text.txt", *SMALL, "--out", "done", "--overwrite"]
    fails(*words, cwd=copy, says=["done/", "File too large"], preexec_fn=limit)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["info", "sample done", "eval done", "train --resume --out done"])
def test_output_that_cannot_be_written(workshop: Path, words: str) -> None:
    before = contents(workshop)
    with open("/dev/full", "w") as full:
        done = run(*words.split(), cwd=workshop, capture_output=False, stdout=full, stderr=-1)
    assert done.returncode == 2
    assert "cannot write the output: No space left" in done.stderr
    assert is_one_line(done.stderr)
    assert contents(workshop) == before


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently")
def test_a_reader_that_has_seen_enough_is_no_error(workshop: Path) -> None:
    words = [*COMMAND, "sample", "done", "--length", "100000"]
    with subprocess.Popen(
        words, cwd=workshop, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
