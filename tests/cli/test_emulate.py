"""``lapilli emulate``: other programs with an emulated NPU in their /dev/dri."""

from __future__ import annotations

import ctypes.util
import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from places import IMPORTABLE, REPOSITORY
from virtual_npu import chip_called, small_part

from lapilli.device.open import open_device
from lapilli.device.replay import replay
from lapilli.errors import Unsupported
from lapilli.hw import drm
from lapilli.program import recording
from lapilli.virtual import preload, server, tree
from lapilli.virtual.kernel import Settings, VirtualKernel

HERE = REPOSITORY / "tests"
LIBDRM = ctypes.util.find_library("drm")
HARDENED = ("-O2", "-D_FORTIFY_SOURCE=2")
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, preload.COMPILERS)), reason="no C compiler"
)
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment with an empty cache, so that the library is built from what is in the tree."""
    return {
        **{name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "PYTHONPATH": os.pathsep.join([IMPORTABLE, str(HERE)]),
    }


def emulate(surroundings: dict[str, str], *words: object) -> Done:
    command = [sys.executable, "-m", "lapilli", "emulate", *map(str, words)]
    return subprocess.run(
        command, env=surroundings, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


# -------------------------------------------------------------------------------------------- ours


@needs_compiler
def test_the_device_layers_tests_pass_through_the_library(
    surroundings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", surroundings["XDG_CACHE_HOME"])
    tree.lay_out(preload.tree_path(tmp_path))
    environment = preload.environment(preload.library_path(), tmp_path, surroundings)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "through_preload"]
    files = ["tests/device/test_drm_device.py", "tests/device/test_fault_injection.py"]
    options = ["-p", "no:cacheprovider", "--basetemp", tmp_path / "inner"]
    done = subprocess.run(
        [*command, *options, *files], cwd=REPOSITORY, env=environment, text=True, timeout=PATIENCE,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    opened = [line for line in done.stdout.splitlines() if line.startswith("the node was opened")]
    assert int(opened[0].split()[4]) > 30, "these tests did not use the node"


@needs_compiler
@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_recordings_replay_with_the_results_that_the_program_had(
    surroundings: dict[str, str], tmp_path: Path, chip: str
) -> None:
    folder, out = tmp_path / "records", tmp_path / "out.npz"
    done = emulate(
        surroundings, "--chip", chip, "--record", folder, "--timing",
        sys.executable, HERE / "emulated_program.py", "infer", chip, out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["0000.npz"]
    results = replay(recording.load(folder / "0000.npz"), open_device(f"emulator:{chip}"))
    with np.load(out) as file:
        for binding in small_part(chip).outputs:
            replayed = results[binding.buffer][binding.offset : binding.offset + binding.size]
            assert np.array_equal(replayed, file[f"tensor_{binding.tensor}"].reshape(-1))
    report = done.stderr.splitlines()
    assert report[0] == f"{folder}: 1 recording"
    assert report[1].startswith("submit    0:") and " cycles)" in report[1]
    assert report[2].startswith("1 submit, ") and f"on {chip} by the timing model" in report[2]


@needs_compiler
def test_two_programs_at_once_have_their_own_memory(surroundings: dict[str, str]) -> None:
    done = emulate(surroundings, sys.executable, HERE / "emulated_program.py", "two")
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------ programs in C


@needs_compiler
@pytest.mark.parametrize("options", [("-O0",), HARDENED])
def test_a_c_program_sees_what_the_kernel_would_show(
    surroundings: dict[str, str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    program = tmp_path / "node_client"
    compiler = next(filter(shutil.which, preload.COMPILERS))
    sources = [str(HERE / "node_client.c"), "-pthread", "-ldl"]
    subprocess.run([compiler, *options, "-w", "-o", str(program), *sources], check=True)
    done = emulate(surroundings, program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" checks, 0 failed\n")


@needs_compiler
@pytest.mark.skipif(LIBDRM is None, reason="no libdrm")
def test_libdrm_finds_the_device(surroundings: dict[str, str]) -> None:
    done = emulate(surroundings, sys.executable, HERE / "emulated_program.py", "libdrm", LIBDRM)
    assert (done.returncode, done.stderr) == (0, "")


# -------------------------------------------------------------------------------------- the command


@needs_compiler
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_the_exit_code_is_the_programs(
    surroundings: dict[str, str], script: str, code: int
) -> None:
    done = emulate(surroundings, "--", "sh", "-c", f"test -c {tree.NODE} && echo seen; {script}")
    assert (done.returncode, done.stdout) == (code, "seen\n")
    assert "the program did not open /dev/dri/renderD128" in done.stderr


@needs_compiler
@pytest.mark.parametrize("name", ["a cache", "Zwischenlager:für alles"])
def test_the_cache_may_lie_anywhere(
    surroundings: dict[str, str], tmp_path: Path, name: str
) -> None:
    """LD_PRELOAD has no way to write a space or a colon."""
    elsewhere = {**surroundings, "XDG_CACHE_HOME": str(tmp_path / name)}
    done = emulate(elsewhere, "--", "sh", "-c", f"test -c {tree.NODE} && echo seen")
    assert (done.returncode, done.stdout) == (0, "seen\n"), done.stderr


def test_what_can_not_be_preloaded_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="set XDG_CACHE_HOME or TMPDIR to one without"):
        preload.environment(Path("/a cache/ours.so"), tmp_path / "a folder", {})


@needs_compiler
def test_commands_that_can_not_be_started(surroundings: dict[str, str], tmp_path: Path) -> None:
    missing = emulate(surroundings, "no-such-program", "--chip")
    assert (missing.returncode, missing.stderr) == (
        127, "lapilli: no-such-program: command not found\n",
    )  # fmt: skip
    refused = emulate(surroundings, tmp_path)
    assert (refused.returncode, refused.stderr) == (
        126,
        f"lapilli: {tmp_path}: Permission denied\n",
    )


@needs_compiler
def test_signals_are_handed_on(surroundings: dict[str, str]) -> None:
    command = [sys.executable, "-m", "lapilli", "emulate", "sh", "-c", "echo ready; exec sleep 900"]
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) == 143


def test_arguments_are_checked_first(surroundings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "0000.npz").touch()
    for words, code, text in (
        (["--chip", "a311x", "true"], 2, "unknown chip 'a311x'; did you mean a311d? known: "),
        (["--record", tmp_path, "true"], 2, "it holds recordings already"),
        (["--record", tmp_path / "0000.npz", "true"], 2, "give a directory"),
        (["--compiler", "no-such-cc", "true"], 4, "apt install gcc-aarch64-linux-gnu"),
        ([], 2, "Missing argument"),
    ):
        done = emulate(surroundings, *words)
        assert (done.returncode, text in done.stderr) == (code, True), done


# -------------------------------------------------------------------------------------- the library


def test_without_a_compiler_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unsupported, match="apt install gcc libc6-dev"):
        preload.library_path()


@needs_compiler
def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler = next(filter(shutil.which, preload.COMPILERS))
    with pytest.raises(Unsupported, match=r"can't build the preloaded library: .*error"):
        preload.library_path(f"{compiler} -include /nowhere.h")
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
def test_the_library_is_built_once(
    surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", surroundings["XDG_CACHE_HOME"])
    first = preload.library_path()
    monkeypatch.setattr(preload, "_build", pytest.fail)
    assert preload.library_path() == first


def test_what_was_preloaded_before_stays(tmp_path: Path) -> None:
    found = preload.environment(Path("/ours.so"), tmp_path, {"LD_PRELOAD": "/a.so:/b.so", "X": "1"})
    assert (found["LD_PRELOAD"], found["X"]) == ("/ours.so:/a.so:/b.so", "1")


def test_a_socket_s_path_has_a_limit() -> None:
    with pytest.raises(Unsupported, match="set TMPDIR to a shorter path"):
        preload.socket_path(Path("/" + "x" * 100))


def test_the_tree_is_as_libdrm_expects_it(tmp_path: Path) -> None:
    tree.lay_out(tmp_path)
    device = tmp_path / "sys/dev/char/226:128/device"
    assert (device / "subsystem").readlink().name == "platform"
    assert (device / "uevent").read_text().startswith("DRIVER=etnaviv\n")
    assert [path.name for path in (device / "drm").iterdir()] == ["renderD128"]
    assert stat.S_ISREG((tmp_path / tree.NODE[1:]).stat().st_mode)


# -------------------------------------------------------------------------------------- the server


class Caller:
    """Speaks the library's protocol."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.connect(str(path))

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def send(self, message: bytes) -> socket.socket:
        """Our end of the channel of a call that begins with ``message``."""
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        with theirs:
            socket.send_fds(self.connection, [b"\0"], [theirs.fileno()])
        ours.sendall(message)
        return ours

    def call(self, kind: int, *values: int, data: bytes = b"") -> int:
        """The result of a call that wants nothing from our memory."""
        values = (*values, 0, 0, 0)[:3]
        with self.send(server.MESSAGE.pack(kind, *values) + data) as channel:
            answer = channel.recv(server.MESSAGE.size)
        done, result, _, _ = server.MESSAGE.unpack(answer)
        assert done == server.DONE
        return result - (1 << 64) if result >> 63 else result


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    def make_kernel() -> VirtualKernel:
        return VirtualKernel(chip_called(), Settings(execute=False))

    with server.Server(tmp_path / "socket", make_kernel):
        yield tmp_path / "socket"


