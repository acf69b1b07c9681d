"""What the engine reads, on the server that vLLM runs on: uvicorn with httptools, json.loads and pydantic.

Answers every request 200. GET /seen returns what has been seen since the last time, and forgets it. The port is the first
line of the output.
"""

import json
import socket

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError


class Request(BaseModel):
    """The part of vLLM's requests that chooses the model: None means the base model."""

    model_config = ConfigDict(extra="allow")
    model: str | None = None


seen: list[dict] = []


def read(body: bytes) -> dict:
    """json.loads detects UTF-16 and UTF-32, and takes the last of two equal names. No media type is required here."""
    try:
        return {"reads": True, "model": Request.model_validate(json.loads(body)).model}
    except (ValueError, ValidationError, RecursionError):
        return {"reads": False, "model": None}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b"{}"
    if scope["path"] == "/seen":
        answer = json.dumps(seen).encode()
        seen.clear()
    else:
        # Only now: httptools appends trailers to the same list.
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        seen.append({"path": scope["path"], "headers": headers, **read(body)})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_level="critical")
uvicorn.Server(config).run(sockets=[listener])
