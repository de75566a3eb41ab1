"""Who may ask the explorer: our own page with the token, and nobody else, whatever is asked for."""

from __future__ import annotations

import pytest

from placer.serve.guard import HEADERS
from tests.serve.conftest import PORT, TOKEN, Explorer

PATHS = ("/", "/assets/map.js", "/api/fleet", "/api/host?at=0", "/api/vm?at=0", "/download/plan.zip", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_everything_is_refused(explorer: Explorer, path: str) -> None:
    """No token, a wrong one, one that is only the beginning: 403, and nothing of what is there."""
    for token in (None, "", "wrong", TOKEN[:-1], TOKEN + "x"):
        refused = explorer.ask(path, token=token)
        assert refused.status_code == 403 and "h1" not in refused.text
    assert explorer.ask(path).status_code == (404 if path == "/nowhere" else 200)


def test_the_token_may_stand_in_the_address(explorer: Explorer) -> None:
    """A link that is clicked brings no header: the address has the token."""
    assert explorer.ask(f"/?token={TOKEN}", token=None).status_code == 200
    assert explorer.ask("/?token=wrong", token=None).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_origins_are_refused_even_with_the_token(explorer: Explorer, headers: dict[str, str]) -> None:
    """A page elsewhere, or of another server on this machine, is refused whatever it brings, reading and asking."""
    assert explorer.ask("/api/fleet", headers=headers).status_code == 403
    assert explorer.ask("/api/solve", method="POST", headers=headers, data={}).status_code == 403
    assert explorer.ask("/api/solve").json()["state"] == "idle"


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""])
def test_a_name_that_points_here_is_refused(explorer: Explorer, host: str) -> None:
    """A name of somebody's own that resolves to this machine is not ours."""
    assert explorer.ask("/api/fleet", host=host).status_code == 403


def test_our_own_page_is_let_in(explorer: Explorer) -> None:
    """What a browser says of our own page is accepted, by either name of this machine."""
    for host in (f"127.0.0.1:{PORT}", f"localhost:{PORT}"):
        headers = {"origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert explorer.ask("/api/fleet", host=host, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/assets/serve.js", "/api/fleet", "/api/host?at=99", "/nowhere"])
def test_every_answer_has_the_policy(explorer: Explorer, path: str) -> None:
    """Pages, data, faults and refusals alike: no script but ours, no frame, no guessing of types, nothing kept."""
    for token in (TOKEN, None):
        got = explorer.ask(path, token=token).headers
        assert {name: got[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]
