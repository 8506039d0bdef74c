"""A fit of responses that were streamed from files: estimates for all persons, scores written block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import DataError
from jmix.results.irt.fit import IrtFit

if TYPE_CHECKING:
    from jmix.estimate.irt.stream_fit import StreamFit


@dataclass(frozen=True, eq=False, repr=False)
class StreamedIrtFit(IrtFit):
    """A fit of more persons than memory holds.

    Estimates, standard errors and criteria are those of all persons. What needs the persons' responses, such as
    ``scores()`` or ``itemfit()``, is of the sample with which the fit began; ``score_blocks`` and ``write_scores`` go
    through all persons.

    Attributes:
        stream: the marginal likelihood of all persons, a pass over the data in every call.
    """

    stream: Any = None

    @property
    def n_persons(self) -> int:
        """N, all persons."""
        return int(self.stream.n_persons)

    @property
    def nobs(self) -> float | int:
        """Number of all persons; with weights their sum."""
        total = self.stream.total_weight
        if total is None:
            return self.n_persons
        return int(total) if float(total).is_integer() else float(total)

    def score_blocks(self) -> Iterator[pd.DataFrame]:
        """EAP scores of all persons, block by block in the order of the data: each factor, then ``se_`` of each."""
        names = self.spec.factors
        start = 0
        for moments in self.stream.blocks_of_moments(np.asarray(self.solution.x)):
            se = np.sqrt(np.maximum(np.einsum("ndd->nd", moments.covariance), 0.0))
            index = pd.RangeIndex(start, start + len(se), name="person")
            start += len(se)
            columns = [*names, *(f"se_{name}" for name in names)]
            yield pd.DataFrame(np.hstack([moments.mean, se]), index=index, columns=columns)

    def write_scores(self, path: str | Path) -> int:
        """Write the EAP scores of all persons to a .csv or .parquet file; returns their number.

        Raises:
            DataError: another kind of file, or pyarrow is not installed.
        """
        path = Path(path)
        if path.suffix == ".csv":
            return self._write_csv(path)
        if path.suffix != ".parquet":
            raise DataError(f"scores can be written to a .csv or a .parquet file, not to {path.name!r}")
        return self._write_parquet(path)

    def _write_csv(self, path: Path) -> int:
        n = 0
        with path.open("w", encoding="utf-8", newline="") as file:
            for block in self.score_blocks():
                block.to_csv(file, header=n == 0)
                n += len(block)
        return n

    def _write_parquet(self, path: Path) -> int:
        try:
            import pyarrow as pa
            import pyarrow.parquet as parquet
        except ImportError:
            raise DataError("writing Parquet files needs pyarrow: `pip install pyarrow`, or name a .csv file") from None
        n, writer = 0, None
        try:
            for block in self.score_blocks():
                table = pa.Table.from_pandas(block.reset_index(), preserve_index=False)
                writer = writer or parquet.ParquetWriter(path, table.schema)
                writer.write_table(table)
                n += len(block)
        finally:
            if writer is not None:
                writer.close()
        return n


def streamed_fit(found: StreamFit) -> StreamedIrtFit:
    """The result of ``fit_stream`` with the methods of a fit."""
    return StreamedIrtFit(found.solution, found.sample, found.sample_marginal, stream=found.marginal)
