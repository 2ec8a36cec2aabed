"""ioctl numbers, structures and flags are those of the kernel's headers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from lapilli.hw import drm

TABLE = {
    "GET_PARAM": (0xC0106440, 16),
    "GEM_NEW": (0xC0106442, 16),
    "GEM_INFO": (0xC0106443, 16),
    "GEM_CPU_PREP": (0x40186444, 24),
    "GEM_CPU_FINI": (0x40086445, 8),
    "GEM_SUBMIT": (0xC0486446, 72),
    "WAIT_FENCE": (0x40206447, 32),
    "GEM_USERPTR": (0xC0186448, 24),
    "GEM_WAIT": (0x40206449, 32),
    "PM_QUERY_DOM": (0xC048644A, 72),
    "PM_QUERY_SIG": (0xC04C644B, 76),
    "VERSION": (0xC0406400, 64),
    "GEM_CLOSE": (0x40086409, 8),
}
"""Request number and size on 64 bits: hardware/drm.md."""
OFFSETS: dict[type[ctypes.Structure], dict[str, tuple[str, int]]] = {
    drm.GetParam: {"pipe": ("pipe", 0), "param": ("param", 4), "value": ("value", 8)},
    drm.GemNew: {"size": ("size", 0), "flags": ("flags", 8), "handle": ("handle", 12)},
    drm.GemInfo: {"handle": ("handle", 0), "pad": ("pad", 4), "offset": ("offset", 8)},
    drm.GemCpuPrep: {"handle": ("handle", 0), "operation": ("op", 4), "timeout": ("timeout", 8)},
    drm.GemCpuFini: {"handle": ("handle", 0), "flags": ("flags", 4)},
    drm.SubmitRelocation: {
        "submit_offset": ("submit_offset", 0),
        "index": ("reloc_idx", 4),
        "offset": ("reloc_offset", 8),
        "flags": ("flags", 16),
    },
    drm.SubmitBuffer: {
        "flags": ("flags", 0),
        "handle": ("handle", 4),
        "presumed": ("presumed", 8),
    },
    drm.SubmitCounter: {
        "flags": ("flags", 0),
        "domain": ("domain", 4),
        "pad": ("pad", 5),
        "signal": ("signal", 6),
        "sequence": ("sequence", 8),
        "read_offset": ("read_offset", 12),
        "read_index": ("read_idx", 16),
    },
    drm.GemSubmit: {
        "fence": ("fence", 0),
        "pipe": ("pipe", 4),
        "exec_state": ("exec_state", 8),
        "buffer_count": ("nr_bos", 12),
        "relocation_count": ("nr_relocs", 16),
        "stream_size": ("stream_size", 20),
        "buffers": ("bos", 24),
        "relocations": ("relocs", 32),
        "stream": ("stream", 40),
        "flags": ("flags", 48),
        "fence_fd": ("fence_fd", 52),
        "counters": ("pmrs", 56),
        "counter_count": ("nr_pmrs", 64),
        "pad": ("pad", 68),
    },
    drm.WaitFence: {
        "pipe": ("pipe", 0),
        "fence": ("fence", 4),
        "flags": ("flags", 8),
        "timeout": ("timeout", 16),
    },
    drm.GemUserptr: {
        "user_pointer": ("user_ptr", 0),
        "user_size": ("user_size", 8),
        "flags": ("flags", 16),
        "handle": ("handle", 20),
    },
    drm.GemWait: {
        "pipe": ("pipe", 0),
        "handle": ("handle", 4),
        "flags": ("flags", 8),
        "timeout": ("timeout", 16),
    },
    drm.CounterDomain: {
        "pipe": ("pipe", 0),
        "iteration": ("iter", 4),
        "id": ("id", 5),
        "signal_count": ("nr_signals", 6),
        "name": ("name", 8),
    },
    drm.CounterSignal: {
        "pipe": ("pipe", 0),
        "domain": ("domain", 4),
        "iteration": ("iter", 6),
        "id": ("id", 8),
        "name": ("name", 10),
    },
}
"""Our name of each field, the header's, and its offset: hardware/drm.md."""
C_STRUCTURES = {
    drm.GetParam: "drm_etnaviv_param",
    drm.GemNew: "drm_etnaviv_gem_new",
    drm.GemInfo: "drm_etnaviv_gem_info",
    drm.GemCpuPrep: "drm_etnaviv_gem_cpu_prep",
    drm.GemCpuFini: "drm_etnaviv_gem_cpu_fini",
    drm.SubmitRelocation: "drm_etnaviv_gem_submit_reloc",
    drm.SubmitBuffer: "drm_etnaviv_gem_submit_bo",
    drm.SubmitCounter: "drm_etnaviv_gem_submit_pmr",
    drm.GemSubmit: "drm_etnaviv_gem_submit",
    drm.WaitFence: "drm_etnaviv_wait_fence",
    drm.GemUserptr: "drm_etnaviv_gem_userptr",
    drm.GemWait: "drm_etnaviv_gem_wait",
    drm.CounterDomain: "drm_etnaviv_pm_domain",
    drm.CounterSignal: "drm_etnaviv_pm_signal",
}
C_VALUES = {
    "ETNAVIV_PARAM_GPU_MODEL": drm.Param.MODEL,
    "ETNAVIV_PARAM_GPU_REVISION": drm.Param.REVISION,
    "ETNAVIV_PARAM_GPU_FEATURES_0": drm.Param.FEATURES_0,
    "ETNAVIV_PARAM_GPU_FEATURES_12": drm.Param.FEATURES_0 + drm.FEATURE_WORDS - 1,
    "ETNAVIV_PARAM_GPU_STREAM_COUNT": drm.Param.STREAM_COUNT,
    "ETNAVIV_PARAM_GPU_REGISTER_MAX": drm.Param.REGISTER_MAX,
    "ETNAVIV_PARAM_GPU_THREAD_COUNT": drm.Param.THREAD_COUNT,
    "ETNAVIV_PARAM_GPU_VERTEX_CACHE_SIZE": drm.Param.VERTEX_CACHE_SIZE,
    "ETNAVIV_PARAM_GPU_SHADER_CORE_COUNT": drm.Param.SHADER_CORE_COUNT,
    "ETNAVIV_PARAM_GPU_PIXEL_PIPES": drm.Param.PIXEL_PIPES,
    "ETNAVIV_PARAM_GPU_VERTEX_OUTPUT_BUFFER_SIZE": drm.Param.VERTEX_OUTPUT_BUFFER_SIZE,
    "ETNAVIV_PARAM_GPU_BUFFER_SIZE": drm.Param.BUFFER_SIZE,
    "ETNAVIV_PARAM_GPU_INSTRUCTION_COUNT": drm.Param.INSTRUCTION_COUNT,
    "ETNAVIV_PARAM_GPU_NUM_CONSTANTS": drm.Param.NUM_CONSTANTS,
    "ETNAVIV_PARAM_GPU_NUM_VARYINGS": drm.Param.NUM_VARYINGS,
    "ETNAVIV_PARAM_SOFTPIN_START_ADDR": drm.Param.SOFTPIN_START_ADDR,
    "ETNAVIV_PARAM_GPU_PRODUCT_ID": drm.Param.PRODUCT_ID,
    "ETNAVIV_PARAM_GPU_CUSTOMER_ID": drm.Param.CUSTOMER_ID,
    "ETNAVIV_PARAM_GPU_ECO_ID": drm.Param.ECO_ID,
    "ETNA_MAX_PIPES": drm.MAXIMUM_PIPES,
    "ETNA_BO_CACHE_MASK": drm.CACHE_MASK,
    "ETNA_BO_CACHED": drm.BufferFlags.CACHED,
    "ETNA_BO_WC": drm.BufferFlags.WRITE_COMBINE,
    "ETNA_BO_UNCACHED": drm.BufferFlags.UNCACHED,
    "ETNA_BO_FORCE_MMU": drm.BufferFlags.FORCE_MMU,
    "ETNA_PREP_READ": drm.Access.READ,
    "ETNA_PREP_WRITE": drm.Access.WRITE,
    "ETNA_PREP_NOSYNC": drm.Access.NO_WAIT,
    "ETNA_SUBMIT_BO_READ": drm.SubmitBufferFlags.READ,
    "ETNA_SUBMIT_BO_WRITE": drm.SubmitBufferFlags.WRITE,
    "ETNA_PM_PROCESS_PRE": drm.CounterFlags.BEFORE,
    "ETNA_PM_PROCESS_POST": drm.CounterFlags.AFTER,
    "ETNA_SUBMIT_NO_IMPLICIT": drm.SubmitFlags.NO_IMPLICIT_SYNC,
    "ETNA_SUBMIT_FENCE_FD_IN": drm.SubmitFlags.FENCE_FD_IN,
    "ETNA_SUBMIT_FENCE_FD_OUT": drm.SubmitFlags.FENCE_FD_OUT,
    "ETNA_SUBMIT_SOFTPIN": drm.SubmitFlags.SOFTPIN,
    "ETNA_WAIT_NONBLOCK": drm.WaitFlags.NON_BLOCKING,
    "ETNA_USERPTR_READ": drm.UserptrFlags.READ,
    "ETNA_USERPTR_WRITE": drm.UserptrFlags.WRITE,
    "ETNA_PIPE_3D": drm.ExecState.PIPE_3D,
    "ETNA_PIPE_2D": drm.ExecState.PIPE_2D,
    "ETNA_PIPE_VG": drm.ExecState.PIPE_VG,
}
HEADERS = ("drm/etnaviv_drm.h", "libdrm/etnaviv_drm.h")


