"""A Hugging Face Hub on the loopback interface, small enough to read, for the real client to talk to.

It answers what huggingface_hub 2.4 asks: repositories with commits, branches and pull requests, private and gated
ones; uploads by git blob, LFS and Xet; downloads with the headers the client's cache wants; and errors with the codes
that the client turns into exceptions. Files stay in memory; only Xet writes to disk.

    with running_hub(tmp_path) as hub:
        sha = hub.add_repo("alice/map", {"config.json": b"{}"})
        done = hub.run("from huggingface_hub import snapshot_download; print(snapshot_download('alice/map'))")
        assert ("GET", f"/alice/map/resolve/{sha}/config.json") in hub.sent()

Simpler than the real one: an LFS file is served where the Hub redirects to its CDN; no .gitignore, tags or merges; no
pages in listings; no upload in parts; no repository without an owner.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from fresh_process import run_code

DATE = "2026-01-02T03:04:05.000Z"
LARGE = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".onnx", ".zip", ".gz", ".parquet")


class Request(NamedTuple):
    """What arrived; the path is still quoted, and without its query."""

    method: str
    path: str
    query: str
    authorized: bool  # carried an Authorization header, right or wrong
    status: int  # of the answer


class Answer(NamedTuple):
    body: Any = b""  # bytes, a File, or what becomes JSON
    status: int = 200
    headers: Mapping[str, str] = {}


class Refused(Exception):  # noqa: N818
    """A no. From ``code``, sent as X-Error-Code, the client chooses its exception; over http it looks at no URL."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        headers |= {"X-Error-Message": message.encode("ascii", "replace").decode()}
        self.answer = Answer({"error": message}, status, headers | ({"X-Error-Code": code} if code else {}))


@dataclass
class File:
    """One version of a file; ``data`` is None while it lies in the Xet storage only."""

    data: bytes | None
    size: int
    sha256: str
    etag: str  # the sha256 of an LFS file, the git oid of another
    xet: str = ""

    @classmethod
    def of(cls, data: bytes, lfs: bool = False) -> "File":
        sha256, oid = hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return cls(data, len(data), sha256, sha256 if lfs else oid)

    @property
    def lfs(self) -> bool:
        return self.etag == self.sha256

    def entry(self, path: str) -> dict[str, Any]:
        lfs = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        told = {"type": "file", "path": path, "size": self.size, "oid": self.etag[:40]}
        return told | ({"lfs": lfs} if self.lfs else {}) | ({"xetHash": self.xet} if self.xet else {})


@dataclass
class Commit:
    sha: str
    parent: str  # "" for the first
    title: str
    author: str
    files: dict[str, File]

    def listing(self, folder: str, whole: bool) -> list[dict[str, Any]]:
        """The files below a folder ("" or "some/"); unless the whole of it is asked for, files and folders in it."""
        entries: dict[str, dict[str, Any]] = {}
        for path, file in sorted(self.files.items()):
            if path.startswith(folder):
                name, *deeper = path.removeprefix(folder).split("/")
                inside = {"type": "directory", "path": folder + name, "oid": "0" * 40, "size": 0}
                entry = file.entry(path) if whole or not deeper else inside
                entries[entry["path"]] = entry
        return list(entries.values())


