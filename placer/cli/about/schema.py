"""``placer schema``: the JSON schema of a document, for editors that complete and check while one types."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.terminal import Terminal


class Document(StrEnum):
    """Documents that have a schema."""

    INVENTORY = "inventory"
    PLAN = "plan"
    SCENARIO = "scenario"
    COMPARISON = "comparison"


def schema(
    terminal: Terminal,
    document: Annotated[Document, typer.Argument(metavar="DOCUMENT", help="inventory, plan, scenario or comparison.")],
) -> Answer:
    """Print the JSON schema of a document."""
    from placer.read.documents.published import published_schema

    found = published_schema(document.value)
    return Answer(data=lambda: found, text=json.dumps(found, indent=2) + "\n")
