"""The house: which way imports point, what is packaged, and that everything documented runs."""

import doctest
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import latent_vizae
import latent_vizae.adapters

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).resolve().parents[1]
FOREIGN = ["diffusers", "gradio", "matplotlib", "imageio", "typer", "sklearn", "latent_vizae.adapters"]
EXTRAS = {
    "anyio", "anywidget", "diffusers", "gradio", "imageio", "imageio_ffmpeg", "latex2mathml", "matplotlib", "mkdocs",
    "nbclient", "nbformat", "sklearn", "starlette",
}  # fmt: skip

IMPORT = """
import json, logging, os, random, signal, sys
import numpy as np, torch

def state():
    return {
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "log handlers": [repr(handler) for handler in logging.getLogger().handlers],
        "log level": logging.getLogger().level,
        "interrupt": repr(signal.getsignal(signal.SIGINT)),
        "random": hash(random.getstate()),
        "numpy random": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "torch random": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
    }

before = state()
import latent_vizae
after = state()
print(json.dumps({
    "loaded": [name for name in sys.argv[1:] if name in sys.modules],
    "changed": [key for key in before if before[key] != after[key]],
}))
"""


@pytest.fixture(scope="module")
def fresh_import(tmp_path_factory):
    """What `import latent_vizae` does to a new interpreter, warnings being errors."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT, *FOREIGN],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.wheel
def test_the_core_imports_no_adapter_and_no_heavy_package(fresh_import):
    assert fresh_import["loaded"] == []


@pytest.mark.wheel
def test_importing_touches_nothing_that_is_not_ours(fresh_import):
    assert fresh_import["changed"] == []


@pytest.mark.wheel
def test_the_version_is_the_distributions():
    assert latent_vizae.__version__ == version("latent-vizae")


@pytest.mark.wheel
def test_every_public_name_is_there():
    assert [name for name in latent_vizae.__all__ if not hasattr(latent_vizae, name)] == []


@pytest.mark.wheel
def test_every_registered_decoder_can_be_imported():
    ours = [entry for entry in entry_points(group="latent_vizae.decoders") if entry.dist.name == "latent-vizae"]
    assert "mnist" in {entry.name for entry in ours}
    for entry in ours:
        assert callable(entry.load())


@pytest.fixture(scope="module")
def packaging():
    """What pyproject.toml says of the wheel, and the folder of each package that it lists."""
    if tomllib is None:
        pytest.skip("tomllib comes with Python 3.11")
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {name: said["package-dir"].get(name, name.replace(".", "/")) for name in said["packages"]}
    return said["package-data"], {name: ROOT / folder for name, folder in folders.items()}


def test_every_folder_with_code_is_a_package_of_the_wheel(packaging):
    there = {file.parent for top in ("latent_vizae", "adapters", "demos") for file in (ROOT / top).rglob("*.py")}
    others = {file.parent for file in (ROOT / "demos").rglob("pyproject.toml")}  # distributions of their own
    ours = {folder for folder in there if others.isdisjoint((folder, *folder.parents))}
    assert set(packaging[1].values()) == ours
    assert [folder for folder in ours if not (folder / "__init__.py").is_file()] == []


def test_what_the_code_reads_is_in_the_wheel_too(packaging):
    data, folders = packaging
    for name, folder in folders.items():
        if name in ("latent_vizae.demos", "latent_vizae.demos.zoo"):
            continue  # documents, and generators too large for a wheel
        inside = {other for other in folders.values() if folder in other.parents}
        files = {file for file in folder.rglob("*") if file.is_file() and inside.isdisjoint(file.parents)}
        read = {file for file in files if file.suffix not in (".py", ".pyc")}
        assert read == {file for pattern in data.get(name, []) for file in folder.glob(pattern)}, name


# What is documented runs.


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_readme_has_its_commands_each_one_line():
    marked = re.findall(r"^<!-- command: (\w+) -->\n+```bash\n([^\n]+)\n```$", readme(), flags=re.MULTILINE)
    assert [name for name, _ in marked] == ["demo", "run", "test"]
    assert all(command.startswith("python3 -m venv .venv && ") for _, command in marked)
    assert sorted(command + "\n" for _, command in marked) == sorted(blocks(readme(), "bash"))


@pytest.mark.wheel
def test_the_readmes_code_runs(tmp_path, monkeypatch):
    examples = blocks(readme(), "python")
    assert examples, "README.md shows no code"
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}  # one story: a block goes on where the one before it ended
    for number, example in enumerate(examples, start=1):
        exec(compile(example, f"README.md, code block {number}", "exec"), names)


def modules() -> list[str]:
    """Every module of the package (an editable install keeps the adapters in another folder than the core)."""
    packages = [latent_vizae, latent_vizae.adapters]
    inside = [module.name for p in packages for module in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")]
    return sorted({"latent_vizae", "latent_vizae.adapters", *inside})


@pytest.mark.wheel
@pytest.mark.parametrize("name", modules())
def test_the_docstrings_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"needs {error.name}")
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0, "see the report above"
