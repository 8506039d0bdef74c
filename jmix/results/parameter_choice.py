"""Which parameters the user means."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from jmix.errors import ModelError
from jmix.results.expressions import spellings
from jmix.spec.names import cor_names, sd_names

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

Parameters = str | Iterable[str] | None


def classes(post: Posterior) -> dict[str, list[str]]:
    """Names of the parameters by class: "b", "sd" and "cor"."""
    sds, cors = ([n for part in names(post.spec) for n in part] for names in (sd_names, cor_names))
    return {"b": list(post.design.x_names), "sd": sds, "cor": cors}


def chosen(post: Posterior, parameters: Parameters) -> list[str]:
    """Names of parameters: all, or those asked for by name or by class, each once.

    Raises:
        ModelError: a name that there is not, or none at all.
    """
    everything = list(post.parameters)
    if parameters is None:
        return everything
    asked = [parameters] if isinstance(parameters, str) else list(parameters)
    groups, spelled, out = classes(post), spellings(everything, post.design.x_names), []
    for name in asked:
        if name in spelled:
            out.append(spelled[name])
        elif name in groups:
            out += groups[name]
        else:
            near = get_close_matches(str(name), everything, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ModelError(f"there is no parameter '{name}'.{hint} There are: b, sd, cor, {', '.join(everything)}")
    if not out:
        raise ModelError(f"parameters={parameters!r} names none; there are: {', '.join(everything)}")
    return list(dict.fromkeys(out))
