"""Processes and threads that come and go."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_forks_while_threads_allocate(program):
    (forks,) = program("""
def forever(n):
    while more(): allocate(n)
for n in range(4): threading.Thread(target=forever, args=(n,), daemon=True).start()
forks = 0
while more():
    child = os.fork()
    if child == 0:
        kept = [allocate(n) for n in range(200)]
        agree()
        on_threads(3, lambda n: [allocate(i) for i in range(100)])
        if forks % 20 == 0: dump()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    forks += 1
answer(forks)""")
    assert forks > 5


def test_processes_are_spawned(program):
    (rounds,) = program("""
import multiprocessing, subprocess
rounds = 0
while more():
    for method in ("spawn", "forkserver", "fork"):
        one = multiprocessing.get_context(method).Process(target=sorted, args=([2, 1],))
        one.start(); allocate(rounds); one.join()
        assert one.exitcode == 0, (method, one.exitcode)
    subprocess.run([sys.executable, "-c", "[[i] for i in range(1000)]"], check=True)
    subprocess.run("exit 0", shell=True, check=True)
    rounds += 1
answer(rounds)""")
    assert rounds > 0


def test_hundreds_of_threads_begin_and_end(program):
    (rounds,) = program("""
rounds = 0
while more():
    on_threads(200, lambda n: ([allocate(n + i) for i in range(5)], agree()))
    rounds += 1
    if rounds % 5 == 0: dump()
answer(rounds)""")
    assert rounds > 0


def test_threads_of_c_that_call_python(program):
    (rounds,) = program("""
import ctypes
start = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
libc = ctypes.CDLL(None)
def body(_):
    # Python that was called from a thread of C's: its state comes and goes.
    allocate(7); agree()
    return None
callback, rounds = start(body), 0
while more():
    handles = [ctypes.c_ulong() for _ in range(50)]
    for one in handles: assert libc.pthread_create(ctypes.byref(one), None, callback, None) == 0
    for one in handles: assert libc.pthread_join(one, None) == 0
    rounds += 1
dump()
answer(rounds)""")
    assert rounds > 0


DAEMONS = """
import hashlib
data = os.urandom(200_000)
def native_work():
    while True:
        compressor = zlib.compressobj(1)
        compressor.compress(data); compressor.flush(); hashlib.sha256(data).digest()
def python_work():
    kept = []
    while True:
        kept.append(bytearray(3000)); kept = kept[-50:]
for work in [native_work] * 8 + [python_work] * 4:
    threading.Thread(target=work, daemon=True).start()
time.sleep(random.random() / 10)
answer("over")
"""


def test_python_ends_while_daemon_threads_allocate(program):
    assert [program(DAEMONS, seconds=1) for _ in range(25)] == [["over"]] * 25
