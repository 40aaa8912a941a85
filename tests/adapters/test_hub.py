"""The scheme ``hub``: what it loads, bit for bit, and what it refuses, without running or reading it."""

import fnmatch
import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path

import pytest
import torch
from onnx_models import graph
from safetensors.torch import load_file, save_file
from torch import nn

from latent_vizae import load_decoder
from latent_vizae.adapters.zoo import ARCHITECTURES, Table1Autoencoder, ZooGenerator, architecture
from latent_vizae.testing import check_decoder


class Tiny(ZooGenerator):
    latent_shape = (4,)

    def __init__(self, hidden: int = 6, size: tuple[int, int] = (2, 3)) -> None:
        super().__init__(hidden=hidden, size=list(size))
        self.image_shape = (1, *size)
        self.layers = nn.Sequential(
            nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, size[0] * size[1]), nn.Sigmoid()
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def decode(self, codes):
        return self.layers(codes).unflatten(1, self.image_shape)


@pytest.fixture(autouse=True)
def _zoo(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "Tiny", Tiny)


@pytest.fixture
def saved(tmp_path):
    """A folder with a Tiny, and the Tiny."""
    generator = Tiny(hidden=5)
    generator.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny", generator


def same(first, second) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def edit(folder, **changes):
    """Change the config.json of a folder and take the configuration out of the weights."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")


def raw(path, header, body=b"", claim=None):
    """A safetensors file written by hand."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if claim is None else claim) + text + body)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return (os.mkdir, (self.marker,))


# The zoo: what is saved comes back.


def test_a_saved_generator_comes_back_bit_for_bit(saved):
    folder, generator = saved
    f_d = load_decoder(f"hub:{folder}")
    assert isinstance(f_d, Tiny)
    assert f_d.config == generator.config == {"hidden": 5, "size": [2, 3]}
    assert same(f_d, generator)
    assert (f_d.source, f_d.options) == (f"hub:{folder}", {})
    assert not f_d.training
    assert not any(p.requires_grad for p in f_d.parameters())
    check_decoder(f_d)
    assert same(Tiny.from_pretrained(folder), generator)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert "library_name: latent-vizae" in (folder / "README.md").read_text()


def test_the_papers_f_is_of_the_zoo_and_is_the_bundled_decoder(tmp_path, f_d):
    f_d.autoencoder.save_pretrained(tmp_path / "f")
    again = load_decoder(f"hub:{tmp_path / 'f'}")
    assert isinstance(again, Table1Autoencoder)
    codes, _ = f_d.examples(count=3)
    images = f_d(codes)
    assert torch.equal(again(codes), images)
    assert torch.equal(again.encode(images), f_d.encode(images))
    assert torch.equal(again(images), again(again.encode(images)))
    with pytest.raises(ValueError, match=r"\(B, 1, 28, 28\)"):
        again.encode(images[0])
    check_decoder(again, codes)


def test_other_precisions_are_saved_as_the_architectures(tmp_path):
    half = Tiny().half()
    half.save_pretrained(tmp_path / "half")
    again = Tiny.from_pretrained(tmp_path / "half")
    assert again.layers[0].weight.dtype == torch.float32
    assert torch.equal(again.layers[0].weight.half(), half.layers[0].weight)


def test_saving_again_replaces_and_saving_elsewhere_does_not(saved, tmp_path):
    folder, _ = saved
    new = Tiny(hidden=7)
    new.save_pretrained(folder)
    assert same(Tiny.from_pretrained(folder), new)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="something else"):
        new.save_pretrained(foreign)
    save_file({"a": torch.zeros(1)}, foreign / "model.safetensors")
    with pytest.raises(ValueError, match="something else"):
        new.save_pretrained(foreign)
    assert (foreign / "README.md").read_text() == "mine"
    with pytest.raises(ValueError, match="is a file"):
        new.save_pretrained(foreign / "README.md")


