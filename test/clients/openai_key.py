"""OpenAI's Python client, unmodified, with a credential as its key: one answer, one stream, the list of models.

usage: openai_key.py ask < {"baseURL", "credentials"}, printed as JSON, one result for each credential
"""

import json
import sys

import openai

given = json.load(sys.stdin)
QUESTION = {"model": "llama-3-8b", "messages": [{"role": "user", "content": "Hello"}]}


def ask(credential):
    client = openai.OpenAI(api_key=credential, base_url=given["baseURL"], max_retries=0)
    answer = client.chat.completions.create(**QUESTION)
    chunks = list(client.chat.completions.create(**QUESTION, stream=True))
    models = [model.id for model in client.models.list()]
    try:
        openai.OpenAI(api_key=credential[:-8] + "xxxxxxxx", base_url=given["baseURL"], max_retries=0).models.list()
        refused = None
    except openai.APIStatusError as error:
        refused = type(error).__name__
    return {"model": answer.model, "chunks": len(chunks), "models": models, "refused": refused}


print(json.dumps([ask(credential) for credential in given["credentials"]]))