@dataclass
class Repo:
    """``refs`` maps branches and pull requests ("refs/pr/1") to the shas of ``commits``."""

    repo_id: str
    repo_type: str = "model"
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.repo_id.split("/")[0]

    @property
    def path(self) -> str:
        return ("" if self.repo_type == "model" else f"{self.repo_type}s/") + self.repo_id

    def at(self, revision: str = "main") -> Commit:
        sha = self.refs.get(revision, revision)
        if sha not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def log(self, revision: str = "main") -> list[Commit]:
        """The commits behind a revision, newest first."""
        commits = [self.at(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def commit(self, ref: str, files: dict[str, File], title: str, author: str) -> str:
        parent = self.refs.get(ref, "")
        whole = [self.path, parent, title, len(self.commits), sorted((p, f.etag) for p, f in files.items())]
        self.refs[ref] = sha = hashlib.sha1(json.dumps(whole).encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, title, author, files)
        return sha

    def pull_request(self, base: str) -> str:
        number = 1 + sum(name.startswith("refs/pr/") for name in self.refs)
        self.refs[f"refs/pr/{number}"] = base
        return f"refs/pr/{number}"


class Hub:
    """The state of a Hub and its answers. ``users`` maps tokens to names."""

    def __init__(self, folder: Path, url: str):
        self.folder, self.url = folder, url
        self.users = {"hf_alice": "alice", "hf_bob": "bob"}
        self.requests: list[Request] = []
        self.repos: dict[str, Repo] = {}  # by "models/alice/map"
        self.large: dict[str, bytes] = {}  # LFS files by sha256
        self.stalled, self.released = "", threading.Event()  # downloads of such paths stop halfway until the event
        self.down = False  # whether all that is asked is answered with 503
        self.errors: list[str] = []  # tracebacks of our own mistakes
        self.lock = threading.RLock()

    def add_repo(
        self, repo_id: str, files: Mapping[str, bytes], private=False, repo_type="model", *, revision="main"
    ) -> str:
        """Commit files, in a new repository unless there is one, and return the commit's sha."""
        with self.lock:
            repo = self.repos.setdefault(f"{repo_type}s/{repo_id}", Repo(repo_id, repo_type, private))
            old = repo.at(revision).files if revision in repo.refs else {}
            new = {path: File.of(data, is_large(path, data[:512])) for path, data in files.items()}
            return repo.commit(revision, {**old, **new}, "add_repo", repo.owner)

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> dict[str, bytes]:
        """The files of a repository at a revision."""
        files = self.repos[f"{repo_type}s/{repo_id}"].at(revision).files
        return {path: self.data(file) for path, file in sorted(files.items())}

    def sent(self, method: str = "", part: str = "") -> list[tuple[str, str]]:
        """Method and path of the requests so far that have this method, and this part in their path."""
        return [r[:2] for r in list(self.requests) if method in ("", r.method) and part in r.path]

    def run(
        self, code: str, *, token=None, offline=False, xet=False, home=None, cwd=None, timeout=120
    ) -> "subprocess.CompletedProcess[str]":
        """Run Python in a new process that knows no Hub but this one; ``home`` is its HF_HOME, the cache included."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home or self.folder / "home"), "OMP_NUM_THREADS": "1"}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*", "no_proxy": "*"}
        env |= {"HF_TOKEN": token} if token else {}
        env |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        env |= {} if xet else {"HF_HUB_DISABLE_XET": "1"}
        return run_code(textwrap.dedent(code), env, cwd, timeout)

    # Xet: where the storage's address is local://, hf_xet keeps the whole storage in that folder.

    def xet_hash(self, sha256: str) -> str:
        """Look a file up in the shards: records of 48 bytes that begin with a hash, four words of reversed bytes."""
        for path in sorted((self.folder / "cas").rglob("shards/*.mdb")):
            shard, at = path.read_bytes(), 48
            while shard[at : at + 32] != b"\xff" * 32:  # a file: its hash, its segments, their checks, its sha256
                flags, count = (int.from_bytes(shard[at + i : at + i + 4], "little") for i in (32, 36))
                end = at + 48 * (1 + count + count * (flags >> 31) + (flags >> 30 & 1))
                ours, its = (b"".join(shard[i : i + 8][::-1] for i in range(j, j + 32, 8)) for j in (at, end - 48))
                if flags >> 30 & 1 and its.hex() == sha256:
                    return ours.hex()
                at = end
        return ""

    def data(self, file: File) -> bytes:
        if file.data is None:  # read in a process of its own, for the storage admits one at a time
            target = self.folder / file.sha256
            code = (
                "import sys, hf_xet; _, url, xet, size, target = sys.argv\n"
                "with hf_xet.XetSession().new_file_download_group(endpoint=url) as group:\n"
                "    group.start_download_file(hf_xet.XetFileInfo(xet, int(size)), target)"
            )
            command = [sys.executable, "-c", code, f"local://{self.folder}/cas", file.xet, str(file.size), str(target)]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            file.data = target.read_bytes()
        return file.data

    # The answers.

    def answer(self, method: str, path: str, query: str, token: str | None, body: bytes) -> Answer:
        """Answer a request. Segments are unquoted one by one, so that the revision refs%2Fpr%2F1 stays one."""
        user = "" if token is None else self.users.get(token.removeprefix("Bearer "))
        if self.down:
            raise Refused(503, "Service Temporarily Unavailable")
        if user is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        asked = {key: values[-1] for key, values in parse_qs(query).items()}
        match ["GET" if method == "HEAD" else method, *map(unquote, path.strip("/").split("/"))]:
            case ["PUT", "lfs", sha256] if hashlib.sha256(body).hexdigest() == sha256:
                self.large[sha256] = body
                return Answer()
            case ["POST", "lfs", sha256] if sha256 in self.large:  # verify
                return Answer({})
            case ["POST", *kind, owner, name, "info", "lfs", "objects", "batch"]:
                self.find("".join(kind) or "models", owner, name.removesuffix(".git"), user)
                return Answer({"objects": [self.upload(wanted) for wanted in json.loads(body)["objects"]]})
            case ["GET", "api", "whoami-v2"] if user:
                return Answer({"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})
            case ["POST", "api", "validate-yaml"]:
                return validated(json.loads(body)["content"])
            case ["POST", "api", "repos", "create"] if user:
                return self.create(json.loads(body), user)
            case [_, "api", "whoami-v2" | "repos", *_]:
                raise Refused(401, "Invalid username or password.")
            case [verb, "api", "models" | "spaces" | "datasets" as kind, owner, *rest]:
                repo = self.find(kind, owner, "".join(rest[:1]), user)
                whole = asked.get("recursive", "").lower() == "true"
                return self.api(repo, [verb, *rest[1:]], "create_pr" in asked, whole, body, user)
            case ["GET", *rest] if "resolve" in rest[1:-2]:
                at = rest.index("resolve")
                *kind, owner, name = ["", *rest[:at]]
                repo = self.find("".join(kind) or "models", owner, name, user)
                return self.resolve(repo, rest[at + 1], "/".join(rest[at + 2 :]), user)
        raise Refused(404, f"No such page: {method} {path}")

    def find(self, kind: str, owner: str, name: str, user: str) -> Repo:
        repo = self.repos.get(f"{kind}/{owner}/{name}")
        if repo is None or (repo.private and user != owner):  # the Hub does not tell which
            status, message = (404, "Repository not found") if user else (401, "Invalid username or password.")
            raise Refused(status, message, "RepoNotFound")
        return repo

    def upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        href = {"href": f"{self.url}/lfs/{wanted['oid']}"}
        return wanted | ({} if wanted["oid"] in self.large else {"actions": {"upload": href, "verify": href}})

    def create(self, asked: dict[str, Any], user: str) -> Answer:
        owner, repo_type = asked.get("organization") or user, asked.get("type") or "model"
        if owner != user:
            raise Refused(403, f"You don't have the rights to create a {repo_type} under the namespace {owner!r}")
        repo = Repo(f"{owner}/{asked['name']}", repo_type, asked.get("visibility") == "private")
        known = self.repos.setdefault(f"{repo_type}s/{repo.repo_id}", repo)
        if known is repo:
            rules = "".join(f"*{name} filter=lfs diff=lfs merge=lfs -text\n" for name in LARGE)
            repo.commit("main", {".gitattributes": File.of(rules.encode())}, "initial commit", user)
        told = {"url": f"{self.url}/{repo.path}", "name": repo.repo_id}
        return Answer(told) if known is repo else Answer({**told, "error": "You already created this repo"}, 409)

    def api(self, repo: Repo, request: list[str], create_pr: bool, whole: bool, body: bytes, user: str) -> Answer:
        """Answer what is asked below /api/models/alice/map."""
        match request:
            case ["GET"] | ["GET", "revision", _]:
                return self.info(repo, repo.at(*request[2:]))
            case ["GET", "tree", revision, *folder]:
                return Answer(repo.at(revision).listing("".join(f"{name}/" for name in folder), whole))
            case ["GET", "discussions", number]:
                told = {"title": "", "num": int(number), "createdAt": DATE, "status": "draft", "isPullRequest": True}
                told |= {"changes": {"base": "refs/heads/main"}, "filesWithConflicts": [], "events": []}
                return Answer(told | {"repo": {"name": repo.repo_id, "type": repo.repo_type}})
            case ["GET", "auth-check"]:
                self.let_in(repo, user)
                return Answer({})
            case ["GET", "xet-read-token", _]:
                return self.xet_token()
        if not user:
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        if request[1:] == ["discussions"]:
            return Answer({"num": int(repo.pull_request(repo.at().sha).split("/")[-1])})
        if user != repo.owner and not create_pr and not "".join(request[2:]).startswith("refs/pr/"):
            raise Refused(403, "You don't have the required permissions to perform this action")
        match request:
            case ["GET", "xet-write-token", _]:
                return self.xet_token()
            case ["POST", "preupload", revision]:
                files = repo.at(revision).files
                return Answer({"files": [upload_mode(asked, files) for asked in json.loads(body)["files"]]})
            case ["POST", "commit", revision]:
                return self.commit(repo, revision, [json.loads(line) for line in body.splitlines()], create_pr, user)
            case ["POST", "branch", name]:
                if name in repo.refs:
                    raise Refused(409, f"Reference already exists: refs/heads/{name}")
                repo.refs[name] = repo.at(json.loads(body).get("startingPoint", "main")).sha
                return Answer({})
        raise Refused(404, f"No such page: {' '.join(request)}")

    def info(self, repo: Repo, commit: Commit) -> Answer:
        files = commit.files
        card = front_matter(self.data(files["README.md"]).decode()) if "README.md" in files else {}
        told = {"id": repo.repo_id, "author": repo.owner, "sha": commit.sha, "private": repo.private, "cardData": card}
        told |= {key: card[key] for key in ("tags", "library_name", "pipeline_tag") if key in card}
        told |= {"lastModified": DATE, "createdAt": DATE, "gated": repo.gated and "auto", "disabled": False}
        return Answer(told | {"siblings": [{"rfilename": path, "size": files[path].size} for path in sorted(files)]})

    def xet_token(self) -> Answer:
        told = {"casUrl": f"local://{self.folder}/cas", "exp": 4102444800, "accessToken": "xet"}
        names = ("X-Xet-Cas-Url", "X-Xet-Token-Expiration", "X-Xet-Access-Token")
        return Answer(told, 200, dict(zip(names, map(str, told.values()), strict=True)))

    def commit(self, repo: Repo, revision: str, lines: list[dict[str, Any]], create_pr: bool, user: str) -> Answer:
        head, about = repo.at(revision), lines[0]["value"]
        files = dict(head.files)
        if not create_pr and revision not in repo.refs:
            raise Refused(404, f"Not a branch: {revision}", "RevisionNotFound")
        if not create_pr and not head.sha.startswith(about.get("parentCommit", "")):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value, path = line["value"], line["value"]["path"]
            if line["key"] == "file":
                files[path] = File.of(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                files[path] = self.large_file(value["oid"], value["size"])
            else:  # deletedFile, deletedFolder
                gone = path.rstrip("/") + "/"
                files = {name: file for name, file in files.items() if not f"{name}/".startswith(gone)}
        ref = repo.pull_request(head.sha) if create_pr else revision
        sha, url = repo.commit(ref, files, about["summary"], user), f"{self.url}/{repo.path}"
        pull = {"pullRequestUrl": f"{url}/discussions/{ref.split('/')[-1]}"} if create_pr else {}
        return Answer({"success": True, "commitOid": sha, "commitUrl": f"{url}/commit/{sha}", **pull})

    def large_file(self, sha256: str, size: int) -> File:
        if sha256 in self.large:
            return File.of(self.large[sha256], lfs=True)
        if xet := self.xet_hash(sha256):
            return File(None, size, sha256, sha256, xet)
        raise Refused(400, f"An LFS pointer pointed to a file that does not exist: {sha256}")

    def let_in(self, repo: Repo, user: str) -> None:
        if repo.gated and user != repo.owner:
            raise Refused(403 if user else 401, f"Access to model {repo.repo_id} is restricted", "GatedRepo")

    def resolve(self, repo: Repo, revision: str, path: str, user: str) -> Answer:
        self.let_in(repo, user)
        commit = repo.at(revision)
        headers = {"X-Repo-Commit": commit.sha}
        if path not in commit.files:
            raise Refused(404, "Entry not found", "EntryNotFound", **headers)
        file = commit.files[path]
        headers |= {"ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if file.lfs:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"'}
        if file.xet:
            route = f"{self.url}/api/{repo.repo_type}s/{repo.repo_id}/xet-read-token/{commit.sha}"
            headers |= {"X-Xet-Hash": file.xet, "Link": f'<{route}>; rel="xet-auth"'}
        return Answer(file, 200, headers)


def is_large(path: str, sample: bytes) -> bool:
    """Whether the Hub keeps a file outside git: by its name, or because it is no text."""
    return path.endswith(LARGE) or b"\0" in sample


def upload_mode(asked: dict[str, Any], files: dict[str, File]) -> dict[str, Any]:
    path, large = asked["path"], is_large(asked["path"], base64.b64decode(asked["sample"]))
    told = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    return told | ({"oid": files[path].etag} if path in files else {})


def front_matter(card: str) -> dict[str, Any]:
    parts = card.split("---\n")
    return (yaml.safe_load(parts[1]) or {}) if len(parts) > 2 and not parts[0] else {}


def validated(card: str) -> Answer:
    try:
        warnings = [] if front_matter(card) else [{"message": "empty or missing yaml metadata in repo card"}]
        return Answer({"errors": [], "warnings": warnings})
    except yaml.YAMLError as error:
        return Answer({"errors": [{"message": str(error)}], "warnings": []}, 400)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections alive
    wbufsize = -1  # headers and body leave together

    def do_GET(self) -> None:
        hub, url, token = self.server.hub, urlsplit(self.path), self.headers["Authorization"]
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))  # the client never sends in chunks
        with hub.lock:
            try:
                status, headers, body = self.cut(hub.answer(self.command, url.path, url.query, token, body))
            except Refused as no:
                status, headers, body = self.cut(no.answer)
            except Exception:  # 501, for the client tries again after other server errors
                hub.errors.append(traceback.format_exc())
                status, headers, body = 501, {}, b"the loopback hub failed"
            hub.requests.append(Request(self.command, url.path, url.query, token is not None, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            half = len(body) // 2 if hub.stalled and url.path.endswith(hub.stalled) else len(body)
            self.wfile.write(body[:half])
            if half < len(body):
                self.wfile.flush()
                hub.released.wait(60)
                self.wfile.write(body[half:])

    do_HEAD = do_POST = do_PUT = do_GET

    def cut(self, answer: Answer) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and bytes of an answer; of a file, the range that was asked for."""
        if not isinstance(answer.body, File):
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            return answer.status, {"Content-Type": "application/json", **answer.headers}, body
        size, headers = answer.body.size, dict(answer.headers)
        if self.command == "HEAD":
            return answer.status, headers | {"Content-Length": str(size)}, b""
        data = self.server.hub.data(answer.body)
        first, dash, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not dash:
            return answer.status, headers, data
        start, end = (int(first), min(int(last or size), size - 1) + 1) if first else (max(size - int(last), 0), size)
        if start >= end:
            return 416, {"Content-Range": f"bytes */{size}"}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{size}"}, data[start:end]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    hub: Hub

    def __init__(self):
        self.live: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request, client_address) -> None:
        self.live.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self.live.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may leave at any time
            self.hub.errors.append(traceback.format_exc())

    def server_close(self) -> None:
        for connection in list(self.live):  # a client in this process keeps it alive
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


@contextmanager
def running_hub(folder: Path) -> Iterator[Hub]:
    """Run a Hub for the length of a ``with``; a mistake of its own, kept in ``errors``, fails at the end."""
    server = Server()
    server.hub = hub = Hub(Path(folder).resolve(), f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if hub.errors:
        raise AssertionError("the loopback hub failed:\n" + "\n".join(hub.errors))