@pytest.mark.parametrize("replaced", [0, 1, 2])
def test_an_interrupted_save_leaves_a_whole_generator(saved, monkeypatch, replaced):
    folder, old = saved
    new, done, replace = Tiny(hidden=9), [], Path.replace

    def interrupted(self, target):
        if len(done) == replaced:
            raise KeyboardInterrupt
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new.save_pretrained(folder)
    monkeypatch.undo()
    ARCHITECTURES["Tiny"] = Tiny
    if replaced == 1:  # new weights, old config.json
        with pytest.warns(UserWarning, match="the latter is used"):
            again = Tiny.from_pretrained(folder)
    else:
        again = Tiny.from_pretrained(folder)
    del ARCHITECTURES["Tiny"]
    assert same(again, new if replaced else old)
    assert len(list(folder.iterdir())) == 3


def test_what_would_not_load_is_not_saved(tmp_path):
    class Stranger(Tiny):
        pass

    with pytest.raises(ValueError, match="allowlist"):
        Stranger().save_pretrained(tmp_path / "a")
    changed = Tiny()
    changed.config["hidden"] = 8
    with pytest.raises(ValueError, match="does not build this network"):
        changed.save_pretrained(tmp_path / "a")
    changed.config["hidden"] = torch.zeros(1)
    with pytest.raises(ValueError, match="not JSON"):
        changed.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_allowlist_holds_one_class_of_a_name():
    class Other(Tiny):
        pass

    Other.__name__ = "Tiny"
    with pytest.raises(ValueError, match="Rename"):
        architecture(Other)
    assert architecture(Tiny) is ARCHITECTURES["Tiny"] is Tiny


def test_another_generator_than_asked_for_is_refused(saved):
    with pytest.raises(ValueError, match="holds a Tiny, not a Table1Autoencoder"):
        Table1Autoencoder.from_pretrained(saved[0])
    for wrong in ({"latent_shape": (5,)}, {"image_shape": [1, 28, 28]}, {"output_range": (-1, 1)}):
        with pytest.raises(ValueError, match="was given"):
            load_decoder(f"hub:{saved[0]}", **wrong)
    said = {"latent_shape": [4], "image_shape": [1, 2, 3], "output_range": [0, 1]}
    assert load_decoder(f"hub:{saved[0]}", **said).latent_shape == (4,)


# The zoo: what is refused.


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "ZooGenerator", "torch.nn.Linear", "../../Tiny", ""])
def test_a_foreign_class_is_refused_and_not_imported(saved, name):
    before = set(sys.modules)
    edit(saved[0], architecture=name)
    with pytest.raises(ValueError, match="not in the zoo"):
        load_decoder(f"hub:{saved[0]}")
    assert set(sys.modules) == before


def test_a_foreign_class_in_the_header_is_refused_too(saved):
    config = json.loads((saved[0] / "config.json").read_text())
    weights = saved[0] / "model.safetensors"
    save_file(load_file(weights), weights, {"config": json.dumps(config | {"architecture": "os.system"})})
    with pytest.warns(UserWarning, match="the latter is used"), pytest.raises(ValueError, match="not in the zoo"):
        load_decoder(f"hub:{saved[0]}")


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": ["Tiny"]},
        {"architecture": None},
        {"config": None},
        {"config": [1]},
        {"config": {"hidden": "64"}},
        {"config": {"hidden": None}},
        {"config": {"hidden": -5}},
        {"config": {"hidden": 1.5}},
        {"config": {"hidden": [5]}},
        {"config": {"hidden": {"a": 1}}},
        {"config": {"hidden": 10**9}},
        {"config": {"hidden": 10**400}},
        {"config": {"hidden": 2**14}},
        {"config": {"hidden": float("nan")}},
        {"config": {"size": [2]}},
        {"config": {"size": "x" * 10_000}},
        {"config": {"size": [[[[[]]]]]}},
        {"config": {"size": [1] * 10_000}},
        {"config": {"hidden": 5, "device": "cuda"}},
        {"config": {"hidden": 5, "": 1}},
        {"format": 0},
        {"format": True},
        {"format": "1"},
    ],
    ids=str,
)
def test_a_config_with_wrong_types_or_sizes_is_refused(saved, changes):
    edit(saved[0], **changes)
    with pytest.raises(ValueError, match=r"config\.json|does not fit"):
        load_decoder(f"hub:{saved[0]}")


