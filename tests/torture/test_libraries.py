"""Libraries that switch stacks, bring allocators, or run threads of their own."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]

DEEP = """
def deep(n):
    kept = [bytearray(n * 7 % 3000)]
    if n == 0:
        agree(); switch(); agree()
    else: deep(n - 1)
    return kept

def run(k):
    for i in range(20): deep((i + k) % 90)
"""


def test_greenlets(program, needed):
    needed("greenlet")
    (rounds,) = program(
        DEEP
        + """
import greenlet
def switch(): greenlet.getcurrent().parent.switch()
def some():
    greenlets = [greenlet.greenlet(run) for _ in range(60)]
    for k, one in enumerate(greenlets): one.switch(k)
    return greenlets
def both(_):
    live = some()
    while live:
        for one in live: one.switch()
        live = [one for one in live if not one.dead]
    some()  # and these are thrown away half-way
rounds = 0
while more():
    both(0); on_threads(3, both); dump(); rounds += 1
answer(rounds)"""
    )
    assert rounds > 0


def test_gevent_with_everything_patched(way, program, needed):
    needed("gevent")
    if way.kind == "mixed":
        # So does jemalloc alone, without any of us: libgcc follows the C stack out of the
        # greenlet's part into what another one has left there (jemalloc 5.3.0, gevent 25.9).
        pytest.skip("unwinding C stacks under gevent crashes")
    (rounds,) = program(
        "from gevent import monkey; monkey.patch_all()\n"
        + DEEP
        + """
import gevent, gevent.threadpool
def switch(): gevent.sleep(0)
rounds, pool = 0, gevent.threadpool.ThreadPool(4)
while more():
    gevent.joinall([gevent.spawn(run, k) for k in range(60)], raise_error=True)
    on_threads(20, run)
    list(pool.map(lambda n: (allocate(n), agree()), range(50)))
    dump(); rounds += 1
answer(rounds)"""
    )
    assert rounds > 0


def test_numpy(program, needed):
    needed("numpy")
    held, low, high = program("""
import numpy
def hold(): return [numpy.ones(50_000) for _ in range(100)]
def use(n):
    one = numpy.random.default_rng(n).random((100, 100))
    return (one @ one).sum(), numpy.sort(one, axis=None), numpy.array([str(n)] * 100, dtype=object)
kept = hold()
while more(): on_threads(4, lambda n: [use(n + i) for i in range(50)])
held = sum(s.bytes for s in dump().samples if any(f.function.startswith("hold") for f in s.stack))
answer(held, *((0, 1e5) if kind == "sampler" else (38e6, 48e6)))  # numpy's are malloc's""")
    assert low <= held <= high


def test_lxml(program, needed):
    needed("lxml")
    (rounds,) = program("""
from lxml import etree
text = b"<a>" + b"".join(b"<b n='%d'>text<c/></b>" % n for n in range(2000)) + b"</a>"
def use(n):
    tree = etree.fromstring(text)
    for one in tree.iter("b"): one.set("m", str(n)); one.append(etree.Element("d"))
    return etree.tostring(tree.xpath("//b[@n > 1000]")[0])
rounds = 0
while more():
    on_threads(4, use); dump(); rounds += 1
answer(rounds)""")
    assert rounds > 0


def test_grpc(program, needed):
    needed("grpc")
    (calls,) = program("""
import concurrent.futures, grpc
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        def reply(request, context):
            agree(); allocate(len(request))
            return request * 2
        return grpc.unary_unary_rpc_method_handler(reply)
server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([Echo()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
calls = []
def client(n):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary("/echo/Echo")
        while more():
            assert echo(b"x" * (n * 300 + 1)) == b"x" * (n * 300 + 1) * 2
            calls.append(n)
            if len(calls) % 100 == 0: dump()
on_threads(6, client)
server.stop(None).wait()
answer(len(calls))""")
    assert calls > 50
