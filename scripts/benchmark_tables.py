"""Copy the result tables of benchmarks/README.md into docs/explanation/engines.md; takes no arguments."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "benchmarks/README.md"
PAGE = REPOSITORY / "docs/explanation/engines.md"
BEGIN = "<!-- tables of benchmarks/README.md: begin -->\n"
END = "<!-- tables of benchmarks/README.md: end -->\n"


def result_sections(text: str) -> list[str]:
    """Return the sections of results that hold a table, each with its heading and its words."""
    results = re.search(r"^## Results\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if results is None:
        raise SystemExit(f"{SOURCE} has no section Results")
    sections = re.split(r"^(?=### )", results[1], flags=re.MULTILINE)
    return [section.strip() for section in sections if section.startswith("### ") and "\n|" in section]


def page(text: str, source: str) -> str:
    """Return the page with the tables of the source between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has not both marks")
    tables = "\n\n".join(result_sections(source))
    # Links of the source are relative to its own folder.
    tables = re.sub(r"\]\((?!https?:|#|/)", "](../../benchmarks/", tables)
    return f"{before}{BEGIN}\n{tables}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), SOURCE.read_text()))
