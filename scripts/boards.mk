# The part of the Makefile that is about targets and boards (docs/BUILDING.md): included by it.

# One of each kind that has an emulator: those that `make test-targets` proves.
TARGETS ?= armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl mipsel-unknown-linux-musl \
           armv5te-unknown-linux-musleabi
# Those that `make test-boards` proves: two with an image, and two whose programs run on the first.
BOARDS  ?= qemu-virt-armv7 qemu-virt-aarch64 tiny-armv7 tiny-tls-armv7
EMULATED = STINT_EMULATORS=1 STINT_TARGETS='$(TARGETS)' STINT_BOARDS='$(BOARDS)' $(PYTHON) -m pytest -c tests/pytest.ini -rs $(ARGS)

.PHONY: toolchain size reproducible image fuzz test-release test-tiny test-targets test-boards test-all

toolchain: ## install what cross builds, images and emulators need, and is missing (apt, zig)
	@scripts/toolchain

size: ## flash bytes of the boards built before, of every one (ALL=1) or of BOARD='…' (SYMBOLS=1: crates, functions)
	@scripts/size.py $(if $(ALL),--all) $(foreach board,$(BOARD),--board $(board)) $(if $(SYMBOLS),--symbols) \
	  $(if $(TARGET),--target $(TARGET))

reproducible: ## build TARGET=triple or BOARD=name in two folders with two homes and compare the bytes
	@scripts/reproducible $(if $(BOARD),--board $(BOARD),$(or $(TARGET),$(error say which: make reproducible BOARD=name)))

image: ## a kernel and initramfs that boot BOARD=qemu-virt-armv7 or qemu-virt-aarch64 in QEMU
	@scripts/image $(or $(BOARD),$(error say which: make image BOARD=qemu-virt-armv7))

# Of each target of `make fuzz`.
FUZZ_SECONDS ?= 60

fuzz: ## feed every parser of the agent, and the hub's of documents, made-up input for FUZZ_SECONDS=60 each (TARGETS='document …')
	@scripts/need cargo cc c++ python
	@echo '== fuzz' && scripts/fuzz.py --seconds $(FUZZ_SECONDS) $(if $(filter command line,$(origin TARGETS)),$(TARGETS))

# What devices get, not `cargo build --release`: that one maps more of its file and of the C library.
STATIC := $(shell uname -m)-unknown-linux-musl

test-release: $(VENV)/ready ## the static release agent and nasty scripts: memory and time
	@scripts/build $(STATIC) && $(CARGO) build --quiet --package stint-hub
	@STINT_AGENT=$(OUT)/cross/$(STATIC)/release/stint $(PYTHON) -m pytest -c tests/pytest.ini $(ARGS) \
	  tests/test_nasty_scripts.py tests/test_crash_safety.py tests/test_idle.py
	@! grep -q STINT_FAULTS $(OUT)/cross/$(STATIC)/release/stint || { echo 'the release agent can be made to fail'; exit 1; }

test-tiny: $(VENV)/ready ## the set tiny, which has an HTTP client of its own, through the tests of its protocol
	@$(CARGO) build --quiet --package stint-hub
	@$(CARGO) build --quiet --package stint-agent --no-default-features --features tiny,tls --target-dir $(OUT)/tiny
	@STINT_AGENT=$(OUT)/tiny/debug/stint $(PYTHON) -m pytest -c tests/pytest.ini $(ARGS) -k 'not both_links' \
	  tests/test_bootagent.py tests/test_bootagent_signed.py tests/test_bootagent_with_hub.py tests/test_child_install_package.py \
	  tests/test_bootagent_children.py tests/test_bootagent_large.py

# BUILT='…': of these the agent is there already, such as a board's.
test-targets: $(VENV)/ready ## build TARGETS='…' (four by default) and run each against a hub, emulated
	@for target in $(filter-out $(BUILT),$(TARGETS)); do scripts/build $$target || exit 1; done
	@$(CARGO) build --quiet --package stint-hub
	@$(EMULATED) tests/boards/test_qemu_user.py

test-boards: $(VENV)/ready ## boot BOARDS='…' (all four by default) in QEMU and have them managed by a hub
	@for board in $(BOARDS); do \
	  case $$board in tiny*) scripts/build --board $$board ;; *) scripts/image $$board ;; esac || exit 1; done
	@$(CARGO) build --quiet --package stint-hub
	@$(EMULATED) tests/boards/test_qemu_boards.py tests/boards/test_qemu_limits.py tests/boards/test_qemu_tiny.py \
	  tests/boards/test_qemu_memory.py tests/boards/test_qemu_watchdog.py tests/boards/test_qemu_update.py

test-all: ## the whole matrix: make test, every target, every board, the packages, the sizes (an hour)
	@$(MAKE) test LONG=1
	@$(MAKE) test-release
	@$(MAKE) test-tiny
	@$(MAKE) fuzz
	@$(MAKE) test-targets TARGETS='$(patsubst targets/%.toml,%,$(wildcard targets/*.toml))'
	@$(MAKE) test-boards
	@$(MAKE) test-packages
	@$(MAKE) reproducible BOARD=qemu-virt-armv7
	@$(MAKE) size ALL=1