def new_buffer(caller: Caller, size: int) -> int:
    argument = bytes(drm.GemNew(size=size, flags=drm.BufferFlags.WRITE_COMBINE))
    with caller.send(
        server.MESSAGE.pack(server.IOCTL, drm.GEM_NEW.request, len(argument), 0x1000) + argument
    ) as channel:
        kind, address, length, _ = server.MESSAGE.unpack(channel.recv(server.MESSAGE.size))
        assert (kind, address, length) == (server.WRITE, 0x1000, len(argument))
        return drm.GemNew.from_buffer_copy(channel.recv(length)).handle


def test_calls_that_make_no_sense_are_answered(listening: Path) -> None:
    with Caller(listening) as caller:
        assert caller.call(77) == -errno.ENOSYS
        assert caller.call(server.MAP, 4096, 0) == -errno.EINVAL
        assert caller.call(server.IOCTL, 0xFFFF_FFFF, 0) == -errno.ENOTTY
        assert new_buffer(caller, 4096) == 1


def test_a_program_that_ends_in_the_middle_of_a_call(listening: Path) -> None:
    with Caller(listening) as caller:
        caller.send(b"half").close()
        caller.send(server.MESSAGE.pack(server.IOCTL, drm.GEM_NEW.request, 16, 0)).close()
        assert new_buffer(caller, 4096) == 1
    with Caller(listening) as caller:
        assert new_buffer(caller, 4096) == 1


