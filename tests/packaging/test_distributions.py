"""What OpenWrt's feed, Buildroot's tree and Yocto's layer say is what the project says."""

import hashlib
import re
import subprocess
import sys
import tomllib

import pytest

from harness.device import PACKAGING, ROOT

MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())
VERSION = MANIFEST["workspace"]["package"]["version"]
FEED = PACKAGING / "openwrt-feed/net/stint"
BUILDROOT = PACKAGING / "buildroot"
LAYER = PACKAGING / "yocto/meta-stint"
RECIPE = LAYER / f"recipes-support/stint/stint_{VERSION}.bb"
RECIPES = [FEED / "Makefile", BUILDROOT / "package/stint/stint.mk", RECIPE]


def assigned(text: str, name: str) -> str:
    """What a makefile or a recipe sets a variable to."""
    return re.search(rf'^{name}\s*\??:?=\s*"?(.*?)"?$', text, re.MULTILINE)[1]


def test_all_three_are_of_the_projects_version():
    assert assigned(RECIPES[0].read_text(), "PKG_VERSION") == VERSION
    assert assigned(RECIPES[1].read_text(), "STINT_VERSION") == VERSION
    assert RECIPE.exists(), "a Yocto recipe has its version in its name"


MENUS = {FEED / "Config.in", BUILDROOT / "package/stint/Config.in"}


@pytest.mark.parametrize("path", sorted([*MENUS, RECIPE]), ids=lambda path: path.parts[-3])
def test_every_board_that_is_a_default_exists_and_is_that_of_a_machine(path):
    named = re.findall(
        r'^\s*default "([^"]+)" if|^STINT_MACHINE:\S+ = "([^"]+)"', path.read_text(), re.MULTILINE
    )
    boards = {board for match in named for board in match if board}
    assert len(boards) >= 2
    assert boards <= {file.stem for file in (ROOT / "board-configs").glob("*.toml")}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_chosen_board_and_set_get_to_the_build(path, tmp_path):
    text = path.read_text()
    if path == RECIPE:
        assert "\nexport STINT_BOARD\n" in text
        assert "--features ${STINT_FEATURES}" in text
        return
    # What the menus of OpenWrt and of Buildroot set, with their own makefiles left empty.
    (tmp_path / "none.mk").write_text("")
    text = re.sub(r"^include .*$", "", text, flags=re.MULTILINE)
    text = text.replace("$(eval", "$(info")
    (tmp_path / "recipe.mk").write_text(text)
    show = "all:\n\t@echo 'seen: $(CARGO_PKG_VARS)$(STINT_CARGO_ENV) $(RUST_PKG_FEATURES)$(STINT_FEATURES)'\n"
    (tmp_path / "Makefile").write_text(f'qstrip = $(subst ",,$(1))\ninclude recipe.mk\n{show}')
    for chosen, features in [
        ("GATEWAY", "gateway"),
        ("ROUTER", "router"),
        ("TINY", "tiny"),
        ("TINY_TLS", "tiny,tls"),
    ]:
        words = [f'{prefix}_{{}}="beaglebone"' for prefix in ("CONFIG_STINT", "BR2_PACKAGE_STINT")]
        words = [word.format("BOARD") for word in words]
        words += [f"CONFIG_STINT_{chosen}=y", f"BR2_PACKAGE_STINT_{chosen}=y"]
        done = subprocess.run(["make", "-C", tmp_path, *words], capture_output=True, text=True, check=True)
        assert f"seen: STINT_BOARD=beaglebone {features}\n" in done.stdout


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_feature_that_is_asked_for_exists(path):
    text = path.read_text()
    named = re.findall(r"(?:RUST_PKG_FEATURES:?|STINT_FEATURES \??)= ?\"?(\w+)", text)
    assert named
    assert set(named) <= set(MANIFEST["features"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_file_that_is_installed_is_in_the_sources(path):
    text = path.read_text()
    for name in re.findall(r"(?:\$\(@D\)|\$\{S\})/([\w./-]+)", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\./(files/[\w.]+)", text):
        assert (FEED / name).read_text(), name


def test_the_license_has_the_checksums_that_are_written_down():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.md5(text).hexdigest() in RECIPE.read_text()
    hashes = (BUILDROOT / "package/stint/stint.hash").read_text()
    assert f"sha256  {hashlib.sha256(text).hexdigest()}  LICENSE" in hashes


def test_bitbake_fetches_the_crates_of_cargo_lock():
    command = [sys.executable, PACKAGING / "yocto/crates.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = (LAYER / "recipes-support/stint/stint-crates.inc").read_text()
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    fetched = {package["name"] for package in lock if "source" in package}
    assert set(re.findall(r"crate://crates\.io/([\w-]+)/", listed)) == fetched


def test_every_package_of_buildroots_tree_is_in_its_menu():
    menu = (BUILDROOT / "Config.in").read_text()
    for folder in (BUILDROOT / "package").iterdir():
        assert f"package/{folder.name}/Config.in" in menu
        assert (folder / f"{folder.name}.mk").exists()


@pytest.mark.parametrize("path", RECIPES[:2], ids=lambda path: path.name)
def test_make_can_read_the_makefiles(path, tmp_path):
    # OpenWrt's and Buildroot's own makefiles stand in as empty: only the syntax is looked at.
    for name in ["rules.mk", "include/package.mk", "feeds/packages/lang/rust/rust-package.mk"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    main = tmp_path / "Makefile"
    main.write_text(f"include {path}\nall:\n\t@echo read\n")
    command = ["make", "-C", tmp_path, f"TOPDIR={tmp_path}", f"INCLUDE_DIR={tmp_path}/include", "all"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "read" in done.stdout
