"""`make size`: what is over its budget stops it, and nothing that is stale is measured."""

import importlib.util
import tomllib

import pytest

from harness.device import ROOT

BOARD = "tiny-armv7"
BUDGET = tomllib.loads((ROOT / "board-configs" / f"{BOARD}.toml").read_text())["flash"]["budget"]


@pytest.fixture
def size(tmp_path, monkeypatch):
    """scripts/size.py, with builds that leave as many bytes as `size.bytes` says, and with no packers."""
    spec = importlib.util.spec_from_file_location("size", ROOT / "scripts/size.py")
    size = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(size)
    size.OUT, size.bytes, size.built = tmp_path, BUDGET, []

    def build(*words: str) -> None:
        size.built.append(words)
        file = size.program(words[-1])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size.bytes))

    monkeypatch.setattr(size, "build", build)
    monkeypatch.setattr(size, "xz", lambda binary: 1)
    monkeypatch.setattr(size, "squashfs", lambda binary, target: 1)
    return size


def test_a_board_that_just_keeps_its_budget_passes(size, capsys):
    assert size.main(["--board", BOARD]) == 0
    assert f" {BUDGET} " in capsys.readouterr().out


def test_a_board_that_is_a_byte_over_its_budget_fails_by_name(size, capsys):
    size.bytes = BUDGET + 1
    assert size.main(["--board", BOARD]) == 1
    assert f"{BOARD}: {BUDGET + 1} bytes are 1 over flash.budget, {BUDGET}" in capsys.readouterr().err


def test_a_board_that_is_over_its_budget_in_squashfs_alone_fails_by_name(size):
    over = size.over_budget("a-board", {"budget": 10, "squashfs_budget": 5}, 10, 6)
    assert over == ["a-board: 6 bytes of squashfs are 1 over flash.squashfs_budget, 5"]
    assert size.over_budget("a-board", {"budget": 10}, 10, 6) == []


@pytest.mark.parametrize("words", [[], ["--all"], ["--board", BOARD]])
def test_a_program_of_before_is_never_measured(size, words, capsys):
    stale = size.program(BOARD)
    stale.parent.mkdir(parents=True)
    stale.write_bytes(bytes(BUDGET + 1))
    size.bytes = 7
    assert size.main(words) == 0
    assert ("--board", BOARD) in size.built
    assert stale.stat().st_size == 7


def test_all_boards_are_every_board_there_is(size, capsys):
    size.bytes = 7
    assert size.main(["--all"]) == 0
    assert {board for _, board in size.built} == {f.stem for f in (ROOT / "board-configs").glob("*.toml")}
    assert "not built" not in capsys.readouterr().out


def test_without_a_board_to_measure_it_fails_and_says_what_to_do(size, capsys):
    assert size.main([]) == 1
    assert "make build BOARD=" in capsys.readouterr().err


def test_a_board_that_does_not_exist_is_refused_with_those_that_do(size, capsys):
    assert size.main(["--board", "toaster"]) == 1
    assert BOARD in capsys.readouterr().err


def test_a_board_that_cannot_be_built_fails_by_name(size, monkeypatch, capsys):
    def build(*words: str) -> None:
        raise size.subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(size, "build", build)
    assert size.main(["--board", BOARD]) == 1
    assert BOARD in capsys.readouterr().err
