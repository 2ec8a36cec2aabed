"""``lapilli delegate-path``: the delegate as a shared library for programs in C and C++."""

from __future__ import annotations

import json

import click


@click.command("delegate-path")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def delegate_path(as_json: bool) -> None:
    """Print the path of a shared library that exports tflite_plugin_create_delegate.

    It is built at first use with the system's C compiler. Options are given as text; more programs
    are in docs/programs.md:

    \b
      benchmark_model --graph=m.tflite --external_delegate_path=$(lapilli delegate-path) \\
          --external_delegate_options='device:emulator-a311d'
      load_delegate(path, {"device": "emulator:a311d"})
    """
    from lapilli.litert.plugin_build import needs_python_process, plugin_path

    path = plugin_path()
    if needs_python_process():
        click.echo(
            "note: this Python has no shared library of itself, so the delegate loads in "
            "Python programs only; for C programs install libpython3 (Debian) and use the "
            "system's Python",
            err=True,
        )
    if as_json:
        click.echo(json.dumps({"path": str(path), "python_only": needs_python_process()}))
    else:
        click.echo(str(path))
