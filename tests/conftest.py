"""What all tests share. Marks are declared in pyproject.toml; seeds and devices are left alone."""

import os
import sys
from pathlib import Path

# Before torch is imported, and for the processes that tests start: threads that wait for each other sleep instead of
# spinning. On a machine with other work a fit takes a third of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # pytest -n 3: a core at most
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

from latent_vizae import LatentMap, fit, load_decoder

settings.register_profile(
    "house",
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("house")


def pytest_addoption(parser):
    parser.addoption(
        "--seed-shift",
        type=int,
        default=0,
        metavar="N",
        help="add N to the seeds of all torch.Generators: laws hold for other fits and toy data too (make matrix)",
    )


LONGEST = (
    "demos/gallery/test_gallery.py", "test_devices.py", "demos/page/test_address.py", "demos/page/test_hub.py",
    "demos/page/test_directions.py", "demos/page/test_dimensions.py", "demos/page/test_page.py", "demos/page",
)  # fmt: skip
"""Under tests/: files and folders that begin first where processes share the files (pytest -n), so that nobody waits
for one of them at the end."""


def pytest_collection_modifyitems(config, items):
    if config.pluginmanager.hasplugin("rerunfailures"):  # a browser that waited in vain, once; the summary names it
        for item in items:
            if "browser" in item.fixturenames:
                item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["TimeoutError"]))
    if hasattr(config, "workerinput"):
        first = [str(Path(__file__).parent / name) for name in LONGEST]
        rank = {
            path: next((n for n, name in enumerate(first) if path.startswith(name)), len(first))
            for path in {str(item.path) for item in items}
        }
        items.sort(key=lambda item: rank[str(item.path)])


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # which begins with files of many tests, however short these are
    shift, plain = config.getoption("seed_shift"), torch.Generator
    if shift:

        class Shifted(plain):
            def manual_seed(self, seed):
                return super().manual_seed(seed + shift)

        torch.Generator = Shifted


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the checkout: data and models that the package does not ship."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared")
    return folder


@pytest.fixture(scope="session")
def f_d():
    """The bundled MNIST decoder."""
    return load_decoder("mnist")


@pytest.fixture(scope="session")
def fives(f_d):
    """Twenty codes of the digit 5."""
    return f_d.examples(label=5, count=20)[0]


@pytest.fixture(scope="session")
def v(f_d, fives):
    """A 2-D map of them."""
    return fit(fives, decoder=f_d, labels=[5] * 20)


@pytest.fixture(scope="session")
def m(v, f_d):
    """The map with its decoder."""
    return LatentMap(v, f_d)


@pytest.fixture(scope="session")
def linear():
    """Makes decoders ``0.5 + z @ weight``, weight (n, 4 * columns); clamped, so linear while codes are small."""

    def make(weight: torch.Tensor):
        return lambda z: (0.5 + z.flatten(1) @ weight).clamp(0, 1).reshape(len(z), 1, 4, -1)

    return make


# The page in a browser: one page for all modules that need no other, one browser for modules that follow each other, a
# visitor a test.


@pytest.fixture(scope="module")
def address():
    from serving import shared_page

    return shared_page()


@pytest.fixture(scope="module")
def browser():
    from serving import shared_browser

    return shared_browser()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Close it before a module that begins without it: while it runs, asyncio has a loop already. Pages rest."""
    if "serving" in sys.modules and (nextitem is None or nextitem.path != item.path):
        serving = sys.modules["serving"]
        serving.rest_pages()
        if nextitem is None or "browser" not in nextitem.fixturenames:
            serving.close_browser()


@pytest.fixture
def page(browser, address):
    """A fresh visitor, the map before him; at the end nothing may have gone wrong or out."""
    from serving import visiting

    with visiting(browser, address) as page:
        yield page
