"""clients/python by itself, in one scenario; what came of it is printed as JSON.

usage: token_provider.py SCENARIO < {"issuer", "key"}
"""

import asyncio
import json
import os
import pathlib
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python"))
from mintmark_client import TokenError, TokenProvider  # noqa: E402

given = json.load(sys.stdin)
offset = 0.0


def provider(**options):
    options = {"issuer": given["issuer"], "api_key": given["key"], **options}
    return TokenProvider(clock=lambda: time.time() + offset, **options)


def at(seconds):
    global offset
    offset = seconds


def failure_of(call):
    try:
        call()
    except TokenError as error:
        return {"code": error.code, "temporary": error.temporary, "message": str(error)}
    return None


def life():
    """Of a token of 300 seconds."""
    token = provider()
    tokens = []
    for seconds in [0, 178, 181, 284]:
        at(seconds)
        tokens.append(token())
    deadline = time.monotonic() + 5
    while token() == tokens[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    tokens.append(token())
    at(1000)
    tokens.append(token())
    at(-1000)
    tokens.append(token())
    return [tokens.index(value) for value in tokens]


def gives_up():
    token, begun = provider(retry_for_seconds=1.5), time.monotonic()
    failure = failure_of(token)
    return {**failure, "seconds": time.monotonic() - begun}


def refused():
    """Fifty calls; everything that a crash reporter would see of the last."""
    token = provider()
    failures = [failure_of(token) for _ in range(50)]
    try:
        token()
    except TokenError as error:
        seen = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    at(15)
    return {"failures": failures, "after_the_pause": failure_of(token), "seen": seen + repr(token) + repr(failures)}


def outlives_the_service():
    token = provider(retry_for_seconds=0)
    first = token()
    print("the first token is here", file=sys.stderr, flush=True)
    while os.path.exists(given["while"]):
        time.sleep(0.01)
    at(284)
    still = token() == first
    at(286)
    return {"still": still, "failure": failure_of(token)}


async def cancelled():
    token = provider()
    impatient, patient = asyncio.ensure_future(token.async_token()), asyncio.ensure_future(token.async_token())
    await asyncio.sleep(0.1)
    impatient.cancel()
    result = (await patient)[:3]
    return {"impatient": impatient.cancelled(), "patient": result}


def forked():
    """A child that is made in the middle of its parent's exchange asks for itself."""
    token = provider()
    threading.Thread(target=token, daemon=True).start()
    time.sleep(0.1)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, token()[:3].encode())
        os._exit(0)
    os.wait()
    return {"child": os.read(reading, 3).decode(), "parent": token()[:3]}


def reads_key():
    keys = iter(["\ufeff" + given["key"] + "\r\n", given["other"]])
    token = provider(api_key=lambda: next(keys))
    first = token()
    at(286)
    second = token()
    at(600)
    return {"renewed": first != second, "failure": failure_of(token)}


def options():
    faults = []
    for wrong in given["wrong"]:
        try:
            provider(**wrong)
        except ValueError as error:
            faults.append(str(error))
    return faults


def once():
    return failure_of(provider(retry_for_seconds=0))


def audience():
    return provider(audience="other", scope="inference")()


scenario = globals()[sys.argv[1]]
result = scenario()
print(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
