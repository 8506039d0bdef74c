"""The commands of a model text, put on the cells."""

from __future__ import annotations

import math
import re

import numpy as np

from jmix.errors import ModelError
from jmix.spec.irt.cells import SHARED, Cells, IntArray
from jmix.spec.irt.loadings import Loadings
from jmix.spec.irt.model_text import Instruction
from jmix.spec.irt.names import Selector
from jmix.spec.irt.priors import EntryPrior

PRIORS = {"norm": "normal", "lnorm": "lognormal", "beta": "beta", "expbeta": "beta"}


def apply_instructions(selector: Selector, loadings: Loadings) -> None:
    """Carry out CONSTRAIN, CONSTRAINB, FIXED, FREE, START and PRIOR in their order.

    Raises:
        ModelError: a parameter that does not exist, or a list of parameters that does not match the items.
    """
    for instruction in loadings.instructions:
        what = f"{instruction.command} = ({', '.join(instruction.params)})"
        cells = [_cells(selector, instruction, param, i, what) for i, param in enumerate(instruction.params)]
        _ACTIONS[instruction.command](selector.cells, instruction, cells, what)


def _cells(selector: Selector, instruction: Instruction, param: str, at: int, what: str) -> IntArray:
    """Cells of one parameter: of all the items, or of its own item where there are several parameters."""
    model = selector.cells
    if instruction.items is None:
        found = selector(_latent_name(param, selector.factors, what), what).cells
    else:
        items = instruction.items
        if len(instruction.params) > 1 and instruction.command in ("CONSTRAIN", "CONSTRAINB"):
            if len(items) != len(instruction.params):
                raise ModelError(f"{what}: give one parameter, or as many as items ({len(items)})")
            items = [items[at]]
        found = selector((param, [model.items[j] for j in items]), what).cells
    if not instruction.groups:
        return found
    unknown = [group for group in instruction.groups if group not in model.groups]
    if unknown:
        raise ModelError(f"{what}: '{unknown[0]}' is not a group; there are {', '.join(model.groups)}")
    codes = [model.groups.index(group) for group in instruction.groups]
    return found[np.isin(model.group[found], [*codes, SHARED])]


def _latent_name(param: str, factors: tuple[str, ...], what: str) -> str:
    """Jmix's name of mirt's MEAN_1, COV_11 or COV_21."""
    match = re.fullmatch(r"(MEAN|COV)_(\d)(\d?)", param)
    if not match:
        return param
    numbers = [int(digit) for digit in match.groups()[1:] if digit]
    wrong = (match.group(1) == "MEAN") != (len(numbers) == 1) or not all(1 <= n <= len(factors) for n in numbers)
    if wrong:
        raise ModelError(f"{what}: '{param}' does not exist with the factors {', '.join(factors)}")
    names = [factors[n - 1] for n in numbers]
    if len(names) == 1:
        return f"mean[{names[0]}]"
    return f"sd[{names[0]}]" if names[0] == names[1] else f"corr[{names[0]},{names[1]}]"


def _constrain(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    together = np.concatenate(cells)
    if together.size < 2:
        raise ModelError(f"{what}: there is one parameter only; name at least two to make them equal")
    for g in range(len(model.groups)):
        model.merge(together[np.isin(model.group[together], (g, SHARED))])


def _constrain_between(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    if len(model.groups) < 2:
        raise ModelError(f"{what}: CONSTRAINB ties groups, but there is one")
    for found in cells:
        for item in np.unique(model.item[found]):
            model.merge(found[model.item[found] == item])


def _fixed(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    for found in cells:
        model.fix(found)


def _free(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    for found in cells:
        inside = np.where(model.value[found] > 0, 1.7346, -1.7346)
        model.value[found] = np.where(np.isfinite(model.value[found]), model.value[found], inside)
        model.release(found)


def _start(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    value = instruction.numbers[0]
    for param, found in zip(instruction.params, cells, strict=True):
        if model.params[model.param[found[0]]].startswith("logit(") and not param.startswith("logit("):
            if not 0 <= value <= 1:
                raise ModelError(f"{what}: an asymptote is a probability between 0 and 1, not {value:g}")
            number = math.log(value / (1 - value)) if 0 < value < 1 else math.copysign(math.inf, value - 0.5)
        elif re.fullmatch(r"COV_(\d)\1", param):
            if value <= 0:
                raise ModelError(f"{what}: {param} is a variance and must be positive, not {value:g}")
            number = math.sqrt(value)
        else:
            number = value
        model.start(found, number)


def _prior(model: Cells, instruction: Instruction, cells: list[IntArray], what: str) -> None:
    from jmix import runtime
    from jmix.spec.prior import prior

    numbers = ", ".join(f"{number!r}" for number in instruction.numbers)
    with runtime.float64():
        distribution = prior(f"{PRIORS[instruction.distribution]}({numbers})")
    for found in cells:
        probability = model.params[model.param[found[0]]].startswith("logit(") and "beta" in instruction.distribution
        if instruction.distribution == "expbeta" and not probability:
            raise ModelError(f"{what}: expbeta is for asymptotes c and u; use beta, norm or lnorm")
        for cell in found:
            model.prior[int(cell)] = EntryPrior(distribution, probability)


_ACTIONS = {
    "CONSTRAIN": _constrain,
    "CONSTRAINB": _constrain_between,
    "FIXED": _fixed,
    "FREE": _free,
    "START": _start,
    "PRIOR": _prior,
}
