"""Maps and generators of the Hub on the page, against a hub on this machine: push, load, fit; tokens stay secret."""

import re

import numpy as np
import pytest
from loopback_hub import running_hub
from PIL import Image
from serving import CHROMIUM, READY, hover, pixels, serving, visiting

from latent_vizae import VizAE, discover_directions
from latent_vizae.demos.page.firsts import DIGITS as START

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TOKEN = "hf_secretofalicethatnobodymaysee"
OURS = "hf_secretoftheonewhoruns"
KL = b'{"_class_name": "AutoencoderKL"}'


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        hub.users = {TOKEN: "alice", OURS: "owner"}
        yield hub


@pytest.fixture(scope="module")
def address(hub, tmp_path_factory):
    """A page that knows this hub; who runs it is logged in there."""
    environment = {
        "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*", "no_proxy": "*",
        "HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": OURS,
    }  # fmt: skip
    with serving(environment=environment) as address:
        yield address


def field(page, name):
    return page.locator(f"#{name} input, #{name} textarea").first


def push(page, repo, token, private=True):
    page.get_by_role("tab", name="Keep").click()
    field(page, "lv-repo").fill(repo)
    field(page, "lv-token").fill(token)
    page.locator("#lv-private input").set_checked(private)
    page.locator("#lv-push").click()


def load(page, name):
    page.get_by_role("tab", name="Keep").click()
    field(page, "lv-name").fill(name)
    page.locator("#lv-load").click()


def whole_page(page):
    """All that the document holds, values of fields and what is stored included."""
    return page.evaluate(
        """() => document.documentElement.outerHTML
        + JSON.stringify([...document.querySelectorAll('input, textarea')].map(field => field.value))
        + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"""
    )


def test_a_map_is_pushed_with_ones_own_token_which_is_nowhere_afterwards_and_loaded_again(
    browser, address, hub, tmp_path
):
    with visiting(browser, address) as page:
        urls = []
        page.on("request", lambda request: urls.append(request.url))
        push(page, "alice/digits", TOKEN, private=False)
        page.locator("#lv-pushed a").wait_for(timeout=120_000)
        assert "alice/digits" in page.locator("#lv-pushed a").get_attribute("href")
        assert field(page, "lv-token").input_value() == ""
        assert field(page, "lv-token").get_attribute("type") == "password"
        assert TOKEN not in whole_page(page)
        assert not [url for url in urls if TOKEN in url]
        assert TOKEN not in address.log.read_text()
        files = hub.files("alice/digits")
        assert {"model.safetensors", "config.json", "README.md", "certificate.json", "grid.png"} <= set(files)
        assert not [name for name, data in files.items() if TOKEN.encode() in data or OURS.encode() in data]
        assert all(
            request.authorized
            for request in hub.requests
            if request.method in ("POST", "PUT") and "digits" in request.path
        )
    (tmp_path / "v").mkdir()
    for name, data in files.items():
        (tmp_path / "v" / name).write_bytes(data)
    assert len(VizAE.from_pretrained(tmp_path / "v").points) == 2000

    with visiting(browser, address) as page:
        first = page.locator(".lv-map canvas").first
        load(page, "alice/digits")
        page.locator(".lv-title", has_text="alice/digits").wait_for(timeout=60_000)
        page.wait_for_selector(READY)
        hover(page, 0.4, 0.5)
        assert pixels(page, ".lv-preview canvas")[..., :3].max() > 200
        assert len({tuple(colour) for colour in pixels(page, ".lv-map canvas").reshape(-1, 4)[:, :3]}) > 20
        assert page.locator(".lv-legend button[data-label]").count() == 10
        page.get_by_role("tab", name="Trust").click()
        page.get_by_text("cannot hold").first.wait_for(timeout=60_000)
        assert first.is_visible()
        page.wait_for_function("location.hash.includes('map=alice/digits')")  # by its name on the Hub
        page.reload()
        page.locator(".lv-title", has_text="alice/digits").wait_for(timeout=60_000)
        page.wait_for_selector(READY)


REFUSED_PUSHES = [
    ("alice/digits", "hf_wrongbutwellformed", "401|Invalid|credentials"),
    ("bob/digits", TOKEN, "403|rights"),
    ("../../alice", TOKEN, "called user/name"),
    ("alice/digits", "hf_with\N{SNOWMAN}snow", "A token is"),
    ("alice/digits", "hf_with two words", "A token is"),
    ("alice/digits", "hf_" + "x" * 5000, "A token is"),
]


def toasted(page):
    """What the toast says, which is closed then."""
    toast = page.locator(".toast-body").first
    toast.wait_for(timeout=120_000)
    said = toast.inner_text()
    page.locator(".toast-close").first.click()
    toast.wait_for(state="detached")
    return said


