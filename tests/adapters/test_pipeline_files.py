"""Pipelines from folders and from the Hub: nothing is run, nothing is left out, and the source finds it again."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from loopback_hub import running_hub
from safetensors.torch import load_file, save_file

from latent_vizae import fit, load_decoder

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
import tiny_pipelines as tiny  # noqa: E402

SAVED = {
    "stable_diffusion": {}, "sdxl": {}, "latent_consistency": {}, "consistency": {}, "stable_unclip": {},
    "kandinsky": {"image_size": 16}, "cascade": {"image_size": 64}, "flux": {"image_size": 16},
    "stable_diffusion_3": {"image_size": 16}, "sana": {"image_size": 32}, "ddim": {}, "ddpm": {}, "flow": {},
}  # fmt: skip
UNET = "unet/diffusion_pytorch_model.safetensors"


def codes_of(f_d):
    return torch.randn(2, *f_d.latent_shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", SAVED)
def test_a_folder_is_the_pipeline_and_its_source_finds_it_again(name, tmp_path):
    pipe, options = tiny.seeded(getattr(tiny, name)), {"steps": 2} | SAVED[name]
    pipe.save_pretrained(tmp_path / "pipe")
    own = load_decoder("diffusers-pipeline", pipe=pipe, **options)
    f_d = load_decoder(f"diffusers-pipeline:{tmp_path}/pipe", **options)
    assert f_d.source == f"diffusers-pipeline:{tmp_path}/pipe"
    assert f_d.options == own.options
    assert torch.allclose(f_d(codes_of(f_d)), own(codes_of(f_d)), atol=1e-5)
    again = load_decoder(f_d.source, **f_d.options)
    assert torch.equal(again(codes_of(f_d)), f_d(codes_of(f_d)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "pipe"
    tiny.seeded(tiny.stable_diffusion).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "pipe")


def changed(path, **entries):
    """Change entries of a JSON file; those that become None go."""
    value = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({name: entry for name, entry in value.items() if entry is not None}))


def change_weights(path, change):
    save_file(change(load_file(path)), path)


def without_first(state):
    return dict(list(state.items())[1:])


BAD = {
    "no pipeline": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "a class that is none": (
        lambda f: changed(f / "model_index.json", _class_name="AudioLDMPipeline"),
        "AudioLDMPipeline is no pipeline .* These are: ",
    ),
    "no class": (lambda f: changed(f / "model_index.json", _class_name=None), "None is no pipeline"),
    "another library": (
        lambda f: changed(f / "model_index.json", unet=["os", "system"]),
        "'unet' of this StableDiffusionPipeline is a 'system', which is none that is loaded here",
    ),
    "a program": (
        lambda f: changed(f / "model_index.json", scheduler=["my_scheduler", "MyScheduler"]),
        "'scheduler' .* is a 'MyScheduler', which is none",
    ),
    "a component that is missing": (
        lambda f: changed(f / "model_index.json", unet=None),
        "has not all that a StableDiffusionPipeline is made of",
    ),
    "a pickle": (lambda f: (f / UNET).rename(f / UNET.replace("safetensors", "bin")), "pickles .* are not read"),
    "a weight that is missing": (lambda f: change_weights(f / UNET, without_first), "describes .* weights|not the w"),
    "a weight too many": (
        lambda f: change_weights(f / UNET, lambda state: state | {"more": torch.zeros(3)}),
        "not the weights of this UNet2DConditionModel, unet: .*more",
    ),
    "a weight of another name": (
        lambda f: change_weights(f / "text_encoder/model.safetensors", lambda s: {f"x.{n}": t for n, t in s.items()}),
        "not the weights of this CLIPTextModel, text_encoder",
    ),
    "huge layers": (
        lambda f: changed(f / "text_encoder/config.json", hidden_size=2**19),
        r"describes .* weights of a CLIPTextModel; [\d,]+ came|No CLIPTextModel can be built",
    ),
    "too many layers": (
        lambda f: changed(f / "text_encoder/config.json", num_hidden_layers=10**5),
        "has numbers or settings that are not loaded",
    ),
    "code to be run": (
        lambda f: changed(f / "text_encoder/config.json", auto_map={"AutoModel": "x.Y"}),
        "has numbers or settings that are not loaded",
    ),
    "no configuration": (lambda f: (f / "unet/config.json").unlink(), "config.json is not readable"),
    "half a file": (lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-1000]), "is broken"),
    "no vocabulary": (lambda f: (f / "tokenizer/tokenizer.json").write_text("{"), "No CLIPTokenizer is in tokenizer/"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD.keys())
def test_a_folder_that_is_no_such_pipeline_is_refused(change, words, folder):
    change(folder)
    with pytest.raises(ValueError, match=words):
        load_decoder(f"diffusers-pipeline:{folder}", steps=1)


def test_a_safety_checker_is_left_out(folder):
    changed(folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert load_decoder(f"diffusers-pipeline:{folder}", steps=1).image_shape == (3, 16, 16)


def test_half_precision_and_variants_are_remembered(folder, tmp_path):
    tiny.seeded(tiny.stable_diffusion).to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    f_d = load_decoder(f"diffusers-pipeline:{tmp_path}/half", steps=1, variant="fp16", dtype="bfloat16")
    assert f_d.dtype == torch.bfloat16
    assert (f_d.options["variant"], f_d.options["dtype"]) == ("fp16", "bfloat16")
    assert torch.equal(load_decoder(f_d.source, **f_d.options)(codes_of(f_d)), f_d(codes_of(f_d)))
    with pytest.raises(ValueError, match="There are no weights"):
        load_decoder(f"diffusers-pipeline:{folder}", steps=1, variant="fp16")


def test_an_ip_adapter_in_a_file_makes_pictures_codes(folder, tmp_path):
    pipe = tiny.seeded(tiny.stable_diffusion)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        state = tiny.ip_adapter_state(pipe.unet)
        encoder = tiny.clip_vision()
    flat = {f"{part}.{name}": tensor for part, tensors in state.items() for name, tensor in tensors.items()}
    (tmp_path / "ip").mkdir()
    save_file(flat, tmp_path / "ip" / "adapter.safetensors")
    asked = {"code": "image_embeds", "steps": 1, "ip_adapter": str(tmp_path / "ip" / "adapter.safetensors")}
    with pytest.raises(ValueError, match=r"no image encoder beside .* put it into image_encoder/"):
        load_decoder(f"diffusers-pipeline:{folder}", **asked)
    encoder.save_pretrained(tmp_path / "ip" / "image_encoder")
    f_d = load_decoder(f"diffusers-pipeline:{folder}", **asked)
    codes = f_d.encode(torch.rand(2, 3, 40, 40))
    again = load_decoder(f_d.source, **f_d.options)
    assert torch.equal(again(codes), f_d(codes))
    assert codes.shape == (2, *f_d.latent_shape)
    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "ip" / "adapter.safetensors")
    with pytest.raises(ValueError, match=r"is no IP-Adapter: it holds 'unet.weight'"):
        load_decoder(f"diffusers-pipeline:{folder}", **asked)


SHARED_WORK = """
import sys
import numpy as np
import torch
from latent_vizae import encode_images, load_decoder, place_codes, sample_codes, VizAE
folder, adapter, out, processes = *sys.argv[1:4], int(sys.argv[4])
asked = {"processes": processes, "unit_size": 3}
f_d = load_decoder(f"diffusers-pipeline:{folder}", code="image_embeds", steps=1, ip_adapter=adapter)
codes = encode_images(f_d, np.load(f"{out}.npy"), out=f"{out}/codes", **asked)
place_codes(VizAE.from_pretrained(f"{out}.v"), codes, f"{out}/points", **asked)
sample_codes(load_decoder(f"diffusers-pipeline:{folder}", code="noise", steps=1), 7, out=f"{out}/noise", **asked)
"""


def test_processes_share_the_work_of_a_pipeline_to_the_same_result(folder, tmp_path, monkeypatch):
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        state, encoder = tiny.ip_adapter_state(tiny.seeded(tiny.stable_diffusion).unet), tiny.clip_vision()
    (tmp_path / "ip").mkdir()
    flat = {f"{part}.{name}": tensor for part, tensors in state.items() for name, tensor in tensors.items()}
    save_file(flat, tmp_path / "ip" / "adapter.safetensors")
    encoder.save_pretrained(tmp_path / "ip" / "image_encoder")
    (tmp_path / "work.py").write_text(SHARED_WORK)
    v = fit(torch.randn(12, tiny.WIDTH, generator=torch.Generator().manual_seed(0)))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    for name, processes in (("alone", 1), ("both", 2)):
        out = tmp_path / name
        out.mkdir()
        np.save(f"{out}.npy", np.random.default_rng(0).integers(0, 256, (10, 3, 16, 16), np.uint8))
        v.save_pretrained(f"{out}.v")
        arguments = [tmp_path / "work.py", folder, tmp_path / "ip" / "adapter.safetensors", out, processes]
        if processes == 1:  # here
            monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
            exec(SHARED_WORK, {})
            continue
        done = subprocess.run(
            [sys.executable, *launch, *map(str, arguments)], capture_output=True, text=True, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    for part, count in (("codes", 4), ("points", 4), ("noise", 3)):
        files = sorted(path.name for path in (tmp_path / "alone" / part).glob("*.safetensors"))
        assert len(files) == count
        for file in files:
            alone, both = (load_file(tmp_path / name / part / file) for name in ("alone", "both"))
            assert alone.keys() == both.keys()
            assert all(torch.allclose(alone[key], both[key], atol=1e-5) for key in alone)


FROM_THE_HUB = """
import torch
from latent_vizae import LatentMap, fit, load_decoder
f_d = load_decoder("diffusers-pipeline:alice/pipe", code="prompt_embeds", steps=1, guidance=0)
codes = f_d.encode_text(["a cat", "a dog", "1", "2"])
v = fit(codes, decoder=f_d, seed=0)
v.save_pretrained({folder!r})
m = LatentMap.from_pretrained({folder!r})
assert torch.equal(m.decoder(codes), f_d(codes))
print(f_d.source, m.v.source)
try:
    load_decoder("diffusers-pipeline:alice/none")
except Exception as error:
    assert type(error).__name__ == "RepositoryNotFoundError", error
else:
    raise AssertionError("there is no such repository")
"""


def test_the_hub_gives_a_commit_of_it_and_no_file_that_is_not_needed(folder, tmp_path):
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    more = {"unet/diffusion_pytorch_model.bin": b"a pickle", "run_me.py": b"raise SystemExit('it was run')"}
    with running_hub(tmp_path / "hub") as hub:
        sha = hub.add_repo("alice/pipe", files | more)
        done = hub.run(FROM_THE_HUB.format(folder=str(tmp_path / "v")), cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        source = f"diffusers-pipeline:alice/pipe@{sha}"
        assert done.stdout.split() == [source, source]
        asked = " ".join(path for _, path in hub.sent("GET"))
        assert UNET in asked
        assert "pytorch_model.bin" not in asked
        assert "run_me" not in asked
