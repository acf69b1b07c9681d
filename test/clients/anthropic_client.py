"""Anthropic's Python client with clients/python as its credentials, in one scenario; the result is printed as JSON.

usage: anthropic_client.py SCENARIO < {"issuer", "baseURL", "key"}
"""

import asyncio
import json
import pathlib
import sys
import time

import anthropic

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python"))
from mintmark_client import TokenProvider, anthropic_credentials  # noqa: E402

given = json.load(sys.stdin)
offset = 0.0
provider = TokenProvider(issuer=given["issuer"], api_key=given["key"], clock=lambda: time.time() + offset)
options = {"credentials": anthropic_credentials(provider), "base_url": given["baseURL"]}
QUESTION = {"model": "acme-sql", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


async def answered():
    """Three answers, of both kinds of client."""
    with anthropic.Anthropic(**options) as client:
        texts = [client.messages.create(**QUESTION).content[0].text for _ in range(2)]
    async with anthropic.AsyncAnthropic(**options) as client:
        return texts + [(await client.messages.create(**QUESTION)).content[0].text]


def rejected():
    """The gateway rejects the first token: at once, and when it is older."""
    global offset
    client = anthropic.Anthropic(**options)
    try:
        client.messages.create(**QUESTION)
        raised = None
    except anthropic.APIStatusError as error:
        raised = type(error).__name__
    offset = 11
    return {"raised": raised, "later": client.messages.create(**QUESTION).content[0].text}


scenario = globals()[sys.argv[1]]
result = scenario()
print(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
