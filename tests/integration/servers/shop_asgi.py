"""An ASGI service; with `IN_CODE` it starts diagnostics where it is imported."""

import os

import shop

if "IN_CODE" in os.environ:
    import endoscope

    endoscope.start(os.environ["CONFIG"])


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = shop.answer(scope["path"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive, send):
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})
