"""Every render node: what drives it, and whether it is an NPU that can be used."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.device.etnaviv import DriverVersion, Node
from lapilli.device.identify import Core, Identity, cores_of, demand_etnaviv, identify
from lapilli.device.system import System
from lapilli.errors import DeviceError


@dataclass(frozen=True)
class Candidate:
    """A render node. ``identity`` is None if it can't be used, for the ``reason``; ``driver`` and
    ``cores`` are as far as they could be asked."""

    path: str
    driver: DriverVersion | None
    cores: tuple[Core, ...]
    identity: Identity | None
    reason: str


def candidates(system: System) -> list[Candidate]:
    """All render nodes, in the order in which ``auto`` tries them."""
    return [examine(path, system) for path in system.nodes()]


def examine(path: str, system: System) -> Candidate:
    """One node, opened and closed again."""
    driver: DriverVersion | None = None
    cores: list[Core] = []
    try:
        node = Node(path, system)
    except DeviceError as error:
        return Candidate(path, None, (), None, str(error))
    try:
        driver = node.version()
        demand_etnaviv(node)
        cores = cores_of(node)
        return Candidate(path, driver, tuple(cores), identify(node), "")
    except DeviceError as error:
        return Candidate(path, driver, tuple(cores), None, str(error))
    finally:
        node.close()
