"""OpenAI's and Anthropic's clients for Python, unmodified, at a gateway; what came of it is printed as JSON.

usage: sdk_clients.py < {"url", "credential", "base", "own", "other", "prompt", "issuer", "key"}
"""

import asyncio
import json
import pathlib
import sys

import anthropic
import openai

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python"))
from mintmark_client import TokenProvider, anthropic_credentials  # noqa: E402

given = json.load(sys.stdin)
SHORT = {"max_tokens": 8, "temperature": 0}
# anthropic 2.14 has no parameter for the temperature.
SHORT_MESSAGE = {"max_tokens": 8, "extra_body": {"temperature": 0}}
MESSAGES = [{"role": "user", "content": given["prompt"]}]


def error_of(ask):
    try:
        ask()
    except Exception as error:
        return type(error).__name__
    return None


def with_openai():
    def client(credential):
        return openai.OpenAI(api_key=credential, base_url=given["url"] + "/v1", max_retries=0)

    good = client(given["credential"])

    def chat(model, by=good):
        answer = by.chat.completions.create(model=model, messages=MESSAGES, **SHORT)
        return answer.choices[0].message.content

    def streamed():
        chunks = good.chat.completions.create(model=given["base"], messages=MESSAGES, stream=True, **SHORT)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    base = chat(given["base"])
    text = good.completions.create(model=given["base"], prompt=given["prompt"], **SHORT).choices[0].text
    response = good.responses.create(model=given["base"], input=given["prompt"], max_output_tokens=8)
    return {
        "served": {
            "chat": isinstance(base, str),
            "stream": streamed() == base,
            "completions": isinstance(text, str),
            "responses": response.status in ("completed", "incomplete"),
            "adapter": chat(given["own"]) != base,
        },
        "foreign": error_of(lambda: chat(given["other"])),
        "wrong": error_of(lambda: chat(given["base"], client(given["credential"] + "x"))),
    }


def with_anthropic():
    def client(credential):
        return anthropic.Anthropic(auth_token=credential, base_url=given["url"], max_retries=0)

    good = client(given["credential"])

    def text(model, by=good):
        answer = by.messages.create(model=model, messages=MESSAGES, **SHORT_MESSAGE)
        return "".join(block.text for block in answer.content if block.type == "text")

    def streamed():
        with good.messages.stream(model=given["base"], messages=MESSAGES, **SHORT_MESSAGE) as stream:
            return "".join(stream.text_stream)

    base = text(given["base"])
    counted = good.messages.count_tokens(model=given["base"], messages=MESSAGES)
    return {
        "served": {
            "messages": isinstance(base, str),
            "stream": streamed() == base,
            "count_tokens": counted.input_tokens > 0,
            "adapter": text(given["own"]) != base,
        },
        "foreign": error_of(lambda: text(given["other"])),
        "wrong": error_of(lambda: text(given["base"], client(given["credential"] + "x"))),
    }


def with_token_provider():
    provider = TokenProvider(issuer=given["issuer"], api_key=given["key"])
    options = {"credentials": anthropic_credentials(provider), "base_url": given["url"], "max_retries": 0}
    asked = {"model": given["own"], "messages": MESSAGES, **SHORT_MESSAGE}
    client, async_client = anthropic.Anthropic(**options), anthropic.AsyncAnthropic(**options)
    return [client.messages.create(**asked).type, asyncio.run(async_client.messages.create(**asked)).type]


print(
    json.dumps({"openai": with_openai(), "anthropic": with_anthropic(), "token_provider": with_token_provider()})
)
