"""The page for people, in a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess

import pytest

from harness.control import Control
from harness.daemon import Service
from harness.peers import closed_port
from harness.ports import free_port
from harness.waiting import deadline_scale, wait_for

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = """<img src=x onerror="document.title='pwned'">"""


@pytest.fixture
def page(controlled, to_redis):
    """A daemon with a good service and a bad one of a hostile name; returns its status port."""
    port = free_port()
    nowhere = [f"localhost:{closed_port()}" for _ in range(2)]
    bad = Service(HOSTILE, connect=nowhere, verifyChain="no")
    daemon, control = controlled(
        to_redis(), bad, globals={"statusListen": f"127.0.0.1:{port}"}
    )
    daemon.redis().ping()
    with daemon.connect(HOSTILE) as client:
        client.drain()
    wait_for(lambda: control.service(HOSTILE)["state"] == "down", "the bad service is down")
    return Control(port)


def test_policy_allows_what_is_on_the_page_and_nothing_else(page):
    answer = page.ask("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.strip().split(" ", 1)
        for part in answer.headers["content-security-policy"].split(";")
    )
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["frame-ancestors"] == "'none'"


def test_page_needs_nothing_from_elsewhere(page):
    text = page.ask("/").text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"\son\w+\s*=", text)  # handlers as attributes
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", text)


@pytest.mark.heavy
@pytest.mark.skipif(not BROWSER, reason="there is no chromium")
def test_page_in_a_browser(page, tmp_path):
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--dump-dom",
        f"http://127.0.0.1:{page.where}/",
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=50 * deadline_scale(), check=False
    )
    dom = result.stdout
    assert "CONSOLE" not in result.stderr, result.stderr  # nothing was refused, nothing failed
    assert "data-shown=" in dom
    assert "<title>cachetunnel</title>" in dom
    # The hostile name is text.
    assert "&lt;img src=x onerror=" in dom
    assert "<img" not in dom
    assert re.search(r'<li class="up"[^>]*><span[^>]*>listener</span>', dom)
    assert re.search(r'<li class="down"[^>]*><span[^>]*>connect</span>', dom)
    assert "Connection refused" in dom
    assert re.search(r'<span class="badge down">down</span> localhost:\d+, 0 tunnels, since', dom)
    assert "<polyline points=" in dom
