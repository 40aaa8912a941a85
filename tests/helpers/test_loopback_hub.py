"""The real client against the loopback Hub: what the tests of our own pushes and downloads build on."""

import http.client
import json
import random
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from loopback_hub import Hub, running_hub

CARD = b"---\ntags: [latent-space]\nlibrary_name: latent-vizae\n---\nA map.\n"
BIG = random.Random(0).randbytes(1_200_000)
FILES = {"README.md": CARD, "v.safetensors": BIG, "more of it/é.txt": "é".encode()}
BEFORE = """
import json, os
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
api, told = HfApi(), {}
def read(*args, **kwargs):
    return Path(hf_hub_download(*args, **kwargs)).read_bytes().hex()
def error(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
"""


@pytest.fixture
def hub(tmp_path):
    with running_hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / "folder"


def run(hub, code, **options):
    """What a snippet put into ``told``."""
    done = hub.run(BEFORE + code + "\nprint(json.dumps(told))", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_pushed_is_what_is_downloaded(hub, folder):
    told = run(
        hub,
        f"""
push = dict(repo_id="alice/map", folder_path={str(folder)!r})
told["user"] = api.whoami()["name"]
told["urls"] = [api.create_repo("alice/map", exist_ok=True).repo_id for _ in range(2)]
told["again"] = error(api.create_repo, "alice/map")
told["pushed"], told["unchanged"] = (api.upload_folder(**push).oid for _ in range(2))
told["big"] = read("alice/map", "v.safetensors")
files = snapshot_download("alice/map")
told["files"] = {{str(p.relative_to(files)): p.read_bytes().hex() for p in Path(files).rglob("*") if p.is_file()}}
told["sha"] = Path(files).name
info = api.model_info("alice/map")
told["info"] = [info.sha, info.tags, info.library_name, info.card_data.library_name, len(info.siblings)]
Path(push["folder_path"], "README.md").write_text("---\\ntags: [b]\\n---\\n")
pull = api.upload_folder(**push, create_pr=True)
told["pull"] = [pull.pr_revision, pull.oid, read("alice/map", "README.md", revision="refs/pr/1")]
told["main"] = read("alice/map", "README.md")
api.create_branch("alice/map", branch="dev")
told["dev"] = api.upload_file(repo_id="alice/map", path_or_fileobj=b"x", path_in_repo="x", revision="dev").oid
api.delete_file("x", "alice/map", revision="dev")
told["older"] = read("alice/map", "x", revision=told["dev"])
""",
        token="hf_alice",
    )
    repo = hub.repos["models/alice/map"]
    assert told["user"] == "alice"
    assert told["urls"] == ["alice/map"] * 2
    assert told["again"] == "HfHubHTTPError"
    assert told["pushed"] == told["unchanged"] == told["sha"] == repo.refs["main"]
    assert [commit.title for commit in repo.log()] == ["Upload folder using huggingface_hub", "initial commit"]
    assert bytes.fromhex(told["big"]) == BIG
    assert {name: bytes.fromhex(data) for name, data in told["files"].items()} == hub.files("alice/map")
    assert hub.files("alice/map").items() >= FILES.items()
    assert repo.at().files["v.safetensors"].lfs
    assert not repo.at().files["README.md"].lfs
    assert told["info"] == [repo.refs["main"], ["latent-space"], "latent-vizae", "latent-vizae", 4]
    assert told["pull"] == ["refs/pr/1", repo.refs["refs/pr/1"], b"---\ntags: [b]\n---\n".hex()]
    assert bytes.fromhex(told["main"]) == CARD
    assert repo.at("refs/pr/1").parent == told["pushed"]
    assert told["older"] == b"x".hex()
    assert "x" not in repo.at("dev").files
    assert ("GET", "/alice/map/resolve/refs%2Fpr%2F1/README.md") in hub.sent()
    assert ("POST", "/api/models/alice/map/commit/main") in hub.sent()
    assert len(hub.sent("PUT", "/lfs/")) == 1  # the bytes once, as to a storage that needs no token
    assert all(request.authorized == (request.method != "PUT") for request in hub.requests)


def test_a_space_is_no_model(hub):
    told = run(
        hub,
        """
api.create_repo("alice/app", repo_type="space", space_sdk="gradio")
api.upload_file(repo_id="alice/app", repo_type="space", path_or_fileobj=b"import gradio", path_in_repo="app.py")
told["app"] = read("alice/app", "app.py", repo_type="space")
told["files"] = api.list_repo_files("alice/app", repo_type="space")
told["sha"] = api.space_info("alice/app").sha
told["model"] = error(api.model_info, "alice/app")
""",
        token="hf_alice",
    )
    assert told["app"] == b"import gradio".hex()
    assert told["files"] == [".gitattributes", "app.py"]
    assert told["sha"] == hub.repos["spaces/alice/app"].refs["main"]
    assert told["model"] == "RepositoryNotFoundError"
    assert ("GET", "/spaces/alice/app/resolve/main/app.py") in hub.sent()


def test_each_refusal_is_the_exception_that_the_client_raises_for_the_real_hub(hub):
    sha = hub.add_repo("alice/open", {"a.txt": b"a"})
    hub.add_repo("alice/secret", {"a.txt": b"s"}, private=True)
    hub.add_repo("alice/gated", {"a.txt": b"g"})
    hub.repos["models/alice/gated"].gated = True
    refusals = {
        'read("alice/secret", "a.txt", token=False)': "RepositoryNotFoundError",
        'read("alice/secret", "a.txt", token="hf_wrong")': "HfHubHTTPError",
        'read("alice/secret", "a.txt", token="hf_bob")': "RepositoryNotFoundError",
        'snapshot_download("alice/secret", token=False)': "RepositoryNotFoundError",
        'read("alice/open", "a.txt", token="hf_wrong")': "HfHubHTTPError",
        'read("alice/gated", "a.txt", token="hf_bob")': "GatedRepoError",
        'read("alice/none", "a.txt")': "RepositoryNotFoundError",
        'read("none", "a.txt")': "RepositoryNotFoundError",
        'read("alice/open", "none.txt")': "RemoteEntryNotFoundError",
        'read("alice/open", "a.txt", revision="none")': "RevisionNotFoundError",
        'snapshot_download("alice/open", revision="none")': "RevisionNotFoundError",
        'api.upload_file(**{**upload, "repo_id": "alice/none"})': "RepositoryNotFoundError",
        'api.upload_file(**upload, revision="none")': "RevisionNotFoundError",
        "api.upload_file(**upload, token=False)": "RepositoryNotFoundError",
        'api.upload_file(**upload, token="hf_bob")': "HfHubHTTPError",
        f'api.upload_file(**upload, parent_commit="{"0" * 40}")': "HfHubHTTPError",
        'api.upload_file(**{**upload, "path_or_fileobj": b"---\\na: [\\n---\\n"})': "ValueError",
        'api.create_repo("alice/new", token=False)': "HfHubHTTPError",
        'api.create_repo("bob/new")': "HfHubHTTPError",
    }
    told = run(
        hub,
        f"""
upload = dict(repo_id="alice/open", path_or_fileobj=b"---\\na: b\\n---\\n", path_in_repo="README.md")
for code in {list(refusals)!r}:
    told[code] = error(eval, code)
told["secret"] = read("alice/secret", "a.txt")
told["open"] = read("alice/open", "a.txt", token=False)
told["pull"] = api.upload_file(**upload, token="hf_bob", create_pr=True).pr_revision
""",
        token="hf_alice",
    )
    assert told == {**refusals, "secret": b"s".hex(), "open": b"a".hex(), "pull": "refs/pr/1"}
    assert hub.repos["models/alice/open"].refs["main"] == sha
    assert [(request.authorized, request.status) for request in hub.requests[:2]] == [(False, 401), (True, 401)]


def test_what_was_read_online_is_there_offline_and_nothing_else_is(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", "elsewhere")
    monkeypatch.setenv("HF_TOKEN", "of the person who runs the tests")
    hub.add_repo("alice/map", {"a.txt": b"a", "b.txt": b"b"})
    assert run(hub, "told['a'] = read('alice/map', 'a.txt')") == {"a": b"a".hex()}
    assert not any(request.authorized for request in hub.requests)
    hub.requests.clear()
    told = run(
        hub,
        """
told["a"] = read("alice/map", "a.txt")
told["b"] = error(read, "alice/map", "b.txt")
told["push"] = error(api.upload_file, repo_id="alice/map", path_or_fileobj=b"b", path_in_repo="b.txt")
told["names"] = sorted(name for name in os.environ if name.startswith("HF_"))
""",
        offline=True,
    )
    names = ["DISABLE_PROGRESS_BARS", "DISABLE_TELEMETRY", "DISABLE_XET", "OFFLINE"]
    assert told["names"] == ["HF_ENDPOINT", "HF_HOME", *(f"HF_HUB_{name}" for name in names)]
    assert (told["a"], told["b"], told["push"]) == (b"a".hex(), "LocalEntryNotFoundError", "OfflineModeIsEnabled")
    assert hub.requests == []


def test_xet_brings_the_same_bytes_with_and_without_xet_at_the_other_end(hub, folder, tmp_path):
    pytest.importorskip("hf_xet")
    push = f"""
api.create_repo("alice/map", exist_ok=True)
told["pushed"], told["unchanged"] = (
    api.upload_folder(repo_id="alice/map", folder_path={str(folder)!r}).oid for _ in range(2)
)
told["pull"] = api.upload_folder(
    repo_id="alice/map", folder_path={str(folder)!r}, path_in_repo="copy", create_pr=True
).pr_revision
"""
    told = run(hub, push, token="hf_alice", xet=True, home=tmp_path / "first")
    assert told == {
        "pushed": told["unchanged"],
        "unchanged": hub.repos["models/alice/map"].refs["main"],
        "pull": "refs/pr/1",
    }
    assert hub.sent("GET", "xet-write-token")
    assert not hub.sent("PUT")
    read = "told['big'] = read('alice/map', 'v.safetensors')"
    assert run(hub, read, xet=True, home=tmp_path / "second")["big"] == BIG.hex()
    assert hub.sent("GET", "xet-read-token")
    assert not hub.sent("GET", "/resolve/main/v.safetensors")
    assert run(hub, read, home=tmp_path / "third")["big"] == BIG.hex()
    assert hub.sent("GET", "/resolve/main/v.safetensors")
    assert hub.files("alice/map").items() >= FILES.items()
    assert hub.files("alice/map", "refs/pr/1")["copy/v.safetensors"] == BIG


@pytest.fixture
def connection(hub):
    with closing(http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=10)) as connection:
        yield connection


def test_one_connection_carries_heads_ranges_and_errors(hub, connection):
    hub.add_repo("alice/map", {"a.txt": b"0123456789"})

    def ask(method, asked=None, path="/alice/map/resolve/main/a.txt"):
        connection.request(method, path, headers={"Range": asked} if asked else {})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Length"], answer.headers["Content-Range"], answer.read()

    assert ask("HEAD") == (200, "10", None, b"")
    socket = connection.sock
    assert ask("GET") == (200, "10", None, b"0123456789")
    assert ask("GET", "bytes=7-") == (206, "3", "bytes 7-9/10", b"789")
    assert ask("GET", "bytes=2-3") == (206, "2", "bytes 2-3/10", b"23")
    assert ask("GET", "bytes=-4") == (206, "4", "bytes 6-9/10", b"6789")
    assert ask("GET", "bytes=10-") == (416, "0", "bytes */10", b"")
    assert ask("HEAD", path="/alice/map/resolve/main/none")[::3] == (404, b"")
    assert ask("POST", path="/nowhere")[0] == 404
    assert connection.sock is socket


def test_a_mistake_of_the_hub_itself_is_told(hub, connection, monkeypatch):
    monkeypatch.delattr(Hub, "answer")
    connection.request("GET", "/api/whoami-v2")
    assert connection.getresponse().status == 501
    assert "AttributeError" in hub.errors.pop()
