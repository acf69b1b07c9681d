"""Verifies a Mintmark token with PyJWT and with Authlib, from the published JWKS alone, and prints what they read.

usage: verify.py JWKS_URL ISSUER AUDIENCE < token
"""

import json
import sys
import urllib.request

import jwt
from authlib.jose import JsonWebKey, JsonWebToken

jwks_url, issuer, audience = sys.argv[1:4]
token = sys.stdin.read().strip()

signing_key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
by_pyjwt = jwt.decode(
    token,
    signing_key,
    algorithms=["ES256", "RS256", "PS256", "EdDSA"],
    audience=audience,
    issuer=issuer,
    options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
)

with urllib.request.urlopen(jwks_url) as response:
    keys = JsonWebKey.import_key_set(json.load(response))
claims = JsonWebToken(["ES256", "RS256", "PS256", "EdDSA"]).decode(
    token,
    keys,
    claims_options={"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}},
)
claims.validate()

print(json.dumps({"pyjwt": by_pyjwt, "authlib": dict(claims), "header": jwt.get_unverified_header(token)}))
