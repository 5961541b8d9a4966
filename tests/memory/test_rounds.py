import pytest

from endoscope import BadRequestError
from endoscope_memory import rounds
from endoscope_memory.listing import Dump
from endoscope_memory.rounds import last_round, of_process, of_processes
from endoscope_profiles.views import ViewError

DUMPS = [  # newest first: seconds, process
    Dump(f"{seconds}.prof", 1, seconds, pid)
    for seconds, pid in [(5000, 1), (4990, 2), (4980, 1), (4970, None), (4000, 3), (1000, 4)]
]


def test_the_last_round_has_the_newest_dump_of_each_process_that_ran_then():
    assert [dump.name for dump in last_round(DUMPS)] == ["5000.prof", "4990.prof", "4000.prof"]
    assert [dump.name for dump in last_round(DUMPS, 10)] == ["5000.prof", "4990.prof"]
    assert last_round([]) == []


def test_without_a_choice_it_is_the_last_round_the_newest_last():
    assert of_processes(DUMPS, {}) == ["4000.prof", "4990.prof", "5000.prof"]
    assert of_processes(DUMPS, {"within": "4000"})[0] == "1000.prof"


def test_what_is_named_is_taken_as_it_is_and_once():
    chosen = {"dumps": "1000.prof,4970.prof,1000.prof,unknown.prof"}
    assert of_processes(DUMPS, chosen) == ["1000.prof", "4970.prof", "unknown.prof"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dumps": "5000.prof,4980.prof"}, "of one process"),
        ({"dumps": ""}, "from 1 to 500"),
        ({"dumps": ",".join(map(str, range(501)))}, "from 1 to 500"),
        ({"dumps": "5000.prof", "within": "10"}, "no within"),
    ],
)
def test_what_cannot_be_added_up_is_refused(options, said):
    with pytest.raises(BadRequestError, match=said) as caught:
        of_processes(DUMPS, options)
    assert (caught.value.code, bool(caught.value.remedy)) == ("bad_parameter", True)


@pytest.mark.parametrize("within", ["0", "-1", "x", "1e3", "9" * 12])
def test_a_time_is_a_whole_number_of_seconds(within):
    with pytest.raises(ViewError, match="within"):
        of_processes(DUMPS, {"within": within})


def test_no_more_are_looked_at_than_an_argument_has_room_for(monkeypatch):
    monkeypatch.setattr(rounds, "MOST_DUMPS", 2)
    assert of_processes(DUMPS, {}) == ["4990.prof", "5000.prof"]


def test_the_dumps_of_one_process():
    assert of_process(DUMPS, {}) == ["4980.prof", "5000.prof"]
    assert of_process(DUMPS, {"pid": "3"}) == ["4000.prof"]
    assert of_process(DUMPS[3:], {}) == ["4970.prof"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: of_processes([], {}),
        lambda: of_processes(DUMPS[3:4], {}),
        lambda: of_process([], {}),
        lambda: of_process(DUMPS, {"pid": "9"}),
    ],
)
def test_where_there_are_none_it_says_so(ask):
    with pytest.raises(BadRequestError) as caught:
        ask()
    assert caught.value.code == "too_few_dumps"
