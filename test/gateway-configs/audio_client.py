"""OpenAI's client for Python, unmodified, sends a file; the class of an error and the parts that arrived are printed as JSON.

usage: audio_client.py < {"url", "credential", "own", "other", "file"}
"""

import json
import sys

import openai

given = json.load(sys.stdin)
client = openai.OpenAI(api_key=given["credential"], base_url=given["url"] + "/v1", max_retries=0)


def transcribe(model):
    with open(given["file"], "rb") as file:
        answer = client.audio.transcriptions.create(model=model, file=file, language="en")
    return answer.model_dump()["parts"]


try:
    transcribe(given["other"])
    foreign = None
except openai.OpenAIError as error:
    foreign = type(error).__name__
print(json.dumps({"parts": transcribe(given["own"]), "foreign": foreign}))
