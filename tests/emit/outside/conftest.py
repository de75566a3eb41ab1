"""What other people's tools say of the files that placer writes: skipped where ``make platforms`` was not run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--require-platforms``, which CI gives."""
    parser.addoption("--require-platforms", action="store_true", help="fail, do not skip, where a tool is missing")


@pytest.fixture
def tool(request: pytest.FixtureRequest, repository: Path) -> Callable[[str], Path]:
    """Return a finder of what `make platforms` brings, by its path below .venv."""

    def tool(name: str) -> Path:
        path = repository / ".venv" / name
        if not path.exists():
            if request.config.getoption("--require-platforms", default=False):
                pytest.fail(f"no {name} here: make platforms", pytrace=False)
            pytest.skip(f"no {name} here: make platforms")
        return path

    return tool


@pytest.fixture
def typed(tool: Callable[[str], Path], tmp_path: Path) -> Callable[..., str]:
    """Return a compiler of TypeScript, which returns what does not fit; types are below node_modules or aliases."""

    def typed(source: str, **aliases: str) -> str:
        modules = tool("platforms/node_modules")
        (tmp_path / "plan.ts").write_text(source)
        paths = "".join(f'"{name}": ["{path}"], ' for name, path in aliases.items())
        config = '{"compilerOptions": {"strict": true, "noEmit": true, "skipLibCheck": true, "types": [],'
        config += f' "module": "esnext", "moduleResolution": "bundler", "paths": {{{paths}"*": ["{modules}/*"]}}}},'
        (tmp_path / "tsconfig.json").write_text(config + ' "files": ["plan.ts"]}')
        done = subprocess.run(
            ["node", modules / "typescript/lib/tsc.js", "-p", tmp_path], capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (done.stdout == ""), done.stderr
        return done.stdout

    return typed
