"""v over the Hub: the real client, in processes of its own, against a hub on this machine."""

import json
import re

import pytest
import yaml
from loopback_hub import running_hub

MADE = ["README.md", "certificate.json", "config.json", "grid.png", "map.png", "model.safetensors"]

FIT = """
import json, torch, warnings
from latent_vizae import LatentMap, VizAE, fit, load_decoder
codes, labels = load_decoder("mnist").examples(count=30)
v = fit(codes, load_decoder("mnist"), labels=labels)
def same(one, two):
    return one.config == two.config and all(torch.equal(a, two.state_dict()[n]) for n, a in one.state_dict().items())
def name_of(call, *args, **options):
    try:
        call(*args, **options)
    except Exception as error:
        return [type(error).__name__, str(error)]
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def told(hub, code, **options):
    """Runs a snippet after FIT; what it prints, as JSON."""
    done = hub.run(FIT + code, timeout=200, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(hub, pushed, tmp_path_factory):
    """A HF_HOME whose cache has that map and nothing else."""
    home = tmp_path_factory.mktemp("home")
    told(hub, 'VizAE.from_pretrained("alice/fives")\nprint(1)', home=home)
    return home


@pytest.fixture(scope="module")
def pushed(hub, tmp_path_factory):
    """One map, pushed and loaded again in the same process, by way of LFS."""
    code = """
address = LatentMap(v, load_decoder("mnist")).push_to_hub("alice/fives", licence="cc-by-sa-3.0")
again = VizAE.from_pretrained("alice/fives")
m = LatentMap.from_pretrained("alice/fives")
images = m.render(v.points[:3])
print(json.dumps([address, same(v, again), images.shape, m.decoder.source]))
"""
    place = tmp_path_factory.mktemp("pushed")
    return told(hub, code, token="hf_alice", cwd=place), place


def test_a_pushed_map_comes_back_bit_for_bit_with_its_decoder(hub, pushed):
    (address, is_same, shape, source), _ = pushed
    assert "alice/fives" in address
    assert is_same
    assert (shape, source) == ([3, 1, 28, 28], "mnist")
    files = hub.files("alice/fives")
    assert sorted(name for name in files if not name.startswith(".")) == MADE
    assert all(files[name].startswith(b"\x89PNG") for name in ("map.png", "grid.png"))
    assert json.loads(files["certificate.json"])["statements"]


def test_the_requests_are_the_hubs_and_nothing_else(hub, pushed):
    paths = [request.path for request in hub.requests]
    assert "/api/repos/create" in paths
    assert any(path.startswith("/api/models/alice/fives/commit/main") for path in paths)
    downloads = {path.rsplit("/", 1)[1] for path in paths if "/alice/fives/resolve/" in path}
    assert downloads == {"config.json", "model.safetensors"}  # a load fetches no picture and no card


def test_the_card_has_what_the_hub_reads(hub, pushed):
    text = hub.files("alice/fives")["README.md"].decode()
    _, front, body = text.split("---\n", 2)
    data = yaml.safe_load(front)
    assert (data["library_name"], data["license"]) == ("latent-vizae", "cc-by-sa-3.0")
    assert "latent-vizae" in data["tags"]
    metrics = {metric["type"]: metric["value"] for metric in data["model-index"][0]["results"][0]["metrics"]}
    assert metrics["fvu"] < 1e-4
    assert metrics["round_trip_rms"] < 0.1
    assert "![map](map.png)" in body
    assert "![grid](grid.png)" in body
    assert "**cannot hold**" in body


def test_the_cards_code_runs_as_it_stands(hub, pushed, tmp_path):
    text = hub.files("alice/fives")["README.md"].decode()
    code = text.split("```python\n")[1].split("```")[0]
    done = hub.run(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grid.png").stat().st_size > 0


def test_an_unchanged_push_makes_no_commit_and_a_pull_request_no_main_commit(hub, pushed, tmp_path):
    before = hub.repos["models/alice/fives"].log("main")
    code = """
