"""Gets tokens with Authlib's own clients, without a stored secret, and revokes one: prints the tokens.

usage: assertions.py ISSUER CLIENT_ID ASSERTION_ISSUER AUDIENCE < private key in PEM
"""

import json
import sys
import time

from authlib.integrations.httpx_client import AssertionClient, OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

issuer, client_id, assertion_issuer, audience = sys.argv[1:5]
key = ECKey.import_key(sys.stdin.read())
token_endpoint = f"{issuer}/oauth/token"


def client():
    """RFC 7523 §2.2: the audience is the issuer. Authlib's default is the token endpoint, and an hour."""
    session = OAuth2Client(client_id, key, token_endpoint_auth_method="private_key_jwt")
    # A new one for each request: Authlib keeps the jti in the claims that it is given.
    claims = {"exp": int(time.time()) + 60}
    session.register_client_auth_method(
        PrivateKeyJWT(issuer, claims=claims, headers={"kid": "own"}, alg="ES256")
    )
    session.revocation_endpoint_auth_method = "private_key_jwt"
    return session


by_client_assertion = client().fetch_token(token_endpoint, grant_type="client_credentials")
revoked = client().fetch_token(token_endpoint, grant_type="client_credentials")
answer = client().revoke_token(f"{issuer}/oauth/revoke", token=revoked["access_token"])

# RFC 7523 §2.1.
by_assertion = AssertionClient(
    token_endpoint,
    issuer=assertion_issuer,
    subject="robot",
    audience=audience,
    key=key,
    header={"alg": "ES256", "kid": "own"},
    alg="ES256",
).refresh_token()

json.dump(
    {
        "client_assertion": by_client_assertion["access_token"],
        "assertion": by_assertion["access_token"],
        "revoked": revoked["access_token"],
        "revocation": answer.status_code,
    },
    sys.stdout,
)
