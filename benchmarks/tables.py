"""Tables of results: kept as JSON, shown as markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Cell = str | float | int | None


@dataclass
class Table:
    """Rows of named cells under a title; numbers stay numbers until they are shown."""

    title: str
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table in GitHub's markdown."""
        lines = [f"### {self.title}", ""]
        if self.rows:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            lines += ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
            lines += ["| " + " | ".join(show(row.get(name)) for name in names) + " |" for row in self.rows]
            lines.append("")
        return "\n".join(lines + [f"{note}\n" for note in self.notes])


def show(cell: Cell) -> str:
    """A cell as text; log likelihoods and estimates keep their digits, times three significant ones."""
    if cell is None:
        return "–"
    if not isinstance(cell, float):
        return str(cell).replace("|", "\\|")
    if cell == 0 or 1e-3 <= abs(cell) < 1e3:
        return f"{cell:.3g}"
    return f"{cell:.2e}" if abs(cell) < 1e-3 else f"{cell:,.0f}"


def save(folder: Path, stem: str, about: dict[str, Any], case: str, tables: list[Table], load: float) -> Path:
    """Write ``stem.json`` and ``stem.md``; cases other than this one keep their earlier tables."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / f"{stem}.json"
    kept: dict[str, Any] = json.loads(store.read_text())["cases"] if store.exists() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept[case] = {
        "measured": now,
        "load": load,
        "versions": about["versions"],
        "tables": [asdict(table) for table in tables],
    }
    store.write_text(json.dumps({"machine": about, "cases": kept}, indent=1) + "\n")
    page = folder / f"{stem}.md"
    page.write_text(render(about, kept))
    return page


def render(about: dict[str, Any], cases: dict[str, Any]) -> str:
    """The markdown page of all cases."""
    device = about["accelerator"] or about["processor"]
    lines = [f"# Benchmarks on {device}", ""]
    lines.append(
        f"Processor: {about['processor']}, {about['cores']} cores. Accelerator: {about['accelerator'] or 'none'}."
    )
    lines.append("How each number is made: [../README.md](../README.md).")
    for name, case in cases.items():
        versions = ", ".join(f"{package} {number}" for package, number in case["versions"].items())
        lines += ["", f"## {name}", "", f"Measured {case['measured']} with {versions}."]
        lines += [f"Load of the machine before the run: {case['load']:.1f}.", ""]
        lines += [Table(**table).markdown() for table in case["tables"]]
    return "\n".join(lines).rstrip() + "\n"
