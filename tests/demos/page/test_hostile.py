"""What strangers send to the running page, by its own routes: refused in words, and the page goes on."""

import io
import json
import urllib.error
import urllib.request
import uuid

import numpy as np
import pytest
from PIL import Image
from serving import CHROMIUM, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False)


def post(address, path, body=None, kind="application/json"):
    """Status and text of an answer."""
    request = urllib.request.Request(address + path, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def upload(address, name, data):
    """Upload a file, as a browser would; the status, and where it was put."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
    return post(address, "gradio_api/upload", body, f"multipart/form-data; boundary={mark}")


def png(width, height, mode="1"):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


def noise():
    """A picture of 64 x 64 that does not compress."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(file, "PNG")
    return file.getvalue()


def gif_bomb():
    """A header that claims 65,535 x 65,535 pixels."""
    size = b"\xff\xff\xff\xff"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + size + b"\0\x02\x02D\x01\0;"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("huge.png", png(10_000, 10_000), "10000 x 10000 pixels"),  # 100 megapixels in a few kilobytes
        ("bomb.png", png(30_000, 30_000), "cannot be read|pixels"),
        ("bomb.gif", gif_bomb(), "cannot be read|pixels"),
        ("cut.png", noise()[:2000], "cannot be read"),
        ("words.png", b"no picture", "cannot be read"),
        ("none.png", b"", "cannot be read"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "cannot be read"),
        ("code.py", b"import os", "cannot be read"),
        ("black.png", png(28, 28), "nothing on this picture"),
    ],
)
def test_uploads_that_are_no_pictures_are_refused(address, client, tmp_path, name, data, message):
    from gradio_client import handle_file

    (tmp_path / name).write_bytes(data)
    with pytest.raises(Exception, match=message):
        client.predict(picture=handle_file(tmp_path / name), api_name="/place")
    assert client.predict(points=[[0, 0]], api_name="/render")["images"]["count"] == 1  # it goes on


def test_an_upload_lands_where_uploads_do_whatever_it_is_called(address):
    for name in ("../../../../tmp/latent-vizae-evil.png", "/etc/latent-vizae-evil.png", "..", "a" * 5000 + ".png"):
        status, told = upload(address, name, png(28, 28))
        if status == 200:
            (where,) = json.loads(told)
            assert "/gradio/" in where
            assert ".." not in where
            assert len(where.rsplit("/", 1)[1]) < 256
        else:
            assert 400 <= status < 500 or "Traceback" not in told


def test_an_upload_of_more_than_64_megabytes_is_refused(address):
    status, told = upload(address, "large.npy", b"\0" * (65 * 2**20))
    assert status == 413, told[:200]


def placed(address, picture):
    """What /place answers to a picture said in JSON."""
    status, told = post(address, "gradio_api/call/place", json.dumps({"data": [picture, ""]}).encode())
    return told if status != 200 else post(address, "gradio_api/call/place/" + json.loads(told)["event_id"])[1]


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {"meta": {}}, {}])
@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "PICTURE", "../../etc/passwd", "", "/"])
def test_a_file_that_was_not_uploaded_is_no_picture_to_place(address, tmp_path, path, meta):
    (tmp_path / "secret.png").write_bytes(noise())
    told = placed(address, {"path": path.replace("PICTURE", str(tmp_path / "secret.png")), **meta})
    assert "event: error" in told or "detail" in told
    assert "root:" not in told
    assert "image" not in told


def test_an_upload_is_a_picture_to_place(address):
    (where,) = json.loads(upload(address, "noise.png", noise())[1])
    for meta in ({"meta": {"_type": "gradio.FileData"}}, {}):
        assert '"image"' in placed(address, {"path": where, **meta})


@pytest.mark.parametrize("route", ["gradio_api/file=", "file=", "gradio_api/file/", "gradio_api/stream/"])
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "OURS",
        "/proc/self/environ", "file:///etc/passwd", "http://127.0.0.1:1/x",
    ],
)  # fmt: skip
def test_files_outside_of_what_was_made_are_not_served(address, route, path):
    from latent_vizae.demos.page.firsts import DIGITS as START

    status, told = post(address, route + path.replace("OURS", str(START / "config.json")))
    assert status in (400, 403, 404, 405, 422) or told[:200].lower().lstrip().startswith("<!doctype html")  # the page
    assert "root:" not in told
    assert "PATH=" not in told
    assert '"source": "mnist"' not in told


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("render", None),
        ("render", "x"),
        ("render", ["x", [[0, 0]], None, 4, 5]),
        ("render", ["START", [[10**400, 0]], None]),
        ("render", ["START", [[0, 0]] * 65, None]),
        ("render", ["START", [[[[[0]]]]], None]),
        ("grid", ["START", {"box": [[0, 0], [1, 1]]}, 10**9, 10**9, None]),
        ("grid", ["START", {"box": [[0, 0], [1, 1]]}, 10**400, 3, None]),
        ("grid", ["START", {"polygon": [[0, 0]] * 10_000}, 3, 3, None]),
        ("path", ["START", [[0, 0], [1, 1]], 10**9, None]),
        ("layer", ["START", {"__class__": 1}]),
        ("layer", ["START", ["support"]]),
        ("thumbs", ["START", [10**400]]),
        ("thumbs", ["START", list(range(65))]),
        ("drawn", ["START", {"pixels": "A" * 10**6}]),
        ("drawn", ["START", "pixels"]),
        ("describe", "../../etc/passwd"),
        ("describe", {"a": 1}),
    ],
)
def test_calls_of_the_map_that_make_no_sense_are_answered_in_words(address, name, data):
    config = json.loads(urllib.request.urlopen(address + "config").read())
    component = next(c for c in config["components"] if c["props"].get("elem_id") == "lv")
    text = json.dumps(
        {"data": data, "component_id": component["id"], "fn_name": name, "session_hash": "stranger"}
    ).replace("START", component["props"]["value"]["id"])
    status, told = post(address, "gradio_api/component_server", text.encode())
    assert status == 200
    assert json.loads(told)["error"].endswith((".", "?"))
    for other in ("__init__", "get", "pin", "_maps"):  # only what the page offers can be called
        asked = text.replace(f'"fn_name": "{name}"', f'"fn_name": "{other}"')
        assert post(address, "gradio_api/component_server", asked.encode())[0] >= 400


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_codes_that_are_pickled_are_told_of_and_not_opened(browser, address, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "opened"), "w")

    np.save(tmp_path / "codes.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with visiting(browser, address) as page:
        page.get_by_role("tab", name="Fit a map").click()
        page.locator("#lv-source input").click()
        page.get_by_role("option", name="codes in a file").click()
        page.locator("#lv-codes input[type=file]").set_input_files(tmp_path / "codes.npy")
        page.locator("#lv-codes .file-preview, #lv-codes .file").first.wait_for()
        page.locator("#lv-fit").click()
        page.locator("#lv-fitted", has_text="No map was fitted").wait_for(timeout=60_000)
        words = page.locator("#lv-fitted").inner_text()
        assert "codes.npy" in words
        assert "/" not in words  # no path of the server
    assert not (tmp_path / "opened").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_page_asks_nobody_else_for_anything(browser, address):
    asked = []
    context = browser.new_context()
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector('[data-state="ready"]', timeout=30_000)
    page.wait_for_timeout(1000)
    context.close()
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
