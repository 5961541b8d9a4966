import os
import signal
import threading

from endoscope_memory.once import once


class Asked:
    def __init__(self):
        self.times = 0

    @once
    def answer(self):
        """Return what it is."""
        self.times += 1
        return self.times


def test_it_is_reckoned_at_the_first_use_and_stays():
    asked, other = Asked(), Asked()
    assert asked.times == 0
    assert (asked.answer, asked.answer, other.answer) == (1, 1, 1)
    assert Asked.answer.__doc__ == "Return what it is."


def test_a_process_forked_while_it_is_reckoned_does_not_wait_for_it():
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        @once
        def answer(self):
            begun.set()
            go_on.wait(10)
            return 1

    thread = threading.Thread(target=lambda: Slow().answer)
    thread.start()
    assert begun.wait(10)
    if (child := os.fork()) == 0:
        signal.alarm(10)
        go_on.set()
        os._exit(0 if Slow().answer == 1 else 1)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
