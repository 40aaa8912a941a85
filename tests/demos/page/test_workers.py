"""Fits, certificates and searches in processes of their own."""

import asyncio
import logging
import threading

import pytest
import torch

from latent_vizae.demos.page import jobs
from latent_vizae.demos.page.finding import find_directions
from latent_vizae.demos.page.gathering import gather_codes
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.workers import Workers

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
CODES = {"source": "examples", "name": "mnist", "labels": [3, 5], "count": 60}


def nothing(*_):
    pass


@pytest.fixture(scope="module")
def workers(f_d):
    return Workers(Decoders({"mnist": f_d}))


@pytest.fixture(scope="module")
def fitted(workers, f_d):
    return workers.fit(f_d, CODES, 2, 0, nothing)


def test_a_map_fitted_elsewhere_is_the_one_fitted_here(fitted, f_d):
    here = jobs.fit_map(f_d, gather_codes(f_d, **CODES), 2, 0, nothing)
    assert torch.allclose(fitted.latent_map.v.points, here.latent_map.v.points, atol=1e-4)
    assert torch.equal(fitted.codes, here.codes)
    assert torch.equal(fitted.labels, here.labels)
    assert fitted.latent_map.decoder is f_d
    assert (fitted.title, fitted.text) == (here.title, here.text)
    assert fitted.title.startswith("60 of ")
    assert fitted.title.endswith("codes of mnist, labels 3, 5")


def test_a_certificate_and_directions_come_back_as_they_are_measured_here(workers, fitted):
    there, here = workers.trust(fitted, nothing), jobs.trust(fitted, nothing)
    assert [one["verdict"] for one in there["statements"]] == [one["verdict"] for one in here["statements"]]
    for name in ("round_trip_rms", "round_trip_max"):
        assert there[name] == pytest.approx(here[name], rel=0.01, abs=1e-5)
    asked = {"method": "metric", "count": 2, "by_class": False, "steps": 10, "seed": 0}
    elsewhere = workers.directions(fitted, nothing, **asked)
    here = find_directions(fitted, **asked, progress=nothing)
    assert elsewhere.decoder is fitted.latent_map.decoder
    assert elsewhere.title == here.title
    both = (one.directions.global_directions.flatten(1) for one in (elsewhere, here))
    assert torch.allclose(*both, atol=1e-4)


def test_what_cannot_be_mapped_is_said_and_the_process_goes_on(workers, f_d):
    with pytest.raises(ValueError, match="no examples with these labels"):
        workers.fit(f_d, CODES | {"labels": [77]}, 2, 0, nothing)
    assert workers.fit(f_d, CODES | {"count": 3}, 1, 0, nothing).latent_map.v.dim == 1


def test_a_bug_is_logged_here_with_its_traceback_and_not_shown(workers, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="noted") as caught:
        workers._ask("no such job", ("mnist", {}), "", {}, nothing)
    assert "Traceback" not in str(caught.value)
    assert "Traceback" in caplog.text


def test_a_stop_ends_a_fit_with_the_best_so_far(workers, f_d):
    told = []

    def stop(step, steps, title):
        told.append(step)
        raise KeyboardInterrupt

    fitted = workers.fit(f_d, CODES | {"count": 2000, "labels": None}, 2, 0, stop)
    assert "Stopped early" in fitted.text
    assert told


def test_a_process_that_dies_is_noted_and_replaced(workers, f_d, caplog):
    def kill(*_):
        workers_of_fit[0].kill()

    workers_of_fit = list(workers._idle[-1:])
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="fewer codes"):
        workers.fit(f_d, CODES | {"count": 2000, "labels": None}, 2, 0, kill)
    assert "ended with" in caplog.text
    assert len(workers.fit(f_d, CODES, 2, 0, nothing).codes) == 60


def test_the_thread_that_asks_works_itself_for_a_decoder_without_a_name(workers, f_d):
    class Other:
        latent_shape, examples = f_d.latent_shape, f_d.examples

        def __call__(self, codes):
            threads.add(threading.get_ident())
            return f_d(codes)

    threads, other = set(), Other()
    fitted = workers.fit(other, CODES, 2, 0, nothing)
    assert threads
    assert workers.trust(fitted, nothing)["statements"]


def test_processes_end_with_the_page(f_d):
    workers = Workers(Decoders({"mnist": f_d}))
    workers.warm()
    (process,) = workers._idle
    assert process.poll() is None
    del workers
    assert process.poll() is not None


def test_two_fits_at_a_time_have_a_process_each(workers, f_d):
    async def visit():
        queues = Queues()
        return await asyncio.gather(
            *(queues.run("fit", f"as of {n}", workers.fit, f_d, CODES, 2, n, nothing) for n in range(2))
        )

    first, second = asyncio.run(visit())
    assert not torch.equal(first.latent_map.v.points, second.latent_map.v.points)