def test_every_ioctl_of_the_table_is_declared() -> None:
    assert {ioctl.name for ioctl in drm.IOCTLS} == set(TABLE)


@pytest.mark.parametrize("ioctl", drm.IOCTLS, ids=lambda ioctl: ioctl.name)
def test_request_numbers_are_derived(ioctl: drm.Ioctl) -> None:
    assert (ioctl.request, ctypes.sizeof(ioctl.structure)) == TABLE[ioctl.name]


@pytest.mark.parametrize("structure", OFFSETS, ids=lambda s: s.__name__)
def test_fields_lie_where_the_kernel_has_them(structure: type[ctypes.Structure]) -> None:
    for name, (_, offset) in OFFSETS[structure].items():
        assert getattr(structure, name).offset == offset, name


def test_sizes_of_list_elements() -> None:
    sizes = [ctypes.sizeof(s) for s in (drm.SubmitRelocation, drm.SubmitBuffer, drm.SubmitCounter)]
    assert sizes == [24, 16, 20]


def test_the_kernels_own_header_agrees(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    # The kernel's tree marks pointers with __user; installed headers have lost it.
    start = "#define __user\n#include <stddef.h>\n"

    def works(name: str) -> bool:
        return _compile(f"{start}#include <{name}>\n", tmp_path).returncode == 0

    found = (name for name in HEADERS if works(name))
    header = next(found, None)
    if header is None:
        pytest.skip("no etnaviv_drm.h; CPATH may say where it is")
    facts = [
        (f"offsetof(struct {C_STRUCTURES[structure]}, {theirs})", offset)
        for structure, fields in OFFSETS.items()
        for theirs, offset in fields.values()
    ]
    facts += [(f"sizeof(struct {name})", ctypes.sizeof(s)) for s, name in C_STRUCTURES.items()]
    facts += [(name, int(value)) for name, value in C_VALUES.items()]
    for ioctl in drm.IOCTLS:
        driver = ioctl.number >= drm.DRIVER_COMMANDS
        prefix = "DRM_IOCTL_ETNAVIV_" if driver else "DRM_IOCTL_"
        facts.append((prefix + ioctl.name, ioctl.request))
    lines = [f'_Static_assert({left} == {right}ull, "{left}");' for left, right in facts]
    source = f"{start}#include <{header}>\n" + "\n".join(lines) + "\n"
    done = _compile(source, tmp_path)
    assert done.returncode == 0, done.stderr


def _compile(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "check.c"
    path.write_text(source)
    command = ["gcc", "-c", "-o", str(folder / "check.o"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
