"""OpenAI's Python client with clients/python as its key, in one scenario; what came of it is printed as JSON.

usage: openai_client.py SCENARIO < {"issuer", "baseURL", "key"}
"""

import asyncio
import json
import pathlib
import sys
import threading
import time

import openai

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python"))
from mintmark_client import TokenProvider, httpx_auth  # noqa: E402

given = json.load(sys.stdin)
offset = 0.0
sent = []
provider = TokenProvider(issuer=given["issuer"], api_key=given["key"], clock=lambda: time.time() + offset)


def record(request):
    sent.append(request.headers["authorization"])


async def record_async(request):
    record(request)


def sync_client():
    http_client = openai.DefaultHttpxClient(event_hooks={"request": [record]})
    return openai.OpenAI(api_key=provider, base_url=given["baseURL"], http_client=http_client)


def async_client():
    http_client = openai.DefaultAsyncHttpxClient(event_hooks={"request": [record_async]})
    return openai.AsyncOpenAI(api_key=provider.async_token, base_url=given["baseURL"], http_client=http_client)


def until_renewed(first):
    deadline = time.monotonic() + 5
    while provider() == first and time.monotonic() < deadline:
        time.sleep(0.01)


QUESTION = {"model": "acme-sql", "messages": [{"role": "user", "content": "Hello"}]}


def conversation():
    """A stream, in the middle of which the token is renewed."""
    global offset
    client = sync_client()
    stream = client.chat.completions.create(**QUESTION, stream=True)
    parts = [next(stream).part]
    offset = 0.6 * 3600 + 1
    client.chat.completions.create(**QUESTION)
    until_renewed(sent[0].removeprefix("Bearer "))
    answer = client.chat.completions.create(**QUESTION)
    parts += [chunk.part for chunk in stream]
    return {"parts": parts, "priority": answer.priority, "sent": sent}


async def async_conversation():
    global offset
    client = async_client()
    stream = await client.chat.completions.create(**QUESTION, stream=True)
    parts = [(await stream.__anext__()).part]
    offset = 0.6 * 3600 + 1
    await client.chat.completions.create(**QUESTION)
    await asyncio.to_thread(until_renewed, sent[0].removeprefix("Bearer "))
    answer = await client.chat.completions.create(**QUESTION)
    parts += [chunk.part async for chunk in stream]
    return {"parts": parts, "priority": answer.priority, "sent": sent}


async def at_once():
    """Twenty tasks and twenty threads."""
    client, answers = sync_client(), []

    def ask():
        answers.append(client.chat.completions.create(**QUESTION).model)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    async_answers = await asyncio.gather(
        *(async_client().chat.completions.create(**QUESTION) for _ in range(20))
    )
    for thread in threads:
        await asyncio.to_thread(thread.join)
    return {"models": answers + [answer.model for answer in async_answers], "tokens": len(set(sent))}


def answered():
    begun = time.monotonic()
    answer = sync_client().chat.completions.create(**QUESTION)
    return {"model": answer.model, "seconds": time.monotonic() - begun}


def refused():
    errors = []
    for _ in range(20):
        try:
            sync_client().chat.completions.create(**QUESTION)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    return {"errors": sorted(set(errors)), "count": len(errors)}


async def through_httpx():
    import httpx2

    url = given["baseURL"] + "/chat/completions"
    with httpx2.Client(auth=httpx_auth(provider, httpx2)) as client:
        statuses = [client.post(url, json=QUESTION).status_code]
    async with httpx2.AsyncClient(auth=httpx_auth(provider, httpx2)) as client:
        statuses.append((await client.post(url, json=QUESTION)).status_code)
    return {"statuses": statuses}


scenario = globals()[sys.argv[1]]
result = scenario()
print(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
