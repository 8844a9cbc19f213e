"""Devices that have never been started, and whose images carry an activation."""

import json

from .namespaces import Mounted


class Device(Mounted):
    """`stint run` with a boot partition of its own."""

    def carry(self, **activation: str) -> None:
        """Puts an activation onto the boot partition."""
        (self.boot / "stint").mkdir(parents=True, exist_ok=True)
        (self.boot / "stint" / "new").write_text(json.dumps(activation))
        (self.boot / "stint" / "new").rename(self.activation)

    @property
    def boot(self):
        """Where the boot partition is, seen from outside."""
        return self.home / f"{self.name}-boot"

    @property
    def activation(self):
        """The activation's file."""
        return self.boot / "stint" / "activation.json"

    def mount(self) -> str:
        """The boot partition."""
        return f"mount --bind {self.boot} /boot"