import sys
m = LatentMap.from_pretrained("alice/fives")
v = m.v
m.push_to_hub("alice/fives", licence="cc-by-sa-3.0")
request = v.push_to_hub("alice/fives", licence="mit", create_pr=True)
branch = v.push_to_hub("alice/fives", licence="mit", revision="mine")
print(json.dumps([request, same(v, VizAE.from_pretrained("alice/fives", revision="refs/pr/1")),
                  same(v, VizAE.from_pretrained("alice/fives", revision="mine"))]))
"""
    request, *loads = told(hub, code, token="hf_alice", cwd=tmp_path)
    assert hub.repos["models/alice/fives"].log("main") == before
    assert "discussions/1" in request or "pr/1" in request
    assert loads == [True, True]


def test_a_v_alone_is_what_save_pretrained_writes_and_with_a_decoder_what_a_map_is(hub, tmp_path):
    code = """
v.source = "hub:alice/never@" + 40 * "0"  # which nobody can load
v.push_to_hub("alice/alone", licence="mit")
v.source = None
v.push_to_hub("alice/hidden", load_decoder("mnist"))
v.push_to_hub("alice/hidden")  # what it no longer shows goes
v.push_to_hub("alice/shown", load_decoder("mnist"))
print(json.dumps([same(v, VizAE.from_pretrained("alice/shown")), VizAE.from_pretrained("alice/alone").source]))
"""
    is_same, source = told(hub, code, token="hf_alice", cwd=tmp_path)
    assert is_same
    assert source == "hub:alice/never@" + 40 * "0"
    named = {
        name: sorted(file for file in hub.files(name) if not file.startswith("."))
        for name in ("alice/alone", "alice/hidden", "alice/shown")
    }
    alone = ["README.md", "config.json", "model.safetensors"]
    assert named == {"alice/alone": alone, "alice/hidden": alone, "alice/shown": MADE}
    assert "license: mit" in hub.files("alice/alone")["README.md"].decode()


def test_private_missing_and_misspelt_repositories_are_the_hubs_own_errors(hub, pushed, tmp_path):
    told(hub, 'v.push_to_hub("alice/secret", private=True)\nprint(1)', token="hf_alice", cwd=tmp_path)
    hub.add_repo("alice/empty", {"notes.txt": b"no map here"})
    load = """
print(json.dumps({name: name_of(VizAE.from_pretrained, *args, **options) for name, args, options in (
    ("private", ["alice/secret"], {}), ("missing", ["alice/five"], {}), ("empty", ["alice/empty"], {}),
    ("revision", ["alice/fives"], {"revision": "nothing"}), ("id", ["alice/fives/v"], {}), ("word", ["fives"], {}),
    ("folder", ["local"], {"revision": "main"}), ("map", ["alice/secret"], {}),
    ("token", ["alice/secret"], {"token": "hf_wrong"}), ("open", ["alice/secret"], {"token": "hf_alice"}),
)}))
"""
    found = told(hub, 'v.save_pretrained("local")\n' + load, cwd=tmp_path, home=tmp_path / "home")
    kinds = {name: outcome[0] if outcome else None for name, outcome in found.items()}
    assert kinds == {
        "private": "RepositoryNotFoundError", "missing": "RepositoryNotFoundError", "empty": "FileNotFoundError",
        "revision": "RevisionNotFoundError", "id": "FileNotFoundError", "word": "FileNotFoundError",
        "folder": "ValueError", "map": "RepositoryNotFoundError", "token": "HfHubHTTPError", "open": None,
    }  # fmt: skip
    assert "holds no v: it has no model.safetensors" in found["empty"][1]
    push = """
def never(codes):
    raise AssertionError("decoded before the Hub was asked")

m = LatentMap(v, never)
print(json.dumps([name_of(v.push_to_hub, "alice/other"), name_of(m.push_to_hub, "alice/other", token="hf_wrong"),
                  name_of(m.push_to_hub, "just a name"), name_of(m.push_to_hub, "bob/other", token="hf_alice"),
                  name_of(m.push_space_to_hub, "bob/other", token="hf_alice")]))
