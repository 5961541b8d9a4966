"""Code objects without number, with names of every kind, whose addresses are used again."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_millions_of_code_objects_at_the_same_addresses(program):
    made, wrong = program("""
def found(): return walk(True)[0]
made, wrong, function = 0, [], type(found)
while more():
    name = f"f{made:09}" if made % 3 else f"f{made % 1000}"
    line = made % 5000 + 1
    code = found.__code__.replace(co_qualname=name, co_filename=name, co_firstlineno=line)
    seen = function(code, globals())()
    if seen not in ((name, name, line), ("[no room for more frames]", "", 0)):
        wrong.append((seen, name, line))
    made += 1
dump()
answer(made, wrong[:5])""")
    assert made > 10_000
    assert wrong == []


def test_file_names_that_another_thread_changes(program):
    calls, fixed, files = program("""
import _imp, re
source = "def call():\\n" + " kept = allocate(3)\\n" * 3 + " return kept\\nkept.append(call())"
codes = [compile(source, f"/first/{n}.py", "exec") for n in range(50)]
calls, fixed, seen = [], [], []
def one(n):
    if n == 0:
        while more():
            name = f"/then/{len(fixed) % 977}/" + "x" * (len(fixed) % 300) + ".py"
            _imp._fix_co_filename(codes[len(fixed) % 50], name); fixed.append(None)
    else:
        kept = []
        while more():
            exec(codes[(n + len(calls)) % 50], {"allocate": allocate, "kept": kept})
            calls.append(None)
            if len(kept) > 500: kept.clear()
            if len(calls) % 2000 == 0:
                seen.extend(f.file for s in dump().samples for f in s.stack if f.function == "call")
on_threads(6, one)
seen.extend(f.file for s in dump().samples for f in s.stack if f.function == "call")
whole = re.compile(r"/first/\\d+\\.py|/then/\\d+/x*\\.py")
answer(len(calls), len(fixed), sorted({file for file in seen if not whole.fullmatch(file)}))""")
    assert min(calls, fixed) > 100
    assert files == []


def test_names_of_every_kind_come_through_a_dump(program):
    rounds, missing = program("""
alphabet = ["\\0", "\\n", "\\t", " ", "-", "--", "%", "%41", "(", ")", "a", "<locals>", ".", ":7",
            "\\x7f", "\\xe9", "\\u2028", "\\u6f22", "\\ud800", "\\udcff", "\\U0001f600", "@ 0x1"]
def keep(): return bytearray(100_000)
def shown(text): return text.encode("utf-8", "replace").decode()
rounds, missing = 0, []
while more() and rounds < 40:
    kept, expected = [], set()
    for number in range(200):
        name = "".join(random.choices(alphabet, k=random.choice((0, 1, 3, 10, 400)))) + f"n{number}"
        file = "".join(random.choices(alphabet, k=random.choice((0, 1, 3, 10, 400)))) + ".py"
        code = keep.__code__.replace(co_qualname=name, co_filename=file)
        kept.append(type(keep)(code, {})())
        if max(len(name), len(file)) < 240:  # a longer one is cut
            expected.add((shown(name), shown(file)))
    seen = {(frame.function, frame.file) for sample in dump().samples for frame in sample.stack}
    missing.extend(sorted(expected - seen))
    rounds += 1
answer(rounds, missing[:5])""")
    assert rounds > 0
    assert missing == []
