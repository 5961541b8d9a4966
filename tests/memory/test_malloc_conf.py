import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_memory import malloc_conf

OURS = {"prof": "true", "prof_active": "false", "lg_prof_sample": "19"}
NAMES = st.sampled_from([*OURS, "narenas", "background_thread"])
VALUES = st.sampled_from(["true", "false", "17", "1"])
WELL_FORMED = st.lists(st.tuples(NAMES, VALUES)).map(
    lambda pairs: ",".join(f"{name}:{value}" for name, value in pairs)
)


def test_nothing_set_leaves_our_options():
    text = malloc_conf.extend("", OURS)
    assert text == "prof:true,prof_active:false,lg_prof_sample:19"


@given(WELL_FORMED)
def test_what_the_user_set_wins_and_the_rest_is_ours(text):
    options = malloc_conf.parse(malloc_conf.extend(text, OURS))
    assert options == {**OURS, **malloc_conf.parse(text)}


@given(st.text())
def test_whatever_the_user_wrote_stays_to_the_letter_and_ours_is_read(text):
    extended = malloc_conf.extend(text, OURS)
    assert extended.endswith(text)
    assert malloc_conf.parse(extended).keys() >= OURS.keys()


@given(st.text())
def test_extending_twice_is_extending_once(text):
    once = malloc_conf.extend(text, OURS)
    assert malloc_conf.extend(once, OURS) == once


def test_an_option_that_only_begins_like_ours_is_not_taken_for_it():
    text = "prof:true,prof_active:false,lg_prof_sample:199"
    assert malloc_conf.extend(text, OURS) == f"{malloc_conf.extend('', OURS)},{text}"


@given(WELL_FORMED.filter(bool))
def test_no_mistake_is_seen_where_there_is_none(text):
    assert malloc_conf.mistake(text) == ""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prof:true, lg_prof_sample:12", "blank"),
        ("prof:true lg_prof_sample:12", "blank"),
        ("prof", "name:value"),
        ("prof=true", "name:value"),
        ("prof:true,,narenas:1", "name:value"),
    ],
)
def test_the_usual_mistakes_are_named(text, hint):
    assert hint in malloc_conf.mistake(text)


@pytest.mark.parametrize(("prefix", "name"), [("", "MALLOC_CONF"), ("_rjem_", "_RJEM_MALLOC_CONF")])
def test_the_variable_carries_the_prefix(prefix, name):
    assert malloc_conf.variable(prefix) == name


@pytest.mark.parametrize(
    "text",
    [
        "prof:true,lg_prof_sample:12",
        "lg_prof_sample:12,lg_prof_sample:15,prof:true",
        "prof:true, lg_prof_sample:12",
        "prof:true,lg_prof_sample:12,",
        "lg_prof_sample:14,,prof:true",
        "lg_prof_sample:14,prof",
    ],
)
def test_parsing_agrees_with_jemalloc_itself(under_jemalloc, text):
    snippet = """
import json
from endoscope_memory import jemalloc
found = jemalloc.loaded()
print(json.dumps([found.profiling_enabled, found.sample_interval_bytes]))
"""
    options = {"prof": "false", "lg_prof_sample": "19", **malloc_conf.parse(text)}
    expected = [options["prof"] == "true", 1 << int(options["lg_prof_sample"])]
    assert under_jemalloc(snippet, MALLOC_CONF=text).answer == expected
