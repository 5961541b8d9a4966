from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from endoscope_profiles import Frame, Profile, Sample, merge
from endoscope_profiles.comparison import diff
from endoscope_profiles.coverage import statement
from endoscope_profiles.speedscope import write
from made import PROFILES

# From the npm package speedscope 1.25.0, with its licence beside it.
SCHEMA = Path(__file__).parent / "data" / "speedscope-file-format.schema.json"
VALIDATOR = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))

GET = Frame("Handler.get", "/srv/service.py", 41)
MAIN = Frame("main", "/srv/service.py", 7)
DEFLATE = Frame("deflate", "/lib/libz.so.1")
MARKER = Frame("[no Python]")


def profile(*samples):
    return Profile(merge(samples), 524288, {"service": "shop"})


def file(whole, title="shop", **options):
    """Write, and read as a valid file."""
    content = json.loads(b"".join(write(whole, title=title, **options)))
    VALIDATOR.validate(content)
    return content


def frames(content):
    return [
        Frame(each["name"], each.get("file", ""), each.get("line", 0))
        for each in content["shared"]["frames"]
    ]


def stacks(content, at):
    """Return what a profile of the file gives to stacks, innermost first."""
    shared, shown = frames(content), content["profiles"][at]
    weighed = zip(shown["samples"], shown["weights"], strict=True)
    return {tuple(shared[n] for n in reversed(stack)): weight for stack, weight in weighed}


def test_a_file_has_bytes_and_objects():
    content = file(profile(Sample((GET, MAIN), 72, 5184), Sample((DEFLATE, MARKER), 1, 9000)))
    assert [(each["name"].split(":")[0], each["unit"]) for each in content["profiles"]] == [
        ("Bytes", "bytes"),
        ("Objects", "none"),
    ]
    assert stacks(content, 0) == {(GET, MAIN): 5184, (DEFLATE, MARKER): 9000}
    assert stacks(content, 1) == {(GET, MAIN): 72, (DEFLATE, MARKER): 1}
    assert [(each["startValue"], each["endValue"]) for each in content["profiles"]] == [
        (0, 14184),
        (0, 73),
    ]


def test_names_tell_the_sums_their_errors_and_what_they_cover():
    whole = profile(Sample((GET,), 1200, 3e6, 900, 4e10), Sample((MAIN,), 800, 1e6, 700, 5e10))
    content = file(whole)
    assert [each["name"] for each in content["profiles"]] == [
        "Bytes: 4.0 MB ± 300.0 kB (± standard error)",
        "Objects: 2,000 ± 40 (± standard error)",
    ]
    assert content["name"] == "shop. " + " ".join(statement(whole))


def test_what_they_cover_can_be_given():
    assert (
        file(profile(), coverage=("Growth.", "Since noon."))["name"] == "shop. Growth. Since noon."
    )


def test_growth_is_told_apart_from_shrinking():
    base = profile(Sample((GET,), 1, 500, 1, 9), Sample((MAIN,), 9, 100, 1, 16))
    target = profile(Sample((GET,), 4, 300, 1, 16), Sample((MAIN,), 9, 700, 1, 9))
    content = file(diff(base, target))
    assert [each["name"].partition(" (")[0] for each in content["profiles"]] == [
        "Bytes grown: 600 B ± 5 B",
        "Bytes shrunk: 200 B ± 5 B",
        "Objects: 3 ± 1",
    ]
    assert stacks(content, 0) == {(MAIN,): 600, (GET,): 0}
    assert stacks(content, 1) == {(MAIN,): 0, (GET,): 200}


def test_stacks_that_begin_alike_are_neighbours_and_the_most_bytes_on_the_left():
    sides = [Frame("big"), Frame("small")]
    samples = [
        Sample((Frame(f"f{n}"), sides[n % 2]), 1, 100 * (n + 1) * (1 - n % 2) + n) for n in range(6)
    ]
    content = file(profile(*samples))
    outermost = [frames(content)[stack[0]].function for stack in content["profiles"][0]["samples"]]
    assert outermost == ["big"] * 3 + ["small"] * 3


def test_a_profile_of_nothing_is_a_file():
    content = file(Profile((), 1))
    assert [each["samples"] for each in content["profiles"]] == [[], []]


def test_a_title_or_name_may_be_anything():
    content = file(profile(Sample((Frame('"\n\ud800', "\\", 1),), 1, 5)), title='a"b\n')
    assert frames(content) == [Frame('"\n\ud800', "\\", 1)]
    assert content["name"].startswith('a"b\n. ')


@given(PROFILES)
def test_every_stack_has_what_it_has_in_the_profile(whole):
    content = file(whole)
    for at, number in enumerate(("bytes", "objects")):
        told = stacks(content, at)
        assert sum(told.values()) == round(math.fsum(getattr(s, number) for s in whole.samples))
        assert told == {
            each.stack: pytest.approx(getattr(each, number), abs=1.5) for each in whole.samples
        }


@given(PROFILES, PROFILES)
def test_growth_less_shrinking_is_the_difference(base, target):
    changed = diff(base, target)
    content = file(changed)
    assert all(weight >= 0 for each in content["profiles"] for weight in each["weights"])
    signed = {"Bytes": 0, "Objects": 0}
    for each in content["profiles"]:
        name, _, direction = each["name"].partition(":")[0].partition(" ")
        signed[name] += -each["endValue"] if direction == "shrunk" else each["endValue"]
    assert signed == {"Bytes": round(changed.bytes), "Objects": round(changed.objects)}