def test_a_newer_format_asks_for_an_upgrade(saved):
    edit(saved[0], format=2, latent_vizae="9.0")
    with pytest.raises(ValueError, match=r"made by latent_vizae 9\.0.*pip install -U latent-vizae"):
        load_decoder(f"hub:{saved[0]}")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe{", b"[" * 200_000, b" " * (2**20 + 1), b'{"latent_vizae": 1}'])
def test_a_damaged_config_is_refused(saved, text):
    (saved[0] / "config.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        load_decoder(f"hub:{saved[0]}")


def test_a_map_is_not_taken_for_a_generator(v, tmp_path):
    v.save_pretrained(tmp_path / "v")
    with pytest.raises(ValueError, match=r"VizAE\.from_pretrained"):
        load_decoder(f"hub:{tmp_path / 'v'}")


F32 = {"dtype": "F32", "shape": [2]}


BAD_WEIGHTS = {
    "terabytes": ({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}, b"\0" * 16, None),
    "overlap": ({"a": {**F32, "data_offsets": [0, 8]}, "b": {**F32, "data_offsets": [4, 12]}}, b"\0" * 12, None),
    "shared": ({"a": {**F32, "data_offsets": [0, 8]}, "b": {**F32, "data_offsets": [0, 8]}}, b"\0" * 8, None),
    "hole": ({"a": {**F32, "data_offsets": [0, 8]}, "b": {**F32, "data_offsets": [12, 20]}}, b"\0" * 20, None),
    "overflow": ({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 0]}}, b"", None),
    "negative": ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\0" * 8, None),
    "long header": ({}, b"", 10**13),
    "names a file": ({"../../a": {**F32, "data_offsets": [0, 8]}}, b"\0" * 8, None),
    "empty": ({}, b"", None),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_weights_that_lie_about_themselves_are_refused(saved, kind):
    folder, generator = saved
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    header, body, claim = BAD_WEIGHTS[kind]
    raw(folder / "model.safetensors", header, body, claim)
    with pytest.raises(ValueError, match=r"model\.safetensors (is damaged|does not fit)"):
        load_decoder(f"hub:{folder}")
    with pytest.raises(ValueError, match=r"model\.safetensors (is damaged|does not fit)"):
        load_decoder(f"hub:{folder}", module=generator)
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


def test_large_weights_are_not_read_for_a_small_network(saved):
    weights = saved[0] / "model.safetensors"
    size = 2**34
    raw(weights, {"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size + size)  # a sparse file: the bytes are there, and take no space
    with pytest.raises(ValueError, match="does not fit"):
        load_decoder(f"hub:{saved[0]}")


@pytest.mark.parametrize("share", [0, 4, 100, -1])
def test_truncated_weights_are_refused(saved, share):
    weights = saved[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:share])
    with pytest.raises(ValueError, match="damaged"):
        load_decoder(f"hub:{saved[0]}")


def test_weights_with_nan_or_of_another_dtype_are_refused(saved):
    weights = saved[0] / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}, weights)
    with pytest.raises(ValueError, match=r"float32, is .* float16"):
        load_decoder(f"hub:{saved[0]}")
    save_file(tensors | {"layers.0.bias": torch.full((5,), torch.nan)}, weights)
    with pytest.raises(ValueError, match=r"NaN or infinity in layers\.0\.bias"):
        load_decoder(f"hub:{saved[0]}")


def test_pickles_are_refused_and_never_opened(tmp_path):
    marker = tmp_path / "marker"
    folder = tmp_path / "repo"
    folder.mkdir()
    payload = pickle.dumps(Payload(marker))
    for name in ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"):
        (folder / name).write_bytes(payload)
    with pytest.raises(ValueError, match="Pickled weights can run code") as refusal:
        load_decoder(f"hub:{folder}")
    assert "pytorch_model.bin" in str(refusal.value)
    assert "save_file" in str(refusal.value)
    with pytest.raises(ValueError, match="Pickled weights can run code"):
        load_decoder(f"hub:{folder}", module=Tiny())
    for options in ({"file": "model.pt"}, {"file": "model.pt", "module": Tiny()}):
        with pytest.raises(ValueError, match="Pickled weights can run code"):
            load_decoder(f"hub:{folder}", **options)
    (folder / "model.safetensors").write_bytes(payload)  # by another name
    with pytest.raises(ValueError, match="damaged"):
        load_decoder(f"hub:{folder}", module=Tiny())
    (folder / "model.onnx").write_bytes(payload)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="not an ONNX graph"):
        load_decoder(f"hub:{folder}")
    assert not marker.exists()
    pickle.loads(payload)  # the payload does what it says
    assert marker.exists()


