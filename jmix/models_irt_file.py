"""``jmix.irt`` of a file: responses that are read in blocks at every pass and never held as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import Integration
from jmix.models_irt_options import positive_whole

if TYPE_CHECKING:
    from jmix.results.irt.streamed import StreamedIrtFit

READ = ("items", "weights", "group")
"""What may be said of how a file is read."""

METHODS = {None: None, "ml": False, "map": True, "stochastic": None}
"""Whether priors are used: as there are, never, or always."""


def fit_file(
    path: str | Path,
    itemtype: Any,
    reading: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    method: str | None,
    se: str | bool | None,
    integration: Integration | None,
    max_iterations: Any,
    progress: bool | None,
    checkpoint: str | Path | None,
) -> StreamedIrtFit:
    """The fit of a Parquet file or a folder of them; arguments as of ``jmix.irt``.

    Raises:
        DataError: the file. ModelError: something that needs the responses in memory.
    """
    from jmix.estimate.irt.stream_fit import fit_stream
    from jmix.estimate.irt.stream_newton import PASSES
    from jmix.estimate.irt.uncertainty import standard_error_type
    from jmix.estimate.irt.watch import Course
    from jmix.results.irt.streamed import streamed_fit

    others = [name for name, value in reading.items() if name not in READ and value is not None]
    if others:
        raise ModelError(f"a file of responses takes no {', '.join(others)}; read it into a frame to use them")
    if method not in METHODS:
        raise ModelError(f"method={method!r}: choose 'ml', 'map' or 'stochastic' for a file of responses")
    with Course(progress) as course:
        found = fit_stream(
            path,
            itemtype,
            **{name: reading[name] for name in READ},
            integration=integration,
            method="stochastic" if method == "stochastic" else "newton",
            use_priors=METHODS[method],
            se=standard_error_type(True if se is None else se),
            max_passes=min(PASSES, positive_whole("max_iterations", max_iterations)),
            checkpoint=checkpoint,
            watch=lambda done: course.tell(f"{done:,} persons read in this pass"),
            **options,
        )
    return streamed_fit(found)
