"""The model syntax of mirt: ``F1 = 1-5``, ``COV = F1*F2``, ``CONSTRAIN = (1-5, a1)``, ``PRIOR = (1-5, d, norm, 0, 2)``.

Chalmers (2012), J. Stat. Softw. 48(6), section 3, and mirt's help page ``mirt.model``. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jmix.errors import ModelError
from jmix.spec.irt.names import item_places

COMMANDS = ("CONSTRAIN", "CONSTRAINB", "PRIOR", "FIXED", "FREE", "START")
UNSUPPORTED = {
    "LBOUND": "slopes and intercepts have no bounds; give a prior instead",
    "UBOUND": "slopes and intercepts have no bounds; give a prior instead",
    "NEXPLORE": "write model=2 for an exploratory model with two factors",
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
_PRIORS = {"norm": 2, "lnorm": 2, "beta": 2, "expbeta": 2}


class Instruction(NamedTuple):
    """One bracket of a command.

    Attributes:
        command: as written. items: columns, None for GROUP. params: names. distribution: of a prior. numbers: at the
            end. groups: to which it is confined, empty for all.
    """

    command: str
    items: list[int] | None
    params: tuple[str, ...]
    distribution: str
    numbers: tuple[float, ...]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelText:
    """What a model text says.

    Attributes:
        factors: columns of the items by factor. pairs: covariances to estimate. variances, means: factors whose
            variance and mean are free. instructions: the commands in their order.
    """

    factors: dict[str, list[int]]
    pairs: tuple[tuple[str, str], ...]
    variances: tuple[str, ...]
    means: tuple[str, ...]
    instructions: tuple[Instruction, ...]


def read_model(text: str, items: Mapping[Hashable, int]) -> ModelText:
    """Read a model text.

    Args:
        items: name to column.

    Raises:
        ModelError: naming the line, item or factor that cannot be read.
    """
    statements = _statements(text)
    factors: dict[str, list[int]] = {}
    for name, right, _ in statements:
        if name not in (*COMMANDS, *UNSUPPORTED, "COV", "MEAN"):
            if name in factors:
                raise ModelError(f"the model defines the factor {name} twice")
            if "*" in right:
                raise ModelError(f"'{name} = {right}': products of factors are not available; leave it out")
            factors[name] = item_places(right, items, f"factor {name}")
    if not factors:
        raise ModelError("the model text defines no factor; write 'F = 1-10' or name the items, 'F = Item.1, Item.2'")
    pairs: list[tuple[str, str]] = []
    variances: list[str] = []
    means: list[str] = []
    instructions: list[Instruction] = []
    for name, right, groups in statements:
        if name in UNSUPPORTED:
            raise ModelError(f"{name} in the model text: {UNSUPPORTED[name]}")
        if name == "COV":
            _covariances(right, factors, pairs, variances)
        elif name == "MEAN":
            means += [_factor(part, factors, "MEAN") for part in right.split(",")]
        elif name in COMMANDS:
            brackets = re.findall(r"\(([^()]*)\)", right)
            if not brackets:
                raise ModelError(f"'{name} = {right}': write {name} = (items, parameter, ...), each in brackets")
            instructions += [_instruction(name, inside, items, groups) for inside in brackets]
    return ModelText(factors, tuple(pairs), tuple(variances), tuple(means), tuple(instructions))


def _statements(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, right side and groups of each line; a line without a name belongs to the one before."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for raw in re.split(r"[\n;]", text):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        match = re.match(r"([A-Za-z][\w.]*)\s*(?:\[([^\]]*)\])?\s*=\s*(.*)$", line)
        if match:
            groups = tuple(part.strip() for part in (match.group(2) or "").split(",") if part.strip())
            found.append((match.group(1), match.group(3).strip(), groups))
        elif found:
            name, right, groups = found[-1]
            found[-1] = (name, f"{right} {line}".strip(), groups)
        else:
            raise ModelError(f"the model text begins with '{line}'; write 'F1 = 1-5'")
    return found


def _factor(text: str, factors: Mapping[str, object], where: str) -> str:
    name = text.strip()
    if name not in factors:
        raise ModelError(f"{where} names '{name}', which is not a factor; there are {', '.join(factors)}")
    return name


def _covariances(right: str, factors: Mapping[str, object], pairs: list[tuple[str, str]], variances: list[str]) -> None:
    for part in right.split(","):
        names = [_factor(name, factors, "COV") for name in part.split("*")]
        if len(names) < 2:
            raise ModelError(f"'COV = {right}': write products such as F1*F2")
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                if first == second:
                    variances.append(first)
                else:
                    pairs.append((first, second))


def _instruction(command: str, inside: str, items: Mapping[Hashable, int], groups: tuple[str, ...]) -> Instruction:
    what = f"{command} = ({inside})"
    parts = [part.strip() for part in inside.split(",") if part.strip()]
    numbers: list[float] = []
    wanted = {"PRIOR": 2, "START": 1}.get(command, 0)
    while parts and len(numbers) < wanted and _NUMBER.match(parts[-1]):
        numbers.insert(0, float(parts.pop()))
    if len(numbers) != wanted:
        raise ModelError(f"{what}: it should end with {wanted} number{'s' * (wanted > 1)}")
    distribution = ""
    if command == "PRIOR":
        distribution = parts.pop() if parts else ""
        if distribution not in _PRIORS:
            raise ModelError(f"{what}: the prior is one of {', '.join(_PRIORS)}, not '{distribution}'")
    cut = next((i for i, part in enumerate(parts) if not _is_items(part, items)), len(parts))
    places, params = parts[:cut], tuple(parts[cut:])
    if not params or not places:
        raise ModelError(f"{what}: write the items first, then the parameter: (1-5, a1)")
    columns = None if places == ["GROUP"] else item_places(places, items, what)
    return Instruction(command, columns, params, distribution, tuple(numbers), groups)


def _is_items(part: str, items: Mapping[Hashable, int]) -> bool:
    if part == "GROUP":
        return True
    try:
        item_places(part, items, "")
    except ModelError:
        return False
    return True
