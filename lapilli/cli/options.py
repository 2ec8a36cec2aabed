"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from lapilli.answers.images import HARD_LIMIT
from lapilli.answers.inputs import PictureWish
from lapilli.answers.normalisation import Wish
from lapilli.compiler.cuts import PARTITIONS
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, MOST_EFFORT, SearchOptions
from lapilli.compiler.stages import SCHEDULES

Command = TypeVar("Command", bound=Callable[..., Any])
RANDOM_INPUTS = "random values"


def schedule() -> Callable[[Command], Command]:
    """``--schedule``."""
    return click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        default="best",
        show_default=True,
        help="How jobs are laid out on the NPU.",
    )


def search() -> Callable[[Command], Command]:
    """``--without``, ``--experimental`` and ``--effort``; the command gets them together as
    ``search``."""
    chosen = [
        click.option(
            "--without",
            multiple=True,
            metavar="LEVER",
            help="Leave a lever of the best schedule out (docs/schedules.md); may be given again.",
        ),
        click.option(
            "--experimental",
            multiple=True,
            metavar="LEVER",
            help="Pull a lever that rests on a guess about the chip; may be given again.",
        ),
        click.option(
            "--effort",
            type=click.IntRange(0, MOST_EFFORT),
            default=DEFAULT_SEARCH.effort,
            show_default=True,
            help="How much the best schedule looks at.",
        ),
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_search(
            *arguments: Any,
            without: tuple[str, ...],
            experimental: tuple[str, ...],
            effort: int,
            **others: Any,
        ) -> Any:
            asked = SearchOptions(frozenset(without), frozenset(experimental), effort)
            return command(*arguments, search=asked, **others)

        for option in reversed(chosen):
            with_search = option(with_search)
        return with_search  # type: ignore[return-value]

    return decorate


def cache() -> Callable[[Command], Command]:
    """``--no-cache``; the command gets it as ``cache``."""
    return click.option(
        "--no-cache",
        "cache",
        flag_value=False,
        default=True,
        type=bool,
        help="Compile anew, and keep nothing: see lapilli cache.",
    )


def per_channel(default: str) -> Callable[[Command], Command]:
    """``--per-channel`` and ``--calibration``."""
    ways = click.option(
        "--per-channel",
        default=default,
        show_default=True,
        metavar="[fast|best|groups=N|off]",
        help="What becomes of weights with a scale for each channel; off leaves them to the CPU.",
    )
    samples = click.option(
        "--calibration",
        metavar="DIR|X.npz",
        help="Pictures or arrays like those the model is for.  [default: made-up pictures]",
    )
    return lambda command: ways(samples(command))


def cuts(default: str = "fastest; all with --schedule reference") -> Callable[[Command], Command]:
    """``--partition``."""
    return click.option(
        "--partition",
        metavar=f"[{'|'.join(PARTITIONS)}]",
        callback=_partition,
        help=f"Leave parts to the CPU that are modelled to be faster there, or none.  "
        f"[default: {default}]",
    )


def _partition(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value not in PARTITIONS:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(PARTITIONS)}")
    return value


def inputs(without: str = "") -> Callable[[Command], Command]:
    """``--input``, once for each input; ``without``: what is taken if none is given."""
    default = f"  [default: {without}]" if without else ""
    return click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="IMAGE|X.npy",
        help=f"A picture or an .npy file; once for each input of the model.{default}",
    )


def shapes() -> Callable[[Command], Command]:
    """``--shape``, once for each input that is to have another one."""
    return click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="NAME=1,224,224,3",
        callback=_shapes,
        help="Give an input, by name or number, another shape than the file has.",
    )


def _shapes(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """By the inputs' names."""
    found: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, _, extents = value.rpartition("=")
        try:
            found[name] = tuple(int(extent) for extent in extents.split(","))
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not like NAME=1,224,224,3") from error
        if not name:
            raise click.BadParameter(f"{value!r} has no input's name in front of a '='")
    return found


def _numbers(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """One number, or several with commas between."""
    if value is None:
        return None
    try:
        return tuple(float(each) for each in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no number and no list of numbers") from error


def pictures() -> Callable[[Command], Command]:
    """``--input-range``, ``--mean``, ``--std`` and ``--max-pixels``; the command gets them together
    as ``picture_wish``."""
    chosen = [
        click.option(
            "--input-range",
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            help="What pixels 0 and 255 become in the input.  [default: what the model says]",
        ),
        click.option(
            "--mean",
            callback=_numbers,
            metavar="M[,M,M]",
            help="Pixels become (pixel - mean) / std, for all channels or each.",
        ),
        click.option("--std", callback=_numbers, metavar="S[,S,S]", help="See --mean."),
        click.option(
            "--max-pixels",
            type=click.IntRange(1, HARD_LIMIT),
            metavar="N",
            help="Refuse larger pictures.  [default: 2^25, or 64 times the input's pixels]",
        ),
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_wish(
            *arguments: Any,
            input_range: tuple[float, float] | None,
            mean: tuple[float, ...] | None,
            std: tuple[float, ...] | None,
            max_pixels: int | None,
            **others: Any,
        ) -> Any:
            wish = PictureWish(Wish(mean, std, input_range), max_pixels)
            return command(*arguments, picture_wish=wish, **others)

        for option in reversed(chosen):
            with_wish = option(with_wish)
        return with_wish  # type: ignore[return-value]

    return decorate
