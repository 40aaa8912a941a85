"""What a link to the page shows elsewhere: our title, words and picture, and none of Gradio's."""

import io
import re
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from latent_vizae import LatentMap, fit
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.preview import LinkPreview, map_picture

PAGE = """<html><head><meta charset="utf-8" /><meta property="og:title" content="Gradio" />
<meta
  property="og:image"
  content="https://elsewhere/x.jpg"
/><meta name="twitter:creator" content="@Gradio" /><title>A</title></head><body>é</body></html>"""


@pytest.fixture
def client():
    routes = [Route("/", lambda _: HTMLResponse(PAGE)), Route("/text", lambda _: PlainTextResponse("<head>"))]
    return TestClient(LinkPreview(Starlette(routes=routes), 'A "map"', "of <digits>"), base_url="http://here")


def test_our_tags_take_the_place_of_the_others(client):
    told = client.get("/", headers={"x-forwarded-proto": "https", "x-forwarded-host": "user.space"})
    assert "Gradio" not in told.text
    assert "elsewhere" not in told.text
    assert '<meta property="og:title" content="A &quot;map&quot;">' in told.text
    assert 'content="of &lt;digits&gt;"' in told.text
    assert '<meta property="og:image" content="https://user.space/latent-map/preview.jpg">' in told.text
    assert told.text.endswith("<title>A</title></head><body>é</body></html>")
    assert 'content="http://here/latent-map/preview.jpg"' in client.get("/").text
    assert client.get("/text").text == "<head>"
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_picture_is_a_map_in_images(f_d, dim):
    codes, _ = f_d.examples(count=30)
    m = LatentMap(fit(codes, f_d, dim=dim), f_d)
    with Image.open(io.BytesIO(map_picture(FittedMap("", m, codes, None, "")))) as picture:
        assert picture.size == (1200, 600)
        shown = np.asarray(picture.convert("L")).astype(float)
    first = m.render(torch.tensor([[-11 / 12, 5 / 12, 0.0][:dim]]) if dim > 1 else torch.tensor([[-1.0]]))
    wanted = torch.nn.functional.interpolate(first, (100, 100), mode="bilinear", antialias=True)[0, 0] * 255
    assert np.abs(shown[:100, :100] - wanted.numpy()).mean() < 8


def test_the_page_itself(address):
    page = urllib.request.urlopen(address).read().decode()
    assert re.findall(r'og:title" content="([^"]*)', page) == ["latent_vizae: a map one can touch"]
    (picture,) = re.findall(r'og:image" content="([^"]*)', page)
    assert picture == f"{address}latent-map/preview.jpg"
    answer = urllib.request.urlopen(picture)
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.read())).size == (1200, 600)
