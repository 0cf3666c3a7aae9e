"""The command's way from text to a trained model, as its users walk it."""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from command import COMMAND, ENVIRONMENT, ROOT, SMALL, TEXT, run, succeeds

from tinygrad_rnn.tasks.language_modeling import Options

pytestmark = pytest.mark.host

FILES = [
    "config.json",
    "corpus.txt",
    "last.safetensors",
    "loss.png",
    "metrics.jsonl",
    "model.safetensors",
    "sample.txt",
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "text.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def trained(workshop: Path) -> tuple[Path, str]:
    """A run of one epoch, and what the command printed."""
    words = ["train", "text.txt", *SMALL, "--epochs", 1, "--max-steps", 999, "--out", "done"]
    return workshop / "done", succeeds(*words, cwd=workshop)


def test_a_run_leaves_all_its_files(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert f"Saved in done: {', '.join(FILES)}" in printed
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "corpus.txt").read_text() == TEXT
    sample = (folder / "sample.txt").read_text()
    assert len(sample) == 301
    assert sample in printed


def test_config_tells_what_the_run_is(trained: tuple[Path, str]) -> None:
    config = json.loads((trained[0] / "config.json").read_text())
    assert config["options"]["hidden"] == 8
    assert config["options"]["seed"] == 0
    assert config["vocabulary"] == "".join(sorted(set(TEXT)))
    assert config["text"]["characters"] == len(TEXT)
    assert config["versions"]["python"] == platform.python_version()


def test_metrics_have_a_line_for_every_update_and_evaluation(trained: tuple[Path, str]) -> None:
    records = [json.loads(line) for line in (trained[0] / "metrics.jsonl").open()]
    updates = [record for record in records if record["event"] == "update"]
    evaluations = [record for record in records if record["event"] == "evaluation"]
    assert [record["step"] for record in updates] == list(range(1, len(updates) + 1))
    assert [record["step"] for record in evaluations] == [0, len(updates)]
    assert abs(updates[-1]["characters"] - 0.9 * len(TEXT)) <= 4 * 8  # one window more or less


def test_it_says_how_many_characters_were_read(trained: tuple[Path, str]) -> None:
    _, output = trained
    assert re.search(r"^[\d,]+ characters were read in ", output, re.MULTILINE)


def test_the_table_compares_with_markov_models(trained: tuple[Path, str]) -> None:
    """The validation text repeats the training text: high orders know it by heart."""
    rows = dict(re.findall(r"Markov, order (\d) +([\d.]+ +\w+)", trained[1]))
    assert list(rows) == list("012345")
    assert rows["5"].endswith("ahead")
    ours = float(re.search(r"LSTM, 8 units +([\d.]+)", trained[1])[1])  # type: ignore[index]
    for row in rows.values():
        bits, verdict = row.split()
        assert verdict == ("beaten" if ours < float(bits) else "ahead")


def test_a_text_of_one_character_is_a_tie(tmp_path: Path) -> None:
    """And the commands that come next are words of a shell, whatever the folder is called."""
    (tmp_path / "a.txt").write_text("a" * 900)
    words = ["train", "a.txt", *SMALL, "--max-steps", 1, "--out", "my run"]
    printed = succeeds(*words, cwd=tmp_path)
    assert len(re.findall(r"Markov, order \d +0\.000 +level", printed)) == 6
    for command in ("sample", "eval", "train --resume --out"):
        assert f"  tinygrad-rnn {command} 'my run'" in printed


def test_without_out_every_run_gets_a_fresh_name(workshop: Path) -> None:
    """Also when they start at the same moment."""
    words = [*COMMAND, "train", "text.txt", *SMALL, "--max-steps", "1"]
    processes = [
        subprocess.Popen(words, cwd=workshop, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(os.listdir(workshop / "runs")) == ["lstm-1", "lstm-2", "lstm-3"]


def test_texts_are_joined_in_order_and_dash_is_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ä".encode("latin-1") * 900)
    words = ["train", "a.txt", "-", *SMALL, "--encoding", "latin-1", "--max-steps", 1]
    succeeds(*words, "--out", "r", cwd=tmp_path, input="b" * 100)
    assert (tmp_path / "r" / "corpus.txt").read_text("utf-8") == "ä" * 900 + "b" * 100


def test_options_may_stand_before_between_and_after_texts(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 500)
    succeeds("train", "a", *SMALL, "b", "--max-steps", 1, "--out", "r", cwd=tmp_path)
    assert (tmp_path / "r" / "corpus.txt").read_text() == "a" * 500 + "b" * 500


def test_words_after_two_dashes_are_texts(tmp_path: Path) -> None:
    for name in ("a", "-b"):
        (tmp_path / name).write_text(name * 500)
    words = ["train", *SMALL, "--max-steps", 1, "--out", "r", "a", "--", "-b", "-"]
    succeeds(*words, cwd=tmp_path, input="c")
    assert (tmp_path / "r" / "corpus.txt").read_text() == "a" * 500 + "-b" * 500 + "c"


def test_without_text_it_learns_from_pythons_documentation(tmp_path: Path) -> None:
    words = ["train", "--hidden", 4, "--embed", 2, "--max-steps", 1, "--out", "r"]
    printed = succeeds(*words, cwd=tmp_path)
    assert f"Python {platform.python_version()}" in printed
    assert len((tmp_path / "r" / "corpus.txt").read_text("utf-8")) > 100_000


def test_overwrite_replaces_the_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = ["train", "text.txt", *SMALL, "--max-steps", 1, "--out", "r"]
    succeeds(*words, "--seed", 1, cwd=tmp_path)
    (tmp_path / "r" / "notes.txt").write_text("mine")
    first = (tmp_path / "r" / "model.safetensors").read_bytes()
    succeeds(*words, "--seed", 2, "--overwrite", cwd=tmp_path)
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "r" / "model.safetensors").read_bytes() != first
    assert json.loads((tmp_path / "r" / "config.json").read_text())["options"]["seed"] == 2


def test_sample_goes_on_from_the_prompt(trained: tuple[Path, str]) -> None:
    words = ["sample", trained[0], "--prompt", "the ", "--length", 30, "--seed"]
    first, again, other = (succeeds(*words, seed, cwd=trained[0]) for seed in (1, 1, 2))
    assert first.startswith("the ")
    assert first.endswith("\n")
    assert len(first) == 4 + 30 + 1
    assert first == again != other


def test_greedy_sampling_needs_no_seed(trained: tuple[Path, str]) -> None:
    words = ["sample", trained[0], "--length", 30, "--seed"]
    cold = [succeeds(*words, seed, "--temperature", 0, cwd=trained[0]) for seed in (1, 2)]
    top = [
        succeeds(*words, 3, *only, cwd=trained[0]) for only in (("--top-k", 1), ("--top-p", 1e-9))
    ]
    assert cold == top


def test_eval_measures_the_runs_own_text_and_others(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    own = succeeds("eval", folder, cwd=folder)
    ours = re.search(r"LSTM, 8 units +([\d.]+)", printed)[1]  # type: ignore[index]
    row = re.search(r"LSTM, 8 units +([\d.]+) +([\d.]+) +[\d.]+ +[\d.]+", own)
    assert row is not None
    assert row[1] == ours
    assert float(row[2]) == pytest.approx(2 ** float(row[1]), rel=1e-2)
    lazy = succeeds("eval", folder, "-", cwd=folder, input="the lazy dog")
    assert len(re.findall(r"Markov, order \d +[\d.]+ +[\d.]+", lazy)) == 6


def test_the_device_is_the_runs_own_choice(workshop: Path) -> None:
    """Whatever the engine's default device is set to."""
    environment = ENVIRONMENT | {"AUTOGRAD_DEVICE": "abacus"}
    words = [*COMMAND, "train", "text.txt", *SMALL, "--max-steps", "1", "--out", "cpu"]
    assert subprocess.run(words, cwd=workshop, env=environment, capture_output=True).returncode == 0


def test_info_names_versions_threads_and_devices(workshop: Path) -> None:
    printed = succeeds("info", cwd=workshop)
    for line in [r"numpy +\d", r"threads +1 ", r"device cpu +NumPy", r"device cuda +\w"]:
        assert re.search(line, printed)


@pytest.mark.parametrize("words", ["", "--help", "train --help", "sample --help", "eval -h"])
def test_help_is_for_the_asking(workshop: Path, words: str) -> None:
    printed = succeeds(*words.split(), cwd=workshop)
    assert printed.startswith("usage: tinygrad-rnn")


def test_help_shows_every_default(workshop: Path) -> None:
    printed = re.sub(r"\s+", " ", succeeds("train", "--help", cwd=workshop))
    for option in fields(Options):
        default = "" if option.default is None else rf"[^-]*\(default: {option.default}\)"
        assert re.search(f"--{option.name.replace('_', '-')} [A-Z]+ {default}", printed)


def test_the_module_runs_without_being_installed(tmp_path: Path) -> None:
    """From a source folder on PYTHONPATH, in an interpreter that sees no installed project."""
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", "--version"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert re.fullmatch(r"tinygrad-rnn \d+\.\d+.*\n", done.stdout)


def test_ctrl_c_while_the_program_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([*COMMAND, "info"], cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_warnings_are_printed_without_source_code(tmp_path: Path) -> None:
    lines = ["import warnings", 'CLAIM = "a"', "def main(demo):", '    warnings.warn("b")']
    (tmp_path / "own.py").write_text("\n".join(lines))
    done = run("demo", "own.py", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "tinygrad-rnn: warning: b\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_live_line(tmp_path: Path) -> None:
    import pty

    (tmp_path / "text.txt").write_text(TEXT)
    words = [*COMMAND, "train", "text.txt", *SMALL, "--epochs", "2", "--out", "r"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, cwd=tmp_path, env=ENVIRONMENT, stdout=theirs) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux's way of saying that the other end was closed
                break
            if not piece:
                break
            seen += piece
    os.close(ours)
    assert process.returncode == 0
    for phrase in (b"loss", b"validation", b"chars/s", b"left", b"\x1b[2K"):
        assert phrase in seen


def test_lines_without_a_terminal_have_no_control_codes(trained: tuple[Path, str]) -> None:
    assert "\x1b" not in trained[1]
    assert re.search(r"epoch 1, step \d+: validation [\d.]+ bits per character", trained[1])


def test_characters_that_the_output_lacks_are_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ω" * 900, "utf-8")
    succeeds("train", "text.txt", *SMALL, "--max-steps", 1, "--out", "r", cwd=tmp_path)
    words = [*COMMAND, "sample", "r", "--length", "3"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    printed = subprocess.check_output(words, cwd=tmp_path, env=environment)
    assert printed.strip() == b"\\u03c9" * 3


def test_the_run_is_told_again_when_it_is_finished(trained: tuple[Path, str]) -> None:
    folder, first = trained
    before = (folder / "last.safetensors").read_bytes()
    done = run("train", "--resume", "--out", folder, cwd=folder)
    assert done.returncode == 0
    assert "The run is finished: it reached --epochs 1" in done.stdout
    assert (
        done.stdout.split("The best model is")[1].replace(str(folder), "done")
        == (first.split("The best model is")[1])
    )
    assert (folder / "last.safetensors").read_bytes() == before