"""
    nobody, wrong, name, others, space = told(hub, push, cwd=tmp_path)
    assert wrong[0] == "HfHubHTTPError"
    assert nobody[0] in ("HfHubHTTPError", "LocalTokenNotFoundError", "RepositoryNotFoundError")
    assert name == ["ValueError", "A repository is called user/name, got 'just a name'."]
    assert others == space
    assert others[0] == "PermissionError"
    assert "alice has no rights to push to bob/other" in others[1]
    assert "models/alice/other" not in hub.repos


def test_what_is_in_the_cache_is_not_for_those_whom_the_hub_refuses(hub, pushed, tmp_path):
    files = hub.files("alice/fives")
    hub.add_repo("alice/own", files, private=True)
    hub.add_repo("alice/gated", files)
    hub.repos["models/alice/gated"].gated = True
    commits = {name: hub.repos[f"models/{name}"].at().sha for name in ("alice/own", "alice/gated")}
    code = f"""
print(json.dumps([name_of(VizAE.from_pretrained, name, revision=revision, token=token)
                  for name, commit in {commits}.items() for revision in (None, commit)
                  for token in ("hf_alice", False, "hf_bob", "hf_alice")]))
"""
    kinds = [outcome and outcome[0] for outcome in told(hub, code, home=tmp_path / "home")]
    private, gated = ([None, kind, kind, None] for kind in ("RepositoryNotFoundError", "GatedRepoError"))
    assert kinds == 2 * private + 2 * gated


HANGS_UP = """
import os, socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: [server.accept()[0].close() for _ in range(1000)], daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.getsockname()[1]}"
"""


@pytest.mark.parametrize("why", ["down", "no network", "hangs up"])
def test_where_the_hub_does_not_answer_the_cache_has_to_do(hub, home, tmp_path, why):
    code = """
print(json.dumps([len(VizAE.from_pretrained("alice/fives").points), name_of(VizAE.from_pretrained, "alice/other")]))
"""
    hub.down = why == "down"
    no_network = "import os\nos.environ['HF_ENDPOINT'] = 'http://127.0.0.1:1'\n"
    unplug = {"down": "", "no network": no_network, "hangs up": HANGS_UP}[why]
    try:
        done = hub.run(unplug + FIT + code, home=home, cwd=tmp_path)
    finally:
        hub.down = False
    assert done.returncode == 0, done.stderr
    points, uncached = json.loads(done.stdout)
    assert points == 30
    assert uncached[0] == "LocalEntryNotFoundError"
    reason = {"down": "50", "no network": "onnect", "hangs up": "(disconnected|reset)"}[why]
    assert re.search(f"alice/other is not in the cache, and the Hub gave no answer: .*{reason}", uncached[1])


def test_offline_a_cached_map_loads_and_another_says_so(hub, home, tmp_path):
    before = len(hub.requests)
    code = """
found = VizAE.from_pretrained("alice/fives")
print(json.dumps([len(found.points), name_of(VizAE.from_pretrained, "alice/other"),
                  name_of(v.push_to_hub, "alice/fives", token="hf_alice")]))
"""
    points, uncached, push = told(hub, code, home=home, offline=True, cwd=tmp_path)
    assert points == 30
    assert uncached[0] == "LocalEntryNotFoundError"
    assert push[0] == "OfflineModeIsEnabled"
    assert len(hub.requests) == before


def test_a_download_killed_halfway_leaves_nothing_that_loads_or_blocks(hub, pushed, tmp_path):
    commit = hub.repos["models/alice/fives"].log("main")[0].sha
    hub.stalled = f"alice/fives/resolve/{commit}/model.safetensors"
    killed = """
