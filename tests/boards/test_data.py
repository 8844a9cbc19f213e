"""Targets and boards are data: what they say fits together."""

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {file.stem: file for file in (ROOT / "targets").glob("*.toml")}
BOARDS = sorted((ROOT / "board-configs").glob("*.toml"))
SETS = {"gateway", "router", "tiny", "tiny,tls"}
INITS = {"sysvinit", "busybox", "procd", "systemd", "openrc"}


def known_to_rust() -> set[str]:
    """The targets that the compiler knows."""
    listing = subprocess.run(["rustc", "--print=target-list"], check=True, capture_output=True, text=True)
    return set(listing.stdout.split())


def test_every_target_is_one_that_rust_knows_and_configures_only_itself():
    rust = known_to_rust()
    for name, file in TARGETS.items():
        assert name in rust
        assert list(tomllib.loads(file.read_text())["target"]) == [name]


def test_every_target_links_the_same_way_but_for_thumb():
    seen = set()
    for name, file in TARGETS.items():
        flags = tomllib.loads(file.read_text())["target"][name]["rustflags"]
        seen.add(tuple(flag.replace(",+thumb-mode", "") for flag in flags))
    assert len(seen) == 1, seen


def test_cross_builds_exactly_the_targets_there_are():
    cross = tomllib.loads((ROOT / "cross.toml").read_text())
    assert set(cross["target"]) == set(TARGETS)
    assert cross["build"]["default-target"] in TARGETS


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_a_board_names_a_target_a_feature_set_and_an_init_system_that_exist(file):
    board = tomllib.loads(file.read_text())
    assert board["target"] in TARGETS
    assert board["features"] in SETS
    assert board["init"] in INITS
    assert board["flash"]["budget"] > 0


def test_every_feature_alone_and_every_set_that_a_board_names_is_linted_and_tested():
    listed = subprocess.run([ROOT / "scripts/features", "--list"], check=True, capture_output=True, text=True)
    features = tomllib.loads((ROOT / "Cargo.toml").read_text())["features"]
    # `make lint` and `make unit` look at the default.
    assert features["default"] == ["gateway"]
    wanted = {*features, *SETS, "none"} - {"default", "gateway"}
    assert sorted(listed.stdout.split()) == sorted(wanted)


def test_a_target_that_does_not_exist_is_refused_with_those_that_do():
    done = subprocess.run([ROOT / "scripts/build", "vax"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no target 'vax'" in done.stderr
    assert all(name in done.stderr for name in TARGETS)


def test_a_board_that_does_not_exist_is_refused_with_those_that_do():
    done = subprocess.run([ROOT / "scripts/build", "--board", "toaster"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no board 'toaster'" in done.stderr
    assert all(file.stem in done.stderr for file in BOARDS)


def test_without_the_cross_toolchain_the_build_says_how_to_get_it(tmp_path):
    done = subprocess.run(
        [ROOT / "scripts/build", "x86_64-unknown-linux-musl"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CARGO_TARGET_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "make toolchain" in done.stderr


def test_the_agent_says_nothing_by_debug_texts_which_devices_do_not_have():
    """docs/decisions/0021. Files of tests, and what stands after a `#[cfg(test)]`, run on no device."""
    for file in [*(ROOT / "src").rglob("*.rs"), *(ROOT / "wire/src").rglob("*.rs")]:
        if file.stem.endswith("tests"):
            continue
        shipped = file.read_text().split("#[cfg(test)]")[0]
        assert ":?}" not in shipped and ":#?}" not in shipped, file
