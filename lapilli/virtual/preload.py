"""Builds the library that is preloaded into programs, once for each compiler, and says how a
program is started with it.

The library is kept in the user's cache directory under a name made from everything it depends on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from lapilli.errors import Unsupported
from lapilli.virtual import tree

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-shared", "-fPIC", "-O2", "-fvisibility=hidden")
LIBRARIES = ("-ldl",)
TIMEOUT = 120
"""Seconds the compiler may take."""
SEPARATORS = {" ", ":"}
"""Of the names in LD_PRELOAD; there is no way to quote them."""
LONGEST_SOCKET_PATH = 107
"""Bytes that a socket's address has room for."""


def library_path(compiler: str | None = None) -> Path:
    """The library for programs of the machine that ``compiler`` builds for, built if it is not
    there yet. Without ``compiler``: $CC or the system's. Raises Unsupported if it can't be."""
    command = _compiler(compiler)
    source = files("lapilli.data").joinpath("preload.c").read_text(encoding="utf-8")
    identity = "\0".join([source, *OPTIONS, *command, _machine(command)])
    name = f"liblapilli_preload-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    target = _cache_directory() / name
    if not target.exists():
        _build(source, command, target)
    return target


def environment(library: Path, folder: Path, present: Mapping[str, str]) -> dict[str, str]:
    """The variables for a program that is to see the NPU whose tree and socket are in ``folder``;
    ``present`` are those it would have had."""
    others = [name for name in present.get("LD_PRELOAD", "").split(":") if name]
    return {
        **present,
        "LD_PRELOAD": ":".join([str(_loadable(library, folder)), *others]),
        "LAPILLI_EMULATE_SOCKET": str(socket_path(folder)),
        "LAPILLI_EMULATE_TREE": str(tree_path(folder)),
        "LAPILLI_EMULATE_PATHS": "\n".join(tree.PREFIXES),
        "LAPILLI_EMULATE_NODE": f"{tree.MAJOR} {tree.MINOR} {tree.NODE}",
    }


def _loadable(library: Path, folder: Path) -> Path:
    """Its own path, or that of a link in ``folder`` where LD_PRELOAD, which separates names by
    spaces and colons, could not hold it; raises Unsupported if it could hold neither."""
    link = folder / library.name
    found = next((path for path in (library, link) if not SEPARATORS & set(str(path))), None)
    if found is None:
        raise Unsupported(
            f"neither {library} nor a link in {folder} can be preloaded: a path with a space or a "
            "colon can't be; set XDG_CACHE_HOME or TMPDIR to one without"
        )
    if found == link and not link.is_symlink():
        link.symlink_to(library)
    return found


def socket_path(folder: Path) -> Path:
    """Where the emulator listens; raises Unsupported if the name is too long for a socket."""
    path = folder / "socket"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise Unsupported(
            f"{path} is too long for a socket, which has at most {LONGEST_SOCKET_PATH} bytes; set "
            "TMPDIR to a shorter path"
        )
    return path


def tree_path(folder: Path) -> Path:
    """Where the emulator lays out its directory tree."""
    return folder / "tree"


def _compiler(wanted: str | None) -> list[str]:
    """The compiler's path, with the options that $CC or ``wanted`` has behind it."""
    if wanted is not None:
        words = wanted.split()
        found = shutil.which(words[0]) if words else None
        if found is None:
            raise Unsupported(
                f"the compiler {wanted!r} is not there; for programs of 64-bit ARM, on Debian: apt "
                "install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
            )
        return [found, *words[1:]]
    given = os.environ.get("CC", "").split()
    for words in (*([given] if given else []), *([name] for name in COMPILERS)):
        found = shutil.which(words[0])
        if found:
            return [found, *words[1:]]
    raise Unsupported(
        "the library that shows programs the NPU is built with a C compiler, and there is none "
        f"(looked for $CC, {', '.join(COMPILERS)}); on Debian: apt install gcc libc6-dev"
    )


def _machine(command: list[str]) -> str:
    """What the compiler builds for."""
    try:
        done = subprocess.run(
            [*command, "-dumpmachine"],
            capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unsupported(f"{command[0]} does not run: {error}") from error
    return done.stdout.strip()


def _cache_directory() -> Path:
    from platformdirs import user_cache_path

    return Path(user_cache_path("lapilli"))


def _build(source: str, command: list[str], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            code, made = Path(folder) / "preload.c", Path(folder) / target.name
            code.write_text(source, encoding="utf-8")
            done = subprocess.run(
                [*command, *OPTIONS, "-o", str(made), str(code), *LIBRARIES],
                capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
                env={**os.environ, "LC_ALL": "C"},  # an error is found by its name
            )  # fmt: skip
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["no message"]
                reason = next((line for line in lines if "error" in line), lines[0])
                raise Unsupported(f"{command[0]} can't build the preloaded library: {reason}")
            made.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unsupported(f"can't build the preloaded library {target}: {error}") from error
