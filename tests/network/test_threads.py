"""Threads: what is set for our own work is seen by nobody else, and put back; parts are worked on in their order."""

import threading
import time

import pytest
import torch

from latent_vizae import fit
from latent_vizae.decoders.contract import decode_images
from latent_vizae.network.threads import _library, callers_threads, in_parallel, one_thread

needs_openmp = pytest.mark.skipif(_library() is None, reason="this torch has no OpenMP that we know")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def elsewhere(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@needs_openmp
def test_one_thread_is_this_threads_own_and_put_back_whatever_happens(two_threads):
    with pytest.raises(ZeroDivisionError), one_thread():  # noqa: PT012 (the state inside is looked at, then it fails)
        assert torch.get_num_threads() == 1
        assert elsewhere(torch.get_num_threads) == 2
        with callers_threads():
            assert torch.get_num_threads() == 2
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
    with callers_threads():
        assert torch.get_num_threads() == 2


@needs_openmp
@pytest.mark.parametrize("end", ["done", "raised", "interrupted"])
def test_fit_leaves_the_number_of_threads_and_large_images_have_the_callers(two_threads, end):
    seen = []

    def decoder(z):
        seen.append((len(z), torch.get_num_threads(), elsewhere(torch.get_num_threads)))
        if end == "raised" and len(seen) == 2:
            raise ZeroDivisionError
        return torch.sigmoid(z @ torch.ones(6, 3 * 64 * 64)).reshape(-1, 3, 64, 64)

    def progress(step, steps, title):
        if end == "interrupted":
            raise KeyboardInterrupt

    settings = {"decoder": decoder, "steps": 3, "progress": progress}
    codes = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    if end == "raised":
        with pytest.raises(ValueError, match="ZeroDivisionError"):
            fit(codes, **settings)
    else:
        assert fit(codes, **settings).report.interrupted == (end == "interrupted")
    assert torch.get_num_threads() == 2
    assert {threads for _, *counts in seen for threads in counts} == {2}


@needs_openmp
def test_small_images_are_decoded_by_one_thread(two_threads):
    seen = []

    def decoder(z):
        seen.append(torch.get_num_threads())
        return z.sigmoid().reshape(-1, 1, 2, 2)

    decode_images(decoder, torch.randn(50, 4))
    assert seen[-1] == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parts_come_in_their_order(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:

        def slow_first(number):
            time.sleep(0.01 * (number == 0))
            assert torch.is_inference_mode_enabled()
            return number, torch.get_num_threads()

        with torch.inference_mode():
            made = list(in_parallel(slow_first, iter(range(40))))
        assert [number for number, _ in made] == list(range(40))
        assert list(in_parallel(slow_first, [])) == []
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_part_is_raised_and_the_rest_is_left():
    started = []

    def part(number):
        started.append(number)
        if number == 3:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        list(in_parallel(part, range(1000)))
    assert len(started) < 40


def test_points_are_the_same_by_one_thread_and_by_several():
    v = fit(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), steps=50)
    codes, before = torch.randn(9000, 8, generator=torch.Generator().manual_seed(1)), torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(v.encode(codes))
    torch.set_num_threads(before)
    assert torch.equal(*found)