import os, signal, threading
threading.Timer(3, os.kill, (os.getpid(), signal.SIGKILL)).start()
from latent_vizae import VizAE
VizAE.from_pretrained("alice/fives")
"""
    home = tmp_path / "home"
    try:
        done = hub.run(killed, home=home, cwd=tmp_path)
    finally:
        hub.stalled = ""
        hub.released.set()
    assert done.returncode == -9, done.stderr
    again = 'print(json.dumps(name_of(VizAE.from_pretrained, "alice/fives")))'
    assert told(hub, again, home=home, offline=True, cwd=tmp_path)[0] in (
        "FileNotFoundError",
        "LocalEntryNotFoundError",
        "IncompleteSnapshotError",  # killed when a file had arrived
    )
    assert told(hub, again, home=home, cwd=tmp_path) is None


def test_by_way_of_xet_too(hub, pushed, tmp_path):
    pytest.importorskip("hf_xet")
    code = 'v.push_to_hub("alice/xet")\nprint(json.dumps(same(v, VizAE.from_pretrained("alice/xet"))))'
    assert told(hub, code, token="hf_alice", xet=True, cwd=tmp_path)
    assert any("xet-write-token" in request.path for request in hub.requests)


def test_a_damaged_map_of_the_hub_is_refused(hub, pushed, tmp_path):
    files = dict(hub.files("alice/fives"))
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 1
    hub.add_repo("mallory/bad", {**files, "model.safetensors": bytes(weights)})
    hub.add_repo("mallory/cut", {**files, "model.safetensors": bytes(weights[:-100])})
    code = """
print(json.dumps([name_of(VizAE.from_pretrained, "mallory/bad"), name_of(LatentMap.from_pretrained, "mallory/cut")]))
"""
    bad, cut = told(hub, code, cwd=tmp_path)
    assert bad[0] == cut[0] == "ValueError"
    assert "checksum" in bad[1]
    assert "truncated" in cut[1]


def test_the_command_line_reads_a_map_of_the_hub(hub, pushed, tmp_path):
    code = """
from latent_vizae.cli.app import app
app(["grid", "--v", "alice/fives", "--shape", "2x2", "--out", "g.png"])
"""
    done = hub.run(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g.png").stat().st_size > 0


def test_a_map_of_a_diffusers_autoencoder_brings_it_back_from_a_pipelines_subfolder(hub, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, sample_size=16, latent_channels=2, scaling_factor=0.3,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    vae.save_pretrained(tmp_path / "vae")
    index = json.dumps({"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}).encode()
    files = {f"vae/{path.name}": path.read_bytes() for path in (tmp_path / "vae").iterdir()}
    commit = hub.add_repo("alice/pipeline", {"model_index.json": index, **files, "vae/old.bin": b"a pickle"})
    code = """
f_d = load_decoder("diffusers:alice/pipeline", image_size=16)
codes = f_d.sample(12, seed=0)
v = fit(codes, f_d)
v.push_to_hub("alice/vae-map")
m = LatentMap.from_pretrained("alice/vae-map")
print(json.dumps([f_d.source, m.v.source, m.decoder.options, torch.equal(m.decoder(codes), f_d(codes))]))
"""
    source, kept, options, equal = told(hub, code, token="hf_alice", cwd=tmp_path)
    assert source == kept == f"diffusers:alice/pipeline/vae@{commit}"
    assert options["image_size"] == 16
    assert equal
    assert not any(request.path.endswith(".bin") for request in hub.requests)
    card = hub.files("alice/vae-map")["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "alice/pipeline"


def test_a_generator_of_the_zoo_travels_and_is_loaded_by_its_commit(hub, tmp_path):
    code = """
f_d = load_decoder("mnist")
f_d.autoencoder.push_to_hub("alice/table1")
again = load_decoder("hub:alice/table1")
codes, _ = f_d.examples(count=3)
pinned = load_decoder(again.source)
print(json.dumps([again.source, torch.equal(again(codes), f_d(codes)), torch.equal(pinned(codes), f_d(codes))]))
"""
    source, equal, pinned = told(hub, code, token="hf_alice", cwd=tmp_path)
    assert source == f"hub:alice/table1@{hub.repos['models/alice/table1'].log('main')[0].sha}"
    assert equal
    assert pinned
