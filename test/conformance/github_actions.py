"""Exchanges the token of a job with Authlib's own client: prints the token that it gets.

usage: github_actions.py TOKEN_ENDPOINT CLIENT_ID SUBJECT_TOKEN_TYPE < token of the job
"""

import json
import sys

from authlib.integrations.httpx_client import OAuth2Client

token_endpoint, client_id, subject_token_type = sys.argv[1:4]
client = OAuth2Client(client_id, token_endpoint_auth_method="none")
token = client.fetch_token(
    token_endpoint,
    grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token=sys.stdin.read(),
    subject_token_type=subject_token_type,
)
json.dump({"access_token": token["access_token"], "issued_token_type": token["issued_token_type"]}, sys.stdout)
