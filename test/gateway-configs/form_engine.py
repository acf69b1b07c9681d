"""A stand-in for an engine that serves audio: parses forms as vLLM does, with Starlette and python-multipart, and answers what it found.

usage: form_engine.py PORT
"""

import hashlib
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse
from starlette.routing import Route


async def transcribe(request):
    parts = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read()
                parts.append([name, {"filename": value.filename, "sha256": hashlib.sha256(content).hexdigest()}])
            else:
                parts.append([name, value])
    return JSONResponse({"text": "transcribed", "parts": parts, "headers": dict(request.headers)})


PATHS = ["/v1/audio/transcriptions", "/v1/audio/translations"]
app = Starlette(routes=[Route(path, transcribe, methods=["POST"]) for path in PATHS])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