@pytest.mark.parametrize(
    "file", ["../w.onnx", "/w.onnx", "a/../w.onnx", "a\\w.onnx", "*.onnx", "a//w.onnx", "c:w.onnx"]
)
def test_a_file_name_that_leads_elsewhere_is_refused(saved, file):
    with pytest.raises(ValueError, match="relative path"):
        load_decoder(f"hub:{saved[0]}", file=file)
    with pytest.raises(ValueError, match="relative path"):
        load_decoder(f"hub:{saved[0]}", file=file.replace(".onnx", ".safetensors"), module=Tiny())


@pytest.mark.parametrize(
    "reference", ["", "repo", "user/repo/../x", "../user/repo", "user/repo@", "user/repo/*", "/no"]
)
def test_a_reference_that_is_none_is_refused(reference):
    with pytest.raises(ValueError, match=r"user/repo\[/subfolder\]\[@revision\]|relative path"):
        load_decoder(f"hub:{reference}")


def test_a_foreign_repository_says_what_it_holds_and_what_would_work(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", "auto_map": {"A": "evil.A"}}))
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds config\.json, evil\.py, weights\.safetensors") as refusal:
        load_decoder(f"hub:{tmp_path}")
    assert "AutoencoderKL" in str(refusal.value)
    assert "module=" in str(refusal.value)


# The user's own network.


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Tanh())


def test_weights_go_into_the_users_module(tmp_path):
    theirs, mine = network(), network()
    save_file(theirs.state_dict(), tmp_path / "anything.safetensors")
    f_d = load_decoder(
        f"hub:{tmp_path}", module=mine, latent_shape=(4,), image_shape=(1, 2, 3), output_range=(-1.0, 1.0)
    )
    assert same(mine, theirs)
    assert mine.training
    assert f_d.source is None
    check_decoder(f_d)
    half = {name: t.half() if t.is_floating_point() else t for name, t in theirs.state_dict().items()}
    save_file(half, tmp_path / "anything.safetensors")
    load_decoder(f"hub:{tmp_path}", module=mine, latent_shape=[4])
    assert torch.equal(mine[0].weight, theirs[0].weight.half().float())


def test_a_module_that_knows_its_shapes_needs_no_more(saved):
    mine = Tiny(hidden=5)
    f_d = load_decoder(f"hub:{saved[0]}", module=mine)
    assert same(mine, saved[1])
    check_decoder(f_d)


