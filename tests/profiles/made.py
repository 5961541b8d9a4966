"""Profiles for tests, and the strategies that make them."""

from hypothesis import strategies as st

from endoscope_profiles import Frame, Profile, Sample, jemalloc_heap, merge

FRAMES = st.builds(
    Frame,
    st.sampled_from(["a", "b", "c", "Handler.get", "<module>"]),
    st.sampled_from(["/srv/app/x.py", "/usr/lib/python3.11/json/decoder.py", "y.py"]),
    st.integers(1, 4),
    st.just(""),
)
SAMPLES = st.builds(
    Sample,
    st.lists(FRAMES, min_size=1, max_size=6).map(tuple),
    st.floats(0, 1e6),
    st.floats(0, 1e9),
    st.floats(0, 1e6),
    st.floats(0, 1e9),
)
PROFILES = st.lists(SAMPLES, max_size=12).map(lambda samples: Profile(merge(samples), 524288))


def profile(*rows, **facts):
    """Return a profile of rows (bytes, functions innermost first); each has one block per byte."""
    samples = (
        Sample(tuple(Frame(name, f"/srv/{name}.py", 1) for name in stack.split()), n, n, n, n)
        for n, stack in rows
    )
    return Profile(merge(samples), 524288, facts)


def dump_of(minute=0, pid="7", **held):
    """Return a dump of functions and their bytes, taken so many minutes after the first."""
    records = [
        ((Frame(name, f"/srv/{name}.py", 7), Frame("main", "/srv/main.py", 1)), 1, size)
        for name, size in held.items()
    ]
    facts = {"service": "shop", "pid": pid, "taken": f"2026-11-24T00:{minute:02}:00Z"}
    return b"".join(jemalloc_heap.write(records, facts=facts))
