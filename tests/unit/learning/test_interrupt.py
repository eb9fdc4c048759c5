import os
import signal
import threading

import numpy as np
import pytest
import torch

from hemometric.learning import asked_to_stop
from hemometric.learning.generators import preserved_generators, seed_generators


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_is_the_former_handlers(number):
    heard = []
    former = signal.signal(number, lambda *_: heard.append("former"))
    try:
        with asked_to_stop() as asked:
            assert not asked()
            os.kill(os.getpid(), number)
            assert asked()
            assert heard == []
            os.kill(os.getpid(), number)
            assert heard == ["former"]
        os.kill(os.getpid(), number)
        assert heard == ["former", "former"]
    finally:
        signal.signal(number, former)


def test_handlers_are_put_back_without_a_signal():
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_stop():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_is_never_asked():
    answers = []

    def work():
        with asked_to_stop() as asked:
            answers.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


def draw():
    return torch.rand(3).tolist() + np.random.rand(3).tolist()  # noqa: NPY002 - the global generator is the point


def test_generators_are_a_function_of_seed_step_rank_and_purpose():
    def after(*arguments):
        seed_generators(*arguments)
        return tuple(draw())

    assert after(1, 2, 3) == after(1, 2, 3)
    others = {after(1, 2, 3), after(2, 2, 3), after(1, 3, 3), after(1, 2, 4), after(1, 2, 3, "validate")}
    assert len(others) == 5


def test_the_callers_generators_are_given_back():
    seed_generators(1, 1, 1)
    expected = draw()
    seed_generators(1, 1, 1)
    with preserved_generators(torch.device("cpu")):
        seed_generators(9, 9, 9)
        draw()
    assert draw() == expected
