from endoscope_profiles.addition import add
from endoscope_profiles.coverage import EARLIER, coverage, run_of, statement, statement_of_diff
from made import profile

FACTS = {
    "service": "shop",
    "pid": "7",
    "profiler": "sampler",
    "sees": "what Python allocates",
    "profiling_since": "2026-11-24T00:00:00Z",
    "taken": "2026-11-24T01:00:00Z",
    "resident_bytes": "20000",
    "allocated_bytes": "16000",
    "allocated_lacks": "what lies elsewhere",
}
WHOLE = profile((4000, "a"), (1000, "b"), **FACTS)


def test_a_statement_says_all_of_it():
    who, how, live, earlier = statement(WHOLE)
    assert who == "Heap of shop (pid 7) at 2026-11-24T01:00:00Z."
    assert how == (
        "Profiled since 2026-11-24T00:00:00Z by sampler, one sample per 524288 bytes: "
        "what Python allocates."
    )
    assert live == (
        "Live: 5.0 kB ± 71 B in 5,000 ± 71 blocks (± standard error), 31% of the 16.0 kB that the "
        "allocator has in use (it does not count what lies elsewhere) and 25% of the 20.0 kB of "
        "resident memory."
    )
    assert earlier == EARLIER


def test_what_is_not_known_is_said_to_be_unknown():
    who, how, live, _ = statement(profile())
    assert who == "Heap of a process at an unknown time."
    assert how.startswith("Profiled since an unknown time by an unknown profiler, one sample per")
    assert live == "Live: 0 B ± 0 B in 0 ± 0 blocks (± standard error)."


def test_an_exact_profile_says_so():
    exact = type(WHOLE)(WHOLE.samples, 1, FACTS)
    assert "by sampler, every allocation: " in statement(exact)[1]


def test_shares():
    covered = coverage(WHOLE)
    assert (covered.of_resident, covered.of_allocated) == (0.25, 0.3125)
    assert coverage(profile((1, "a"))).of_resident is None


def test_facts_are_shown_without_what_a_terminal_or_a_spreadsheet_obeys():
    hostile = profile(service="x\x1b[31m\r\n=HYPERLINK(1)", sees="\u202e", taken="a\x07")
    shown = "".join(statement(hostile))
    assert "x\\u001b[31m\\u000d\\u000a=HYPERLINK(1)" in shown
    assert shown.isprintable()


def test_runs_are_told_apart():
    assert run_of(profile()) is None
    assert run_of(profile(pid="1", profiling_since="a")) != run_of(
        profile(pid="1", profiling_since="b")
    )


def test_facts_that_are_no_numbers_are_passed_over():
    for value in ("-1", "1e3", "x", "9" * 30, "٣"):
        assert coverage(profile(resident_bytes=value)).resident_bytes is None


def test_a_comparison_is_about_both():
    lines = statement_of_diff(profile((1, "a"), **FACTS), WHOLE)
    assert lines[0].startswith("Growth")
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["Base"] * 3 + ["Target"] * 3
    assert lines[-1] == EARLIER


def test_of_several_processes_all_are_named_and_the_times_are_spans():
    facts = [
        {**FACTS, "pid": str(pid), "taken": f"2026-11-24T01:00:0{pid}Z", "profiling_since": since}
        for pid, since in ((7, "2026-11-24T00:00:00Z"), (8, "2026-11-24T00:30:00Z"))
    ]
    who, how, *_ = statement(add([profile((1, "a"), **each) for each in facts]))
    assert who == (
        "Heap of shop, 2 processes (pids 7, 8) added up, from 2026-11-24T01:00:07Z to "
        "2026-11-24T01:00:08Z."
    )
    assert how.startswith(
        "Profiled since 2026-11-24T00:00:00Z, the last one since 2026-11-24T00:30:00Z, by sampler"
    )


def test_of_many_processes_the_number_is_enough():
    who, *_ = statement(add(profile((1, "a"), pid=str(pid)) for pid in range(200)))
    assert who == "Heap of a process, 200 processes added up, at an unknown time."