def test_a_push_that_cannot_be_is_told_in_words_without_the_token(browser, address):
    with visiting(browser, address) as page:
        for repo, token, message in REFUSED_PUSHES:
            push(page, repo, token)
            said = toasted(page)
            assert re.search(message, said), repo
            assert token not in said
            assert token not in address.log.read_text()


NO_MAPS = [
    ("alice/nothing", False, None, "404|not found|Repository"),
    ("owner/secret", True, {"config.json": b"{}"}, "404|not found|Repository"),  # not even with the owner's login
    ("alice/pickles", False, {"pytorch_model.bin": b"\x80\x04.", "config.json": b"{}"}, "model.safetensors"),
    ("alice/words", False, {"model.safetensors": b"words", "config.json": b"{}"}, "."),
]


def test_what_is_no_map_is_told_in_words(browser, address, hub):
    before = len(hub.requests)
    with visiting(browser, address) as page:
        for name, private, files, message in NO_MAPS:
            if files is not None:
                hub.add_repo(name, files, private=private)
            load(page, name)
            said = toasted(page)
            assert re.search(message, said), name
            assert "Traceback" not in said
            assert page.locator(".lv-title").inner_text() == "2,000 handwritten digits"  # what was there stays
    assert not [request.path for request in hub.requests[before:] if request.path.endswith(".bin")]


