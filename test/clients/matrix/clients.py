"""OpenAI's client for Python and LangChain, unmodified, with the questions of the standard input; what each raised is printed as JSON.

usage: clients.py AT_ONCE < [{"client", "url", "credential", "model", "text", "repeated", "stream"}, ...]
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import openai
from langchain_openai import ChatOpenAI


def with_openai(asked, text):
    client = openai.OpenAI(api_key=asked["credential"], base_url=asked["url"])
    messages = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model=asked["model"], messages=messages, stream=asked["stream"])
    if not asked["stream"]:
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer)


def with_langchain(asked, text):
    model = ChatOpenAI(model=asked["model"], api_key=asked["credential"], base_url=asked["url"])
    if not asked["stream"]:
        return model.invoke(text).content
    return "".join(chunk.content for chunk in model.stream(text))


CLIENTS = {"openai for Python": with_openai, "LangChain": with_langchain}


def result_of(asked):
    try:
        answer = CLIENTS[asked["client"]](asked, asked["text"] * asked["repeated"])
        return {"raised": None, "printed": answer}
    except Exception as error:
        return {"raised": type(error).__name__, "printed": str(error)}


with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    print(json.dumps(list(pool.map(result_of, json.load(sys.stdin)))))
