# The part of the Makefile that is about targets and boards (docs/BUILDING.md): included by it.

.PHONY: toolchain size

toolchain: ## install what cross builds, images and emulators need, and is missing (apt, zig)
	@scripts/toolchain

size: ## flash bytes of every board built so far (ALL=1 builds them, TARGET=triple adds its crates)
	@scripts/size.py $(if $(ALL),--all) $(if $(TARGET),--symbols $(TARGET))
