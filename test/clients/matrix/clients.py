"""OpenAI's and Anthropic's clients for Python and LangChain, unmodified, with the questions of the standard input; what each raised is printed as JSON.

usage: clients.py AT_ONCE < [{"client", "url", "credential", "model", "text", "repeated", "stream"}, ...]
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
from langchain_openai import ChatOpenAI


def with_openai(asked, text):
    client = openai.OpenAI(api_key=asked["credential"], base_url=asked["url"] + "/v1")
    messages = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model=asked["model"], messages=messages, stream=asked["stream"])
    if not asked["stream"]:
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer)


def with_langchain(asked, text):
    model = ChatOpenAI(model=asked["model"], api_key=asked["credential"], base_url=asked["url"] + "/v1")
    if not asked["stream"]:
        return model.invoke(text).content
    return "".join(chunk.content for chunk in model.stream(text))


def with_anthropic(asked, text):
    client = anthropic.Anthropic(auth_token=asked["credential"], base_url=asked["url"])
    question = {"model": asked["model"], "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    if not asked["stream"]:
        return client.messages.create(**question).content[0].text
    with client.messages.stream(**question) as stream:
        return stream.get_final_text()


CLIENTS = {"openai for Python": with_openai, "anthropic for Python": with_anthropic, "LangChain": with_langchain}


def result_of(asked):
    try:
        answer = CLIENTS[asked["client"]](asked, asked["text"] * asked["repeated"])
        return {"raised": None, "printed": answer}
    except Exception as error:
        return {"raised": type(error).__name__, "printed": str(error)}


with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    print(json.dumps(list(pool.map(result_of, json.load(sys.stdin)))))
