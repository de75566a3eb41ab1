"""Write the digests anew; say which changed: ``PYTHONPATH=.:tests/solvers python tests/contract/renew_answers.py``."""

from __future__ import annotations

import json

from tests.contract import answers


def main() -> None:
    """Compute every digest, name those that changed, and write them all."""
    known = json.loads(answers.DIGESTS.read_text()) if answers.DIGESTS.exists() else {}
    now = dict(answers.cases())
    for name in sorted(now.keys() | known.keys()):
        if known.get(name) != now.get(name):
            print(f"{name}: {known.get(name)} -> {now.get(name)}")
    answers.DIGESTS.write_text(json.dumps(now, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
