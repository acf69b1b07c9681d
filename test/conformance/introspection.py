"""Asks about tokens with Authlib's own client, by Basic and by the body, and prints the answers as JSON.

usage: introspection.py ISSUER CLIENT_ID < the secret and the tokens, one a line
"""

import json
import sys

from authlib.integrations.httpx_client import OAuth2Client

issuer, client_id = sys.argv[1:3]
secret, *tokens = sys.stdin.read().split()
answers = {}
for method in ("client_secret_basic", "client_secret_post"):
    client = OAuth2Client(client_id, secret, token_endpoint_auth_method=method)
    answers[method] = [
        client.introspect_token(f"{issuer}/oauth/introspect", token=token, token_type_hint="access_token").json()
        for token in tokens
    ]
json.dump(answers, sys.stdout)