def folder_of(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_stranger_gets_nothing_private_that_others_have_loaded(hub, f_d, tmp_path):
    f_d.autoencoder.save_pretrained(tmp_path / "f")
    hub.add_repo("alice/own-map", folder_of(START), private=True)
    hub.add_repo("alice/own-generator", folder_of(tmp_path / "f"), private=True)
    code = f"""
from latent_vizae import load_decoder
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.jobs import load_map
decoders, own = Decoders(), "hub:alice/own-generator"
def tried(call, *arguments):
    try:
        print(type(call(*arguments)).__name__)
    except Exception as error:
        print(type(error).__name__)
tried(load_map, decoders, "alice/own-map", {TOKEN!r})
tried(load_map, decoders, "alice/own-map", False)
tried(load_map, decoders, "alice/own-map", {OURS!r})
source = load_decoder(own, token={TOKEN!r}).source  # of alice's own accord, on the same machine
tried(decoders.get, own)
tried(decoders.get, source)
"""
    done = hub.run(code, token=OURS)
    assert done.stdout.split() == ["FittedMap", *["RepositoryNotFoundError"] * 4], done.stderr
    done = hub.run(code, offline=True)  # then nobody can say who may have it
    assert done.stdout.split() == ["OfflineModeIsEnabled"] * 5, done.stderr


def test_what_is_larger_than_the_page_takes_is_not_downloaded(hub, f_d, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    f_d.autoencoder.save_pretrained(tmp_path / "f")
    diffusers.AutoencoderTiny().save_pretrained(tmp_path / "tiny")
    for name, folder in (("map", START), ("f", tmp_path / "f"), ("tiny", tmp_path / "tiny")):
        hub.add_repo(f"alice/large-{name}", folder_of(folder))
    before = len(hub.requests)
    code = """
from latent_vizae.demos.page import hub, jobs
hub.MOST_BYTES, decoders = 10_000, hub.Decoders()
for call in (lambda: jobs.load_map(decoders, "alice/large-map"), lambda: decoders.get("hub:alice/large-f"),
             lambda: decoders.get("diffusers:alice/large-tiny")):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = hub.run(code)
    told = done.stdout.splitlines()
    assert len(told) == 3, done.stderr
    assert all(re.search(r"ValueError .* bytes to download, more than most_bytes=10,000\.", line) for line in told)
    assert not [request.path for request in hub.requests[before:] if request.path.endswith(".safetensors")]


def test_directions_of_the_hub_come_with_their_sliders_and_what_is_none_is_told_in_words(
    browser, address, hub, f_d, tmp_path
):
    codes, _ = f_d.examples(count=40)
    found = discover_directions(f_d, codes, method="codes", n_directions=2, measured=2)
    found.save_pretrained(tmp_path / "found")
    hub.add_repo("alice/directions", folder_of(tmp_path / "found"))
    hub.add_repo("alice/no-directions", {"model.safetensors": b"words", "config.json": b"{}"})
    with visiting(browser, address) as page:
        page.get_by_role("tab", name="Directions").click()
        for name, message in (("/etc/passwd", "user/name"), ("alice/no-directions", ".")):
            field(page, "lv-directions-name").fill(name)
            page.locator("#lv-directions-load").click()
            page.locator(".toast-body", has_text=message).first.wait_for(timeout=60_000)
            assert not page.locator(".lv-directions").is_visible()
        field(page, "lv-directions-name").fill("alice/directions")
        page.locator("#lv-directions-load").click()
        page.locator(".lv-slider").nth(1).wait_for(timeout=60_000)
        page.get_by_text("Where one step along global 0 leads").wait_for()
        page.get_by_text("Directions of alice/directions").wait_for()


def fill_in(page, decoder, source, size="16", count="12"):
    page.get_by_role("tab", name="Fit a map").click()
    field(page, "lv-decoder").fill(decoder)
    if decoder.startswith("diffusers:"):
        field(page, "lv-size").fill(size)
    else:
        assert not page.locator("#lv-size").is_visible()
    page.locator("#lv-source input").click()
    page.get_by_role("option", name=source).click()
    field(page, "lv-count").fill(count)
    field(page, "lv-count").press("Tab")


def test_a_checkpoint_of_the_hub_is_loaded_and_fitted_to_uploaded_pictures(browser, address, hub, f_d, tmp_path):
    f_d.autoencoder.save_pretrained(tmp_path / "f")
    hub.add_repo("alice/zoo", folder_of(tmp_path / "f"))
    digits = (f_d.images()[0][:12, 0] * 255).byte().numpy()
    for n, digit in enumerate(digits):
        Image.fromarray(digit).save(tmp_path / f"{n:02}.png")
    hub.stalled = "model.safetensors"
    hub.released.clear()
    with visiting(browser, address) as page:
        fill_in(page, "hub:alice/zoo", "pictures")
        page.locator("#lv-codes input[type=file]").set_input_files(sorted(tmp_path.glob("*.png")))
        page.locator("#lv-codes .file-preview tr, #lv-codes .file").nth(11).wait_for()
        page.locator("#lv-fit").click()
        try:
            page.get_by_text("load the decoder").first.wait_for(timeout=30_000)  # what it is at
        finally:
            hub.stalled = ""
            hub.released.set()
        page.locator(".lv-title", has_text="12 pictures, encoded by hub:alice/zoo").wait_for(timeout=120_000)
        hover(page, 0.5, 0.5)
        assert pixels(page, ".lv-preview canvas")[..., :3].max() > 150


def test_a_diffusers_autoencoder_is_loaded_and_fitted_to_samples_of_its_prior(browser, address, hub, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    )  # fmt: skip
    tiny.save_pretrained(tmp_path / "tiny")
    hub.add_repo("alice/tiny", folder_of(tmp_path / "tiny"))
    with visiting(browser, address) as page:
        fill_in(page, "diffusers:alice/tiny", "samples of its prior")
        page.locator("#lv-fit").click()
        page.locator(".lv-title", has_text="12 draws of the prior of diffusers:alice/tiny").wait_for(timeout=120_000)
        hover(page, 0.5, 0.5)
        first = pixels(page, ".lv-preview canvas")
        hover(page, 0.8, 0.3)
        assert np.abs(pixels(page, ".lv-preview canvas") - first).max() > 10
        assert page.evaluate("document.querySelector('.lv-preview canvas').width") == 16
        assert page.locator(".lv-legend button").count() == 0
        assert not page.locator(".lv-draw").is_visible()  # no pad for pictures in colour


NO_GENERATORS = [
    ("hub:alice/a", {"pytorch_model.bin": b"\x80\x04."}, "pickle|safetensors"),
    ("hub:alice/b", {"pytorch_model.bin": b"\x80\x04.", "config.json": b"{}"}, "safetensors"),
    ("hub:alice/c", {"model.py": b"import os", "config.json": b'{"architecture": "os.system"}'}, "safetensors"),
    ("diffusers:alice/d", {"pytorch_model.bin": b"\x80\x04."}, "No autoencoder"),
    ("diffusers:alice/e", {"diffusion_pytorch_model.bin": b"\x80\x04.", "config.json": KL}, "safetensors"),
    ("diffusers:alice/f", {"model.py": b"import os", "config.json": b'{"_class_name": "os.system"}'}, "os.system"),
]


def test_generators_that_are_pickles_or_code_are_never_fetched(browser, address, hub):
    before = len(hub.requests)
    with visiting(browser, address) as page:
        for name, files, message in NO_GENERATORS:
            hub.add_repo(name.partition(":")[2], files)
            fill_in(page, name, "samples of its prior")
            page.locator("#lv-fit").click()
            words = page.locator("#lv-fitted", has_text=re.compile(f"No map was fitted.*({message})", re.DOTALL))
            words.wait_for(timeout=60_000)
            page.wait_for_function("!document.querySelector('#lv-fit').disabled")
            page.locator("#lv-decoder input, #lv-decoder textarea").first.fill("")
    fetched = [request.path for request in hub.requests[before:] if request.method == "GET"]
    assert not [path for path in fetched if path.endswith((".bin", ".py"))]
