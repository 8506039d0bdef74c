"""Item models beside their peers: 2PL and Rasch at growing numbers of persons, graded, two-dimensional, exploratory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.item_data import binary_test, graded_test, save_table
from benchmarks.items import Items, elsewhere, items_table, run_items, with_errors
from benchmarks.measure import Measurement
from benchmarks.session import Session
from benchmarks.tables import Table

NOTE = (
    "From the array of responses to the estimates, with the checks of the data and the quadrature error at twice the "
    "nodes; `(+ SE)` with the exact Hessian at the end. `first fit` includes compilation with an empty cache. `below "
    "best`: log likelihoods, each at the contestant's own nodes. Peak memory is the growth of resident memory over the "
    "fit, beyond the array."
)
PEERS = ("mirt (Python)", "girth")


def run(session: Session) -> list[Table]:
    """All sizes."""
    return [*persons(session), rasch(session), graded(session), two_dimensions(session), exploratory(session)]


def contest(
    session: Session, title: str, file: Path, model: Items, peers: tuple[str, ...], *others: Measurement
) -> Table:
    """jmix without and with standard errors, then the peers, then times from elsewhere."""
    one = run_items(session, "jmix", file, model)
    two = run_items(session, "jmix", file, with_errors(model))
    two.contestant = "jmix (+ SE)"
    found = [one, two, *(run_items(session, name, file, model, repeats=2) for name in peers), *others]
    return items_table(title, found, [NOTE])


def persons(session: Session) -> list[Table]:
    """2PL, 50 items, 61 nodes."""
    test = binary_test(50)
    known = {10_000: 2.3, 100_000: 17.0, 1_000_000: 128.0}
    tables = []
    for n in (1_000, 3_000) if session.quick else known:
        file = save_table(session.scratch / f"two_{n}.npy", test, n)
        extra = [elsewhere("mirt (R)", known[n], "3.2 GB" if n == 1_000_000 else "")] if n in known else []
        if n == 100_000:
            extra.append(elsewhere("TAM (R)", 9.4))
        peers = PEERS if n <= 100_000 else ()
        tables.append(contest(session, f"2PL, {n:,} × 50, 61 nodes", file, Items("2PL"), peers, *extra))
    return tables


def rasch(session: Session) -> Table:
    """A million persons are 51 sum scores."""
    n = session.size(1_000_000, 3_000)
    file = save_table(session.scratch / "rasch.npy", binary_test(50, rasch=True), n)
    return contest(session, f"Rasch, {n:,} × 50, 61 nodes", file, Items("Rasch"), (), elsewhere("mirt (R)", 43.0))


def graded(session: Session) -> Table:
    """Graded responses in five categories."""
    n = session.size(10_000, 500)
    file = save_table(session.scratch / "graded.npy", graded_test(20, 5), n)
    model = Items("graded", categories=5)
    return contest(session, f"graded, {n:,} × 20, 5 categories", file, model, PEERS, elsewhere("mirt (R)", 2.7))


def two_dimensions(session: Session) -> Table:
    """Exploratory 2PL of two dimensions."""
    n = session.size(5_000, 500)
    file = save_table(session.scratch / "two_dimensions.npy", binary_test(30, 2), n)
    model = Items("2PL", factors=2, nodes=21)
    return contest(
        session, f"2PL, two dimensions, {n:,} × 30", file, model, ("mirt (Python)",), elsewhere("mirt (R)", 5.3)
    )


def exploratory(session: Session) -> Table:
    """As large as SAT12, whose data may not ship: simulated."""
    file = save_table(session.scratch / "exploratory.npy", binary_test(32, 2, seed=7), session.size(600, 300))
    model = Items("2PL", factors=2, nodes=21)
    return contest(
        session, "2PL, two factors, 600 × 32", file, model, ("mirt (Python)",), elsewhere("mirt (R), SAT12", 297.0)
    )
