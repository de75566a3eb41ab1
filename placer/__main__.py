"""``python -m placer`` is the command ``placer``."""

from __future__ import annotations

import sys

from placer.cli.app import main

sys.exit(main())