def test_a_load_that_fails_leaves_the_module_untouched(tmp_path):
    mine = network()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    good = {name: torch.ones_like(tensor) for name, tensor in mine.state_dict().items()}
    wrong = [
        {name: t for name, t in good.items() if name != "2.bias"},
        good | {"3.bias": torch.zeros(6)},
        good | {"2.bias": torch.zeros(7)},
        good | {"2.bias": torch.zeros(6, dtype=torch.int64)},
        good | {"2.bias": torch.full((6,), torch.inf)},
    ]
    for tensors in wrong:
        save_file(tensors, tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match=r"2\.bias|3\.bias"):
            load_decoder(f"hub:{tmp_path}", module=mine, latent_shape=(4,))
    save_file(good, tmp_path / "w.safetensors")
    for bad in ({}, {"latent_shape": ()}, {"latent_shape": (4,), "output_range": (1, 1)}):
        with pytest.raises(ValueError, match=r"latent_shape|output_range"):
            load_decoder(f"hub:{tmp_path}", module=mine, **bad)
    shutil.copy(tmp_path / "w.safetensors", tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"2 \.safetensors files"):
        load_decoder(f"hub:{tmp_path}", module=mine, latent_shape=(4,))
    assert all(torch.equal(before[name], tensor) for name, tensor in mine.state_dict().items())
    load_decoder(f"hub:{tmp_path}", module=mine, latent_shape=(4,), file="x.safetensors")
    assert mine[0].weight.eq(1).all()


def test_what_is_no_module_with_values_is_refused(saved):
    with pytest.raises(TypeError, match=r"nn\.Module"):
        load_decoder(f"hub:{saved[0]}", module=Tiny)
    with torch.device("meta"):
        blank = Tiny(hidden=5)
    with pytest.raises(ValueError, match="meta"):
        load_decoder(f"hub:{saved[0]}", module=blank)
    with pytest.raises(ValueError, match="no device"):
        load_decoder(f"hub:{saved[0]}", device="abacus")


# From the Hub: what is asked for, and at which commit.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for `fetch_folder` and `list_files`: (the repository's folder, what was asked for)."""
    repository, asked = tmp_path / "repository", []
    repository.mkdir()
    cache = tmp_path / "c0ffee"

    def fetch(repo, patterns, revision=None, token=None, most_bytes=None):
        asked.append((repo, patterns, revision, token))
        for path in repository.rglob("*"):
            name = path.relative_to(repository).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / name)
        return cache, "c0ffee"

    def names(repo, revision=None, token=None):
        return [path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()]

    monkeypatch.setattr("latent_vizae.adapters.hub.fetch_folder", fetch)
    monkeypatch.setattr("latent_vizae.adapters.hub.list_files", names)
    monkeypatch.setattr("latent_vizae.adapters.zoo.base.fetch_folder", fetch)
    return repository, asked


@pytest.mark.parametrize("subfolder", ["", "/part/two"])
def test_a_generator_from_the_hub_names_its_commit(hub, subfolder):
    repository, asked = hub
    Tiny().save_pretrained(repository / subfolder.lstrip("/"))
    (repository / "pytorch_model.bin").write_bytes(b"")
    f_d = load_decoder(f"hub:user/repo{subfolder}@v1", token="t")
    assert f_d.source == f"hub:user/repo{subfolder}@c0ffee"
    prefix = f"{subfolder}/".lstrip("/")
    names = [f"{prefix}config.json", f"{prefix}model.safetensors"]
    assert asked == [("user/repo", names[:1], "v1", "t"), ("user/repo", names, "c0ffee", "t")]
    again = ZooGenerator.from_pretrained(f"user/repo{subfolder}", revision="v1")
    assert same(again, f_d)
    assert again.source == f_d.source
    assert asked[2] == ("user/repo", names, "v1", None)
    with pytest.raises(ValueError, match="Two revisions"):
        ZooGenerator.from_pretrained("user/repo@a", revision="b")
    with pytest.raises(ValueError, match="only the Hub has revisions"):
        ZooGenerator.from_pretrained(repository, revision="b")


def test_a_foreign_class_is_refused_before_its_weights_are_fetched(hub):
    repository, asked = hub
    Tiny().save_pretrained(repository)
    edit(repository, architecture="os.system")
    with pytest.raises(ValueError, match="not in the zoo"):
        load_decoder("hub:user/repo")
    assert [patterns for _, patterns, _, _ in asked] == [["config.json"]]


