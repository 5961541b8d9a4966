"""From a service that leaks to what a person looks at: views over HTTP, reports, the archive."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

PYTHON_LEAK = ("remember_session", "leaky_service/sessions.py")
NATIVE_LEAK = ("open_stream", "leaky_service/streams.py")


@pytest.fixture
def leaked(leaky_service, needs):
    """Run the leaky service and take three dumps, some seconds and traffic apart."""
    needs("libjemalloc")
    host, traffic = leaky_service(sample_interval_bytes=65536)
    host.post("/memory/start")
    names = []
    for _ in range(3):
        traffic(3)
        names.append(host.post("/memory/dump")["name"])
    return host, names


def text(host, path):
    answer = host.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def lines_of_table(shown):
    """Return what follows the table's head."""
    return shown.partition("with callees")[2].splitlines()[1:]


def test_the_leaks_in_every_view(leaked, tmp_path):
    host, (base, _, target) = leaked
    table = lines_of_table(text(host, f"/memory/dumps/{target}?format=top&by=line"))
    for name, file in (PYTHON_LEAK, NATIVE_LEAK):
        assert any(name in line and f"{file}:" in line for line in table[:3]), table[:5]

    # What the program itself keeps is in both dumps; only the leaks grew.
    growth = lines_of_table(text(host, f"/memory/diff?base={base}&target={target}&by=function"))
    grown = [line for line in growth if line.lstrip().startswith("+")]
    assert {name for name, _ in (PYTHON_LEAK, NATIVE_LEAK) if name in "".join(grown[:2])} == {
        "remember_session",
        "open_stream",
    }

    suspects = host.get("/memory/growth?limit=2")["suspects"]
    named = {frame["function"] for each in suspects for frame in each["frames"][:2]}
    assert any(name.startswith("remember_session") for name in named)
    assert "open_stream" in named
    assert all(each["grew_in"] == each["intervals"] == 2 for each in suspects)
    assert all(each["confidence"] > 0.99 and each["bytes_per_hour"] > 0 for each in suspects)

    # The same from outside: a running service, its files, its archive.
    asked = host.cli("report", target, "--by", "line")
    assert asked.returncode == 0, asked.stderr
    assert lines_of_table(asked.stdout)[:3] == table[:3]
    file = host.output / "memory" / target
    filed = host.cli("report", str(file), "--by", "line")
    assert filed.stdout == asked.stdout
    exported = host.cli("export", "--output", str(tmp_path))
    assert exported.returncode == 0, exported.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    archived = host.cli("report", str(archive), "--by", "line")
    assert archived.stdout == asked.stdout
    grew = json.loads(host.cli("report", "--growth", str(archive), "-f", "json").stdout)
    assert grew["suspects"][:2] == suspects


def test_the_archive_s_flame_graph_shows_both_leaks_without_network(leaked, tmp_path, browser):
    host, (_, _, target) = leaked
    host.cli("export", "--output", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    page = browser.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    url = Path(tmp_path / "memory" / "flamegraph.html").as_uri()
    page.goto(url)
    page.wait_for_selector("#chart g")
    assert target in page.title()
    shown = " ".join(page.locator("#chart g div").all_inner_texts())
    page.get_by_text("Lines", exact=True).click()
    by_line = page.locator("#chart g").evaluate_all("all => all.map(g => g.ariaLabel).join(' ')")
    table = page.locator("table").inner_text()
    page.close()
    assert "remember_session" in shown
    assert "open_stream" in shown
    for place in (r"leaky_service/sessions\.py:1[5-9]", r"leaky_service/streams\.py:(19|2\d)"):
        assert re.search(place, by_line)
        assert re.search(place, table)
    assert (asked, complaints) == ([url], [])


def test_a_busy_host_is_not_held_up_by_a_view(leaky_service, needs, tmp_path):
    """The view is made elsewhere: the host's own process takes next to no time for it."""
    needs("libjemalloc")
    host, _ = leaky_service()
    records = (
        f"@ {' '.join(f'0x{n * 40 + d:x}' for d in range(1, 40))}\n  t*: 1: 4096 [0: 0]\n"
        for n in range(3000)
    )
    dump = "heap_v2/524288\n  t*: 1: 1 [0: 0]\n" + "".join(records) + "\nMAPPED_LIBRARIES:\n"
    (host.output / "memory" / "big.prof").write_text(dump)

    def ticks():
        """Return the CPU time of the host, and of its children that have ended."""
        fields = Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()
        user, system, children_user, children_system = map(int, fields[11:15])
        return user + system, children_user + children_system

    own, of_children = ticks()
    assert text(host, "/memory/dumps/big.prof?format=csv").count("\n") > 100_000
    own_after, of_children_after = ticks()
    assert own_after - own < (of_children_after - of_children) / 2


def test_native_names_come_from_the_binaries_of_this_build(leaky_service, needs):
    needs("libjemalloc", "import symbolic")
    host, traffic = leaky_service(sample_interval_bytes=65536, stacks="mixed")
    host.post("/memory/start")
    traffic(3)
    name = host.post("/memory/dump")["name"]
    dump = (host.output / "memory" / name).read_text()
    assert "\n# build_id: " in dump

    def folded(*words):
        done = host.cli("report", name, "-f", "folded", *words)
        assert done.returncode == 0, done.stderr
        return done

    plain, named = folded(), folded("--native-names")

    def totals(done):
        return sum(int(line.rpartition(" ")[2]) for line in done.stdout.splitlines())

    assert totals(named) == totals(plain)
    assert "deflateInit2_" in named.stdout
    # CPython's own functions, which no library exports, have names now.
    unnamed = [done.stdout.count("+0x") for done in (plain, named)]
    assert unnamed[1] < unnamed[0] or unnamed == [0, 0]
    assert "_PyEval_EvalFrameDefault" not in plain.stdout


def test_another_build_of_a_library_is_noticed(leaky_service, needs, tmp_path):
    needs("libjemalloc", "import symbolic")
    host, traffic = leaky_service(sample_interval_bytes=65536, stacks="mixed")
    host.post("/memory/start")
    traffic(2)
    file = host.output / "memory" / host.post("/memory/dump")["name"]
    other = re.sub(r"(?m)^(# build_id: )[0-9a-f]{8}", r"\g<1>deadbeef", file.read_text())
    (tmp_path / "other.prof").write_text(other)
    done = host.cli("report", str(tmp_path / "other.prof"), "-f", "folded", "--native-names")
    assert done.returncode == 0
    assert "is another build" in done.stderr
    untouched = host.cli("report", str(file), "-f", "folded")
    assert done.stdout == untouched.stdout
