# The part of the Makefile that is about targets and boards (docs/BUILDING.md): included by it.

.PHONY: toolchain size test-targets

toolchain: ## install what cross builds, images and emulators need, and is missing (apt, zig)
	@scripts/toolchain

size: ## flash bytes of every board built so far (ALL=1 builds them, TARGET=triple adds its crates)
	@scripts/size.py $(if $(ALL),--all) $(if $(TARGET),--symbols $(TARGET))

# One of each kind that has an emulator: those that `make test-targets` proves.
TARGETS ?= armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl mipsel-unknown-linux-musl \
           armv5te-unknown-linux-musleabi

test-targets: $(VENV)/ready ## build TARGETS='…' (four by default) and run each against a hub, emulated
	@for target in $(TARGETS); do scripts/build $$target || exit 1; done
	@$(CARGO) build --quiet --package stint-hub
	@STINT_EMULATORS=1 $(PYTHON) -m pytest -c tests/pytest.ini -rs $(ARGS) tests/boards/test_qemu_user.py
