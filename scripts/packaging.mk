# The part of the Makefile that is about packages (docs/INSTALL.md): included by it.

PYTHON_CODE += scripts/package $(wildcard packaging/yocto/*.py)

.PHONY: package release test-packages

package: ## .deb, .ipk and installer of BOARD=name into target/packages/name
	@test -n "$(BOARD)" || { echo 'say which board: make package BOARD=name' >&2; exit 2; }
	@scripts/need python
	@scripts/build --board $(BOARD)
	@python3 scripts/package --board $(BOARD)

# Not every shell makes a home folder of ~ behind a `=`.
home = $(patsubst ~/%,$(HOME)/%,$(1))

release: ## VERSION=1.2.0 KEY=file DIR=folder: programs and a signed manifest (BOARDS='…', else every board)
	@test -n "$(VERSION)" -a -n "$(KEY)" -a -n "$(DIR)" || \
	  { echo 'say what: make release VERSION=1.2.0 KEY=~/release-key DIR=releases' >&2; exit 2; }
	@scripts/release "$(VERSION)" "$(call home,$(KEY))" "$(call home,$(DIR))" $(if $(filter command line,$(origin BOARDS)),$(BOARDS))

# The agent that the tests install in a Debian of this machine's kind.
PACKAGED_BOARD := x86-64-gateway

test-packages: $(VENV)/ready ## install, upgrade, remove and purge the .deb in a minimal Debian (as root)
	@scripts/need cargo cc
	@for tool in debootstrap lintian; do command -v $$tool >/dev/null || \
	  { echo "make test-packages needs $$tool: apt-get install $$tool" >&2; exit 1; }; done
	@scripts/build --board $(PACKAGED_BOARD)
	@$(CARGO) build --quiet --package stint-hub
	@STINT_PACKAGES=1 $(PYTHON) -m pytest -c tests/pytest.ini -rs $(ARGS) tests/packaging
