"""What a lint rule says: its name, of which VM or host, what is unwise, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One remark. `subject` is a VM or a host by name; `rule` is the name of the rule, for filters and documents."""

    rule: str
    subject: str
    message: str
    cure: str

    def __str__(self) -> str:
        """Return the remark on one line, control characters made visible."""
        text = f"{self.rule}: {self.subject}: {self.message}; {self.cure}"
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
