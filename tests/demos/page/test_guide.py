"""The guide that the page links to."""

import re

import pytest
from serving import CHROMIUM, is_here, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from starlette.applications import Starlette
from starlette.testclient import TestClient

from latent_vizae.demos.page.guide import FOLDER, guide_routes


@pytest.fixture(scope="module")
def client():
    return TestClient(Starlette(routes=guide_routes()))


def test_every_page_and_every_link_between_them_works(client):
    names = {file.name for file in FOLDER.glob("*.md")}
    assert client.get("/latent-map/guide/").url.path == "/latent-map/guide/README.md"
    for name in names:
        page = client.get(f"/latent-map/guide/{name}")
        assert page.status_code == 200
        assert "<h1>" in page.text
        assert "<img" not in page.text
        for link in re.findall(r'href="([^"#]+)', page.text):
            assert link in names or link.startswith("http"), (name, link)


@pytest.mark.parametrize(
    "name", ["nowhere.md", "..%2F..%2Fpyproject.toml", "../README.md", "extra.css", "%2Fetc%2Fpasswd"]
)
def test_nothing_else_is_served(client, name):
    assert client.get(f"/latent-map/guide/{name}").status_code == 404


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_page_links_to_it(browser, address):
    with visiting(browser, address) as page:
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Guide").click()
        opened.value.get_by_role("heading", name="Get started").wait_for()
        assert is_here(opened.value.url)
