"""The page as on a Space: built with its login, and what one pushes and loads is with the login's token."""

import base64
import hashlib
import json
import time

import pytest
from loopback_hub import running_hub
from serving import CHROMIUM, READY, serving

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytest.importorskip("authlib")
signing = pytest.importorskip("itsdangerous")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TOKEN, SECRET = "hf_thetokenofthelogin", "of the Space"
USER = {"name": "Alice", "preferred_username": "alice", "profile": "", "picture": ""}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        hub.users = {TOKEN: "alice"}
        yield hub


@pytest.fixture(scope="module")
def address(hub, tmp_path_factory):
    environment = {
        "SYSTEM": "spaces", "SPACE_ID": "alice/space", "OAUTH_CLIENT_ID": "ours", "OAUTH_CLIENT_SECRET": SECRET,
        "OAUTH_SCOPES": "openid profile write-repos manage-repos", "OPENID_PROVIDER_URL": hub.url,
        "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*", "no_proxy": "*",
        "HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SSR_MODE": "False",
    }  # fmt: skip
    with serving(environment=environment) as address:
        yield address


def session(login):
    """The cookie that Gradio gives to one who has logged in."""
    key = hashlib.sha256((SECRET + "-v4").encode()).hexdigest()
    data = base64.b64encode(json.dumps({"oauth_info": login} if login else {}).encode())
    return "session=" + signing.TimestampSigner(key).sign(data).decode()


def visit(browser, address, login):
    page = browser.new_context(extra_http_headers={"Cookie": session(login)}).new_page()
    page.goto(address)
    page.wait_for_selector(READY, timeout=30_000)
    page.get_by_role("tab", name="Keep").click()
    return page


def push(page, repo):
    page.locator("#lv-repo input, #lv-repo textarea").first.fill(repo)
    page.locator("#lv-private input").set_checked(True)
    page.locator("#lv-push").click()


def test_the_login_is_there_and_its_token_pushes_and_loads_what_is_private(browser, address, hub):
    login = {"access_token": TOKEN, "scope": "write-repos", "expires_at": int(time.time()) + 3600, "userinfo": USER}
    page = visit(browser, address, login)
    assert "alice" in page.locator("#lv-login").inner_text().lower()  # "Logout (alice)"
    push(page, "alice/from-the-space")
    page.locator("#lv-pushed a").wait_for(timeout=120_000)
    assert "model.safetensors" in hub.files("alice/from-the-space")
    assert hub.repos["models/alice/from-the-space"].private
    assert TOKEN not in page.content() + address.log.read_text()
    page.locator("#lv-name input, #lv-name textarea").first.fill("alice/from-the-space")
    page.locator("#lv-load").click()
    page.locator(".lv-title", has_text="alice/from-the-space").wait_for(timeout=60_000)
    page.context.close()


def test_without_a_login_or_with_one_that_has_ended_nothing_is_pushed(browser, address, hub):
    ended = {"access_token": TOKEN, "scope": "", "expires_at": int(time.time()) - 10, "userinfo": USER}
    for login in (None, ended):
        page = visit(browser, address, login)
        assert "sign in" in page.locator("#lv-login").inner_text().lower()
        push(page, "alice/nothing")
        page.get_by_text("A token of yours is needed").first.wait_for(timeout=30_000)
        page.context.close()
    assert "models/alice/nothing" not in hub.repos
