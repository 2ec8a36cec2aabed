"""Which NPU a render node drives, and if none that can be used: why."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from lapilli.device.etnaviv import DriverVersion, Node, Refused
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.hw.chips import Chip, find_by_identity
from lapilli.hw.drm import Param


@dataclass(frozen=True)
class Core:
    """What a core says about itself."""

    pipe: int
    model: int
    revision: int
    product_id: int
    customer_id: int
    eco_id: int

    @property
    def chip(self) -> Chip | None:
        """The NPU it is, None if it is none that we know."""
        return find_by_identity(
            self.model, self.revision, self.product_id, self.eco_id, self.customer_id
        )

    def __str__(self) -> str:
        return (
            f"core {self.pipe}: model {self.model:#x} revision {self.revision:#x} product "
            f"{self.product_id:#x} customer {self.customer_id:#x} eco {self.eco_id:#x}"
        )


@dataclass(frozen=True)
class Identity:
    """A usable NPU: driver, core and chip, and the first address for buffers."""

    driver: DriverVersion
    core: Core
    chip: Chip
    softpin_start: int


def demand_etnaviv(node: Node) -> DriverVersion:
    """The driver's version; DeviceError if it is another driver or too old."""
    try:
        version = node.version()
    except Refused as error:
        raise DeviceError(f"{node.path}: no DRM device answers there ({error})") from error
    if version.name != drm.DRIVER_NAME:
        raise DeviceError(
            f"{node.path}: its driver is {version.name!r}; NPUs have {drm.DRIVER_NAME!r}"
        )
    if (version.major, version.minor) < drm.IDENTITY_VERSION:
        wanted = ".".join(map(str, drm.IDENTITY_VERSION))
        raise DeviceError(
            f"{node.path}: the kernel's driver is {version}; {wanted} or later is needed, earlier "
            f"ones can't tell NPUs apart: use a newer kernel"
        )
    return version


def cores_of(node: Node) -> list[Core]:
    """All cores behind a node of a driver that is new enough."""
    cores = []
    for pipe in range(drm.MAXIMUM_PIPES):
        try:
            model = node.parameter(pipe, Param.MODEL)
        except Refused as error:
            if error.number != errno.ENXIO:
                raise
            continue
        if model == 0:
            continue
        names = (Param.REVISION, Param.PRODUCT_ID, Param.CUSTOMER_ID, Param.ECO_ID)
        cores.append(Core(pipe, model, *(node.parameter(pipe, name) for name in names)))
    return cores


def identify(node: Node) -> Identity:
    """The first NPU of a node; raises DeviceError with the reason if there is none to use."""
    version = demand_etnaviv(node)
    cores = cores_of(node)
    for core in cores:
        chip = core.chip
        if chip is None:
            continue
        start = node.parameter(core.pipe, Param.SOFTPIN_START_ADDR)
        if not 0 <= start < drm.ADDRESS_END:
            raise DeviceError(
                f"{node.path}: {chip.name} on core {core.pipe}, but the kernel does not let "
                f"programs choose GPU addresses (softpin), which only an MMU of version 2 allows"
            )
        return Identity(version, core, chip, start)
    found = "; ".join(map(str, cores)) or "no core answers"
    raise DeviceError(f"{node.path}: none of its cores is a known NPU ({found})")