def test_pickles_are_never_fetched(hub, tmp_path):
    repository, _ = hub
    for name in ("pytorch_model.bin", "model.pkl", "model.pt"):
        (repository / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"hub:user/repo@c0ffee holds model[\s\S]*Pickled weights can run code"):
        load_decoder("hub:user/repo")
    with pytest.raises(ValueError, match="Pickled weights can run code"):
        load_decoder("hub:user/repo", module=Tiny())
    assert not (tmp_path / "c0ffee").exists()


def test_a_graph_or_a_module_from_the_hub(hub):
    repository, asked = hub
    (repository / "generator.onnx").write_bytes(graph())
    save_file(Tiny(hidden=5).state_dict(), repository / "w.safetensors")
    assert load_decoder("hub:user/repo").source == "hub:user/repo@c0ffee"
    assert [patterns[0] for _, patterns, _, _ in asked] == ["config.json", "generator.onnx"]
    assert [revision for _, _, revision, _ in asked] == [None, "c0ffee"]
    asked.clear()
    assert load_decoder("hub:user/repo", module=Tiny(hidden=5)).source is None
    load_decoder("hub:user/repo", module=Tiny(hidden=5), file="w.safetensors")
    assert [patterns[0] for _, patterns, _, _ in asked] == ["w.safetensors", "w.safetensors"]
    save_file(Tiny().state_dict(), repository / "w2.safetensors")
    with pytest.raises(ValueError, match=r"2 \.safetensors files.*choose, file="):
        load_decoder("hub:user/repo", module=Tiny())
    assert len(asked) == 2


def test_pushing_is_saving_and_uploading_the_folder(monkeypatch):
    pushed = {}

    def push(folder, repo, **options):
        pushed.update(options, files=sorted(p.name for p in folder.iterdir()), card=(folder / "README.md").read_text())
        return f"https://hub/{repo}"

    monkeypatch.setattr("latent_vizae.adapters.zoo.base.push_folder", push)
    assert Tiny().push_to_hub("user/repo", private=True, create_pr=True) == "https://hub/user/repo"
    assert pushed["files"] == ["README.md", "config.json", "model.safetensors"]
    assert (pushed["private"], pushed["create_pr"], pushed["revision"], pushed["token"]) == (True, True, None, None)
    assert 'load_decoder("hub:user/repo")' in pushed["card"]
    assert "| hidden | 6 |" in pushed["card"]


def test_files_and_parts_of_a_reference(hub, saved):
    """A file at its end, or its parts as arguments, as of other libraries."""
    repository, asked = hub
    shutil.copytree(saved[0], repository / "sub")
    wanted = load_decoder("hub:user/repo/sub@v1").source
    for reference, more in (
        ("user/repo/sub/model.safetensors@v1", {}),
        ("user/repo", {"subfolder": "sub", "revision": "v1"}),
        ("user/repo/sub", {"revision": "v1"}),
    ):
        assert load_decoder(f"hub:{reference}", **more).source == wanted
    assert {revision for _, _, revision, _ in asked} <= {"v1", "c0ffee"}
    mine = Tiny(hidden=5)
    save_file(mine.state_dict(), repository / "sub" / "w.safetensors")
    asked.clear()
    load_decoder("hub:user/repo/sub/w.safetensors@v1", module=Tiny(hidden=5))
    assert [patterns for _, patterns, _, _ in asked] == [["sub/w.safetensors"]]
    with pytest.raises(ValueError, match="Two revisions came, 'v1' and 'v2'"):
        load_decoder("hub:user/repo@v1", revision="v2")
    with pytest.raises(ValueError, match="is for repositories of the Hub"):
        load_decoder(f"hub:{saved[0]}", revision="v1")
    for name in ("weights.pt", "weights.bin"):
        with pytest.raises(ValueError, match="Pickled weights"):
            load_decoder(f"hub:user/repo/{name}")


def test_a_generators_file_is_the_generator(saved):
    folder, generator = saved
    f_d = load_decoder(f"hub:{folder}/model.safetensors")
    assert f_d.source == f"hub:{folder}"
    assert torch.equal(f_d(torch.zeros(2, 4)), generator(torch.zeros(2, 4)))
