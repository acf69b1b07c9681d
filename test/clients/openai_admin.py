"""OpenAI's Python client, unmodified, as an administrator who reads usage page by page; what it read is printed as JSON.

usage: openai_admin.py completions < {"baseURL", "adminKey", "query"}
"""

import json
import sys

import openai

given = json.load(sys.stdin)
client = openai.OpenAI(
    api_key="unused", admin_api_key=given["adminKey"], base_url=given["baseURL"], max_retries=0
)
results, page = [], openai.omit
while True:
    found = client.admin.organization.usage.completions(**given["query"], page=page)
    results += [result.to_dict() for bucket in found.data for result in bucket.results]
    if not found.has_more:
        break
    page = found.next_page
try:
    client.admin.organization.usage.completions(**given["query"], user_ids=["u"])
    refused = None
except openai.APIStatusError as error:
    refused = type(error).__name__
print(json.dumps({"results": results, "refused": refused}))
