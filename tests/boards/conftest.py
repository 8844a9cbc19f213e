"""Tests of cross-built agents. The slow ones are left to `make test-boards` and `make test-targets`."""

import os

# They need emulators, and binaries that take minutes to build; `make test` has neither.
collect_ignore_glob = [] if os.environ.get("STINT_EMULATORS") else ["test_qemu_*.py"]
