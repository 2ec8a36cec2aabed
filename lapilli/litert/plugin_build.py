"""Builds the delegate's shared library with the system's C compiler, once for each Python.

The library is kept in the user's cache directory under a name made from everything it depends on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from lapilli.errors import Unsupported

COMPILERS = ("cc", "gcc", "clang")
TIMEOUT = 120
"""Seconds the compiler may take."""


def plugin_path() -> Path:
    """The shared library, built if it is not there yet. Raises Unsupported if it can't be."""
    source = files("lapilli.data").joinpath("plugin.c").read_text(encoding="utf-8")
    library = _libpython()
    paths = "\n".join(_module_paths())
    identity = "\0".join([source, str(library), paths, sys.version, sysconfig.get_platform()])
    name = f"liblapilli_delegate-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    target = _cache_directory() / name
    if not target.exists():
        _build(source, library, paths, target)
    return target


def needs_python_process() -> bool:
    """This Python has no shared library of itself: programs that are not Python can't start it."""
    return _libpython() is None


def _cache_directory() -> Path:
    from platformdirs import user_cache_path

    return Path(user_cache_path("lapilli"))


def _module_paths() -> list[str]:
    """Where a Python started by another program finds this package and what it needs."""
    own = str(Path(__file__).parents[2])
    return list(dict.fromkeys(path for path in (own, *sys.path) if path and Path(path).exists()))


def _libpython() -> Path | None:
    """This interpreter's shared library, or None if it is linked statically."""
    names = [str(sysconfig.get_config_var(key)) for key in ("INSTSONAME", "LDLIBRARY")]
    folders = [str(sysconfig.get_config_var("LIBDIR") or ""), f"{sys.base_prefix}/lib"]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        folders += [f"/usr/lib/{multiarch}", f"/lib/{multiarch}"]
    for folder in filter(None, folders):
        for name in names:
            if ".so" in name and (Path(folder) / name).exists():
                return Path(folder) / name
    return None


def _compiler() -> str:
    wanted = os.environ.get("CC", "").split()
    for name in (*wanted[:1], *COMPILERS):
        found = shutil.which(name)
        if found:
            return found
    raise Unsupported(
        "the delegate's shared library is built with a C compiler, and there is none (looked for "
        f"$CC, {', '.join(COMPILERS)}); on Debian: apt install gcc libc6-dev. Python programs need "
        "no library: use lapilli.Delegate"
    )


def _build(source: str, library: Path | None, paths: str, target: Path) -> None:
    compiler = _compiler()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            code, made = Path(folder) / "plugin.c", Path(folder) / target.name
            code.write_text(
                f"#define PYTHON_PATHS {_quoted(paths)}\n"
                f"#define LIBPYTHON {_quoted(str(library or ''))}\n{source}",
                encoding="utf-8",
            )
            command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(code), "-ldl"]
            if library is not None:
                command += [str(library), f"-Wl,-rpath,{library.parent}"]
            done = subprocess.run(
                command, timeout=TIMEOUT, check=False,
                capture_output=True, text=True, errors="replace",
            )  # fmt: skip
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["no message"]
                raise Unsupported(f"{compiler} can't build the delegate's library: {lines[0]}")
            made.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unsupported(f"can't build the delegate's library {target}: {error}") from error


def _quoted(text: str) -> str:
    """A C string literal; every byte that is no plain letter or digit as an octal escape."""
    return (
        '"'
        + "".join(
            chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}"
            for byte in os.fsencode(text)
        )
        + '"'
    )
