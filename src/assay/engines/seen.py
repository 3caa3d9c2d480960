"""The devices that a library sees, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from assay.engines.promises import kind_of


@dataclass(frozen=True)
class Device:
    """A device by its name, such as "cuda:0", its model and its memory; None if that is unknown."""

    name: str
    model: str
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a library sees next to the CPU, or the `reason` why it could not be asked.

    >>> seen = Seen((Device("cuda:0", "NVIDIA H100"), Device("cuda:1", "NVIDIA H100")))
    >>> seen.names, len(seen.of("cuda")), len(seen.of("cuda:1")), len(seen.of("cuda:2"))
    (('cpu', 'cuda', 'cuda:0', 'cuda:1'), 2, 1, 0)
    """

    devices: tuple[Device, ...] = ()
    reason: str = ""

    @property
    def gpus(self) -> bool:
        """Whether it sees a device other than the CPU."""
        return bool(self.devices)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a user may give."""
        kinds = dict.fromkeys(device.name.partition(":")[0] for device in self.devices)
        numbered = [device.name for device in self.devices if ":" in device.name]
        return ("cpu", *kinds, *numbered)

    def of(self, name: str) -> tuple[Device, ...]:
        """The devices that a name means: all of a kind, or the one with its number."""
        kind, colon, number = name.partition(":")
        if not colon:
            return tuple(device for device in self.devices if kind_of(device.name) == kind_of(kind))
        exact = f"{kind_of(kind)}:{number}"
        return tuple(d for d in self.devices if f"{kind_of(d.name)}:{d.name.partition(':')[2]}" == exact)

    def missing(self, name: str, library: str) -> str | None:
        """The sentence for a device that is not there; None if it is.

        >>> Seen().missing("cuda", "torch")
        "device 'cuda' is not one that torch sees on this machine; use 'cpu'"
        """
        if name == "cpu" or self.of(name):
            return None
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"device {name!r} is not one that {library} sees on this machine{why}; "
            f"use {' or '.join(map(repr, self.names))}"
        )
