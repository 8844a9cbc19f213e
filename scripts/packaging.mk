# The part of the Makefile that is about packages (docs/INSTALL.md): included by it.

PYTHON_CODE += scripts/package $(wildcard packaging/yocto/*.py)

.PHONY: package test-packages

package: ## .deb, .ipk and installer of BOARD=name into target/packages/name
	@test -n "$(BOARD)" || { echo 'say which board: make package BOARD=name' >&2; exit 2; }
	@test -e $(OUT)/boards/$(BOARD)/stint || scripts/build --board $(BOARD)
	@scripts/need python
	@python3 scripts/package --board $(BOARD)

test-packages: $(VENV)/ready ## install, upgrade and purge the .deb in a Debian root (debootstrap, root, minutes)
	@STINT_PACKAGES=1 $(PYTHON) -m pytest -c tests/pytest.ini -rs $(ARGS) tests/packaging
