"""A WSGI service; with `IN_CODE` it starts diagnostics where it is imported."""

import os

import shop

if "IN_CODE" in os.environ:
    import endoscope

    endoscope.start(os.environ["CONFIG"])


def app(environ, start_response):
    body = shop.answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
