"""Every lever gives the same bytes as none: alone, in pairs and all together."""

from __future__ import annotations

import itertools

import pytest
from comparing import CHIPS
from lever_checks import check_equal, only
from operator_cases import FAMILIES
from shared_data import shared_data

from lapilli.compiler.schedule.levers.registry import NAMES
from lapilli.compiler.stages import CompileOptions

LONG = pytest.mark.long
GRAPHS = 500
SAMPLE = 8
FURTHER_GRAPHS = 250
FURTHER = 6
"""The same of graphs of all kinds of operators."""
PAIRS = tuple(itertools.combinations(NAMES, 2))
WHOLE = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v2_1.0_224_quant",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "ssdlite_mobiledet_coco_qat_postprocess",
)


def operator_models() -> list[str]:
    """Names of models of one operator, of random and of non-square ones; none without test data."""
    try:
        folder = shared_data() / "models"
    except (pytest.skip.Exception, pytest.fail.Exception):
        return []
    kinds = ("ops", "random", "nonsquare")
    found = sorted(path for kind in kinds for path in (folder / kind).glob("*.tflite"))
    return [f"{path.parent.name}/{path.stem}" for path in found]


def checked(models: list[str], chip: str, options: CompileOptions) -> None:
    taken = [check_equal(model, chip, options) for model in models]
    assert any(taken)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "block", [0, *(pytest.param(n, marks=LONG) for n in range(SAMPLE, GRAPHS, 20))]
)
def test_random_graphs(block: int, chip: str) -> None:
    """A sample of them, and each of 500."""
    seeds = range(block, min(block + 20, GRAPHS) if block else SAMPLE)
    checked([f"graph-{seed}" for seed in seeds], chip, CompileOptions())


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=LONG) for n in range(FURTHER, FURTHER_GRAPHS, 25))]
)
@pytest.mark.parametrize("chip", CHIPS)
def test_random_graphs_of_all_kinds_of_operators(first: int, chip: str) -> None:
    """A sample of them, and each of 250."""
    seeds = range(first, min(first + 25, FURTHER_GRAPHS) if first else FURTHER)
    checked([f"further-{seed}" for seed in seeds], chip, CompileOptions())


@pytest.mark.parametrize("family", FAMILIES)
def test_operators_without_kernels(family: str) -> None:
    """On either chip a few."""
    taken = [
        check_equal(f"case-{family}-{seed}", CHIPS[seed % 2], CompileOptions()) for seed in range(5)
    ]
    assert any(taken)


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_operators_without_kernels(family: str, chip: str) -> None:
    checked([f"case-{family}-{seed}" for seed in range(5, 100)], chip, CompileOptions())


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_each_lever_alone(number: int, chip: str) -> None:
    """On other models each time, of an operator and of several."""
    models = operator_models()[number :: 10 * len(NAMES)]
    checked([*models, f"graph-{number}", f"graph-{number + 100}"], chip, only(NAMES[number]))


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("name", NAMES)
def test_each_lever_alone_on_everything(name: str, chip: str) -> None:
    checked([*operator_models(), *WHOLE], chip, only(name))


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=["+".join(pair) for pair in PAIRS])
def test_pairs_of_levers(number: int) -> None:
    """On either chip, a few models each."""
    models = operator_models()[number :: 4 * len(PAIRS)]
    checked([*models, f"graph-{number}"], CHIPS[number % 2], only(*PAIRS[number]))


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_pairs_of_levers_on_everything(pair: tuple[str, str], chip: str) -> None:
    checked([*operator_models()[::4], *WHOLE], chip, only(*pair))


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("effort", [0, 1, 2])
def test_all_levers_on_everything(effort: int, chip: str) -> None:
    checked([*operator_models(), *WHOLE], chip, CompileOptions(effort=effort))
