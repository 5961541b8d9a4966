from __future__ import annotations

import os
import signal

import pytest

from endoscope import Access, BadRequestError, ByteStream, Json, Reach, Route, Text


def whoami(request):
    return Json({"pid": os.getpid(), "query": dict(request.query), "all": request.every_process})


def refuse(_request):
    raise BadRequestError(f"not {os.getpid()}", remedy="Ask another.", code="refused")


def partly(_request):
    if os.getpid() == partly.parent:
        return Json({}, 201)
    return refuse(_request)


partly.parent = os.getpid()


def route(path, handler, **how):
    return Route("GET", path, handler, Access.READ, "", **how)


ROUTES = (
    route("/whoami", whoami),
    route("/gathered", whoami, reach=Reach.GATHERED),
    route("/service", whoami, reach=Reach.SERVICE),
    route("/refuse", refuse),
    route("/partly", partly),
    route("/text", lambda _: Text(str(os.getpid()))),
    route("/stream", lambda _: ByteStream(iter([b"%d" % os.getpid()]), "n")),
    route("/of/{name}", lambda request: Json(dict(request.path_parameters))),
    Route("POST", "/body", lambda request: Text(request.body.decode()), Access.ACT, ""),
)


@pytest.fixture
def service(serve):
    return serve(routes=ROUTES)


@pytest.fixture
def child(service, forked):
    return forked(lambda: service.diagnostics.wait_until_serving(20))


def test_the_one_that_is_asked_answers(service, child):
    own = os.getpid()
    for query, pid in {"": own, f"?process={own}": own, f"?process={child}": child}.items():
        assert service.ask(f"/probe/whoami{query}").json() == {
            "pid": pid,
            "query": {},
            "all": False,
        }


def test_everything_of_a_request_and_of_an_answer_passes(service, child):
    assert service.ask(f"/probe/of/x%20y?process={child}").json() == {"name": "x y"}
    assert service.ask(f"/probe/body?process={child}", "POST", body=b"b").body == b"b"
    assert service.ask(f"/probe/text?process={child}").body == b"%d" % child
    assert service.ask(f"/probe/stream?process={child}").body == b"%d" % child


def test_all_answer_side_by_side(service, child):
    reply = service.ask("/probe/whoami?process=all")
    rows = reply.json()["processes"]
    assert reply.status == 200
    assert [row["pid"] for row in rows] == sorted([os.getpid(), child])
    assert all(row["answer"]["pid"] == row["pid"] for row in rows)
    assert all(row["status"] == 200 for row in rows)


def test_one_of_all_that_fails_is_told_apart(service, child):
    reply = service.ask("/probe/partly?process=all")
    rows = {row["pid"]: row for row in reply.json()["processes"]}
    assert reply.status == 207
    assert rows[os.getpid()] == {"pid": os.getpid(), "status": 201, "answer": {}}
    assert rows[child]["error"]["code"] == "refused"
    assert rows[child]["error"]["error"] == f"not {child}"


def test_what_cannot_be_collected(service, child):
    reply = service.ask("/probe/stream?process=all")
    assert reply.status == 207
    codes = {row["error"]["code"] for row in reply.json()["processes"]}
    assert codes == {"not_collectable"}


def test_a_handler_that_gathers_by_itself_is_told_so(service, child):
    assert service.ask("/probe/gathered?process=all").json()["all"] is True
    assert service.ask("/probe/gathered").json()["all"] is False
    reply = service.ask(f"/probe/gathered?process={child}").json()
    assert (reply["pid"], reply["all"]) == (child, False)


def test_of_what_is_the_same_everywhere_no_process_is_to_be_chosen(service, child):
    reply = service.ask("/probe/service?process=all")
    assert (reply.status, reply.json()["code"]) == (400, "unknown_parameter")
    assert service.ask("/probe/service").json()["pid"] == os.getpid()


@pytest.mark.parametrize("wanted", ["x", "", "-1", "1.5", "%C2%B2", "ALL", "1%20", "0x10"])
def test_what_is_no_process_id(service, wanted):
    reply = service.ask(f"/probe/whoami?process={wanted}")
    assert (reply.status, reply.json()["code"]) == (400, "bad_parameter")


@pytest.mark.parametrize("wanted", ["0", "1", "4194311", "9" * 5000])
def test_a_process_that_is_not_of_the_service(service, wanted):
    reply = service.ask(f"/probe/whoami?process={wanted}")
    assert (reply.status, reply.json()["code"]) == (404, "process_not_found")


def test_an_error_of_another_process_is_the_answer(service, child):
    reply = service.ask(f"/probe/refuse?process={child}")
    assert (reply.status, reply.json()["error"]) == (400, f"not {child}")


def test_a_process_that_is_gone(service, child):
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert service.ask(f"/probe/whoami?process={child}").status == 404
    rows = service.ask("/probe/whoami?process=all").json()["processes"]
    assert [row["pid"] for row in rows] == [os.getpid()]


def test_the_index_says_where_a_process_can_be_chosen(service):
    shown = {row["path"]: row["parameters"] for row in service.ask().json()["routes"]}
    assert "process" in shown["/diagnostics/probe/whoami"]
    assert "process" not in shown["/diagnostics/probe/service"]
    assert "process" not in shown["/diagnostics/processes"]


def test_who_may_not_ask_may_not_ask_others_either(service, child):
    assert service.ask(f"/probe/whoami?process={child}", authorization=None).status == 401
    assert service.ask("/processes", authorization="Bearer eA==").status == 401
