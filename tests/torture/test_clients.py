"""Several clients at once at one recorder."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_clients_start_stop_dump_and_look_at_once(program):
    done, samples = program("""
import collections, logging
from endoscope import BusyError, RequestError
from endoscope_memory.recorder import Recorder
recorder = Recorder(settings, folder, "shop", logging.getLogger("shop"))
done = collections.Counter()
wishes = [Wish(), Wish(discard=True), Wish(sample_interval_bytes=settings.sample_interval_bytes),
          Wish(sample_interval_bytes=1 << 15)]
actions = {
    "start": lambda: recorder.start(random.choice(wishes)),
    "discard": lambda: recorder.start(Wish(settings.sample_interval_bytes, discard=True)),
    "stop": recorder.stop,
    "dump": recorder.dump,
    "top": lambda: recorder.top(20),
    "status": recorder.status,
}
def client(n):
    while more():
        name = random.choice(list(actions))
        try: actions[name]()
        except BusyError: done["busy"] += 1
        except RequestError as error: done[f"refused: {error.message}"] += 1
        else: done[name] += 1
def service(n):
    kept = []
    while more():
        kept.append(allocate(len(kept))); kept = kept[-300:]
on_threads(6, lambda n: client(n) if n < 4 else service(n))
recorder.start(Wish(settings.sample_interval_bytes, discard=True))
kept = [allocate(n) for n in range(2000)]
recorder.dump()
answer(done, sum(stack.objects for stack in recorder.top(10).stacks))""")
    assert not [name for name in done if name.startswith("refused")]
    assert min(done[name] for name in ("start", "stop", "dump", "top", "discard")) > 0
    assert samples > 1000