def test_only_the_connections_own_buffers_are_mapped(listening: Path) -> None:
    with Caller(listening) as one, Caller(listening) as two:
        assert [new_buffer(one, 4096), new_buffer(one, 8192)] == [1, 2]
        assert one.call(server.MAP, 8192, 4096) == 4096
        assert one.call(server.MAP, 4096, 8192) == -errno.EINVAL, "not a buffer's start"
        assert one.call(server.MAP, 12288, 0) == -errno.EINVAL, "two buffers"
        assert two.call(server.MAP, 4096, 0) == -errno.EINVAL


def test_a_bug_of_the_kernel_is_an_error_not_a_hang(
    listening: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(VirtualKernel, "ioctl", fail)
    with Caller(listening) as caller:
        assert caller.call(server.IOCTL, drm.GEM_CLOSE.request, 8, data=bytes(8)) == -errno.EIO
    assert "please report" in caplog.text


def test_closing_the_server_ends_the_calls(tmp_path: Path) -> None:
    running = server.Server(tmp_path / "socket", lambda: VirtualKernel(chip_called()))
    with running, Caller(tmp_path / "socket") as caller:
        assert new_buffer(caller, 4096) == 1
        assert running.connections == 1
        running.close()
        assert caller.connection.recv(1) == b""
        assert not running._open
