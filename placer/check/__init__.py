"""The referee of fleets and plans: independent of the planner and the solvers.

``placer.check(fleet, plan)`` is the public call, and ``placer.check`` this package: once a part of it is imported, the
package is what that name gives, so it can be called as its function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Check(ModuleType):
    """A package that can be called."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what `placer.check.check.check` returns."""
        from placer.check.check import check

        return check(*arguments, **named)


sys.modules[__name__].__class__ = _Check
