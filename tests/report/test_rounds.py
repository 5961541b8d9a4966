import io

from endoscope_report.rounds import facts_of, last_round, of_newest_process
from made import dump_of


def facts(pid, taken="2026-11-24T00:00:00Z"):
    return {"pid": pid, "taken": taken} if pid else {"taken": taken}


def test_facts_are_read_from_the_beginning_only():
    content = io.BytesIO(dump_of(pid="7", leak=1))
    assert facts_of(content)["pid"] == "7"
    assert content.tell() == 0
    assert facts_of(io.BytesIO(b"\x1f\x8b compressed")) == {}


def test_the_newest_of_each_process_and_the_newest_last():
    dumps = {"a": facts("7"), "b": facts("8"), "c": facts("7"), "d": facts("9")}
    assert last_round(dumps) == ["b", "c", "d"]


def test_what_was_taken_long_before_is_no_part_of_the_round():
    hours = [f"2026-11-24T{hour}Z" for hour in ("00:00:00", "01:00:01", "02:00:00")]
    dumps = {name: facts(name, taken) for name, taken in zip("789", hours, strict=True)}
    assert last_round(dumps) == ["8", "9"]


def test_one_that_does_not_say_when_it_was_taken_is_part_of_it():
    assert last_round({"a": {"pid": "7"}, "b": facts("8")}) == ["a", "b"]


def test_one_that_does_not_say_whose_it_is_is_alone_or_left_out():
    assert last_round({"a": facts("7"), "b": facts("")}) == ["b"]
    assert last_round({"a": facts(""), "b": facts("7")}) == ["b"]


def test_those_of_the_process_of_the_newest():
    assert of_newest_process({"a": facts("7"), "b": facts("8"), "c": facts("7")}) == ["a", "c"]
    assert of_newest_process({"a": facts(""), "b": facts("")}) == ["a", "b"]
    assert of_newest_process({}) == []
