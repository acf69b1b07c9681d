/**
 * Why requests are refused, by what decided: the one list of reason codes. They are in the log (`reason`, or `error` where
 * there is no exact one), in answers to gateways, in the logs of gateways, in `explain` and in
 * docs/guides/troubleshooting.md. Each text says what was wrong, then the cure. A client never reads these texts: unknown,
 * revoked and expired credentials look alike to it.
 */
const BY_SUBJECT = {
  request: {
    missing_credential:
      'No credential was sent, or it was in a header that is not accepted. Send "Authorization: Bearer", or name the header in MINTMARK_GATEWAY_KEY_HEADERS.',
    ambiguous_credential: 'Two different credentials were sent. Send one.',
    malformed:
      'The credential is neither an API key with a valid checksum nor a token. Check that it is complete and sent as Bearer.',
    invalid_client: 'The exchange had no credential. Send client_secret, or Basic with the client id.',
    client_mismatch:
      'The client_id is neither the id of the API key nor that of its tenant. Correct it or leave it out.',
    unsupported_grant_type:
      'The grant_type is not known. Send client_credentials, or for an identity token token exchange or jwt-bearer.',
    invalid_request: 'The request is malformed; "detail" in the log says how. Correct the client.',
    invalid_body: 'The body cannot be read. Send one JSON object in UTF-8, not compressed, with one `model`.',
    model_missing:
      'The request names no model, or the gateway did not send it. Name one in `model`; compare MINTMARK_GATEWAY_MODEL with the gateway file.',
  },
  key: {
    unknown:
      'No API key has this secret: it is mistyped, of another installation, or its key was deleted. Create or rotate the key.',
    wrong_secret: 'The secret is not the one of this imported client. Correct it, or create a key.',
    client_unknown: 'No API key has this client_id or credential. Compare it with "mintmark key list".',
    key_expired: 'The API key expired. Extend it: mintmark key update <key> --expires-at <time>.',
    secret_ended:
      'The secret ended: its key was rotated and the overlap is over. Use the new secret, or rotate again.',
    key_disabled: 'The API key is disabled. Enable it: mintmark key enable <key>.',
  },
  tenant: {
    tenant_suspended: 'The tenant is suspended. Resume it: mintmark tenant resume <tenant>.',
  },
  right: {
    audience_not_granted:
      'The API key does not have the audience of the gateway. Add it to the tenant and the key, or compare MINTMARK_GATEWAY_AUDIENCE.',
    scope_not_granted:
      'The API key does not have the scope `inference`. Add it to the tenant and to the key.',
    invalid_scope: 'The exchange asked for a scope that the key lacks. Ask for fewer, or grant it.',
    invalid_target: 'The exchange asked for an audience that the key lacks. Ask for another, or grant it.',
    model_not_allowed:
      'The model is neither in `models` nor in `adapters` of the caller. Register it, or allow it for tenant and key; new tokens then name it.',
    not_allowed:
      'The token does not allow the model or the route, or lacks the scope. Compare "mintmark token inspect" with the request, or open the route.',
  },
  token: {
    token_malformed: 'The token cannot be read. Check that it is complete.',
    token_too_long: 'The token is longer than any token of Mintmark. Send a token of this installation.',
    token_type: 'The token is not an access token (typ at+jwt). Exchange the API key for one.',
    token_alg: 'No published key has the algorithm of the token. Send a token of this installation.',
    token_unknown_key:
      'No published key has the kid of the token. It is of another installation (compare its issuer), its signing key was revoked, or the gateway has an old JWKS. Run mintmark doctor.',
    token_signature:
      'The signature does not match. Check that the token is complete, and run mintmark doctor.',
    token_issuer:
      'The issuer is another one. Compare MINTMARK_ISSUER byte for byte; for a token of an identity provider run mintmark identity explain.',
    token_audience: 'The token is for another audience. Request one for the audience of the gateway.',
    token_scope: 'The token lacks the scope `inference`. Request one with scope=inference, or without scope.',
    token_claims: 'The token lacks claims that every token of Mintmark has. Request a new one.',
    token_expired: 'The token expired. Let the client renew it before its end, and compare the clocks.',
    token_invalid:
      'The token is not valid at this gateway, which does not say why. Give it to mintmark explain.',
  },
  revocation: {
    key_revoked: 'The API key was revoked, which cannot be undone. Create another: mintmark key create.',
    secret_revoked: 'The secret was revoked. Rotate the key: mintmark key rotate <key>.',
    token_revoked:
      'The token was revoked before its expiry, alone or with all tokens of its key or tenant. Exchange the API key for a new one.',
  },
  limit: {
    too_many_failures:
      'Too many unknown credentials came from this address: API keys, assertions or introspection tokens. Correct the client; behind a proxy set MINTMARK_TRUSTED_PROXIES.',
    too_many_revocations:
      'The client revoked 100 tokens within a minute. Retry later, or end all tokens of the key: mintmark token revoke --key <key>.',
    too_many_requests:
      'The gateway has too many requests of this address at the same time, or the limit of the tenant or key is used up. Raise it, or retry later.',
  },
  assertion: {
    assertion_too_long: 'The assertion is longer than 16 KB. Request a smaller one of its issuer.',
    assertion_malformed: 'The assertion cannot be read as a JWT. Check that it is complete.',
    assertion_crit: 'The assertion has a critical header. Request one without `crit`.',
    assertion_type: 'The assertion has a `typ` of another use. Send an ID token or a service-account token.',
    assertion_claims:
      'The assertion lacks sub, aud or exp, or a claim has another form than it should. Correct its issuer.',
    assertion_of_a_person: 'The assertion is of the login of a person. Send one of a workload.',
    assertion_expired: 'The assertion expired. Request a new one shortly before the exchange.',
    assertion_not_yet_valid: 'The assertion is not valid yet. Compare the clocks.',
    assertion_lives_too_long: 'The assertion lives for more than 24 hours. Request one with a shorter life.',
    assertion_as_id_token: 'This kind of provider sends no ID tokens. Send the type `jwt`.',
    assertion_alg: 'The algorithm is not among those of the identity provider. Add it there.',
    assertion_unknown_key:
      'No key of the identity provider has this kid. Wait for the next fetch, or check its fetches: mintmark doctor.',
    assertion_ambiguous_key: 'Several keys of the identity provider fit. Its issuer must set a kid.',
    assertion_signature: 'The signature of the assertion does not match. Check that it is complete.',
    assertion_unknown_issuer: 'No identity provider has this issuer. Create one: mintmark identity create.',
    assertion_audience:
      'The audience is not one of the identity provider. Request the assertion for that one.',
    assertion_subject:
      'The subject does not have the form that this kind of provider requires. Check its issuer.',
    no_credential_matches: 'No credential of a key matches the subject and claims. Add or widen one.',
    credentials_of_two_tenants_match:
      'Credentials of two tenants match, so neither counts. Narrow one of them.',
    credentials_of_two_keys_match:
      'Credentials of two keys match. Send the client_id of one, or narrow them.',
    not_as_expected:
      'The client named a key, tenant or credential that is not the one that matches. Correct or leave out what it names.',
    outside_bounds: 'The assertion is outside the bounds of the tenant. Widen `bounds` of the provider.',
    client_assertion_claims: 'The client assertion needs iss = sub = the key, aud = the issuer, and a jti.',
    client_assertion_lives_too_long: 'The client assertion lives for more than 5 minutes. Shorten it.',
    client_assertion_used: 'The client assertion was used before. Make a new one for each exchange.',
    not_a_spiffe_provider: 'The provider of this jwt-spiffe assertion is not of the kind spiffe.',
  },
  provider: {
    provider_unavailable:
      'This replica has no keys of the identity provider, or too old ones. Check its fetches: mintmark doctor.',
    provider_stopped:
      'The identity provider shares a key with another one, so both are stopped: remove one of them. Or a restored database brought back a deleted one: delete it again.',
  },
  service: {
    unavailable:
      'Mintmark could not decide: it was not ready, or could not reach Postgres. Read /readyz; clients retry.',
    temporarily_unavailable:
      'Mintmark could not decide: it was not ready, or could not reach Postgres. Read /readyz; clients retry.',
    server_error: 'A fault of Mintmark. Its log has the error under the request id: report it.',
    jwks_unavailable:
      'The gateway could not fetch the JWKS. Make the public listener reachable for it, or put the JWKS inline.',
    list_unavailable:
      'The gateway has no list of revoked tokens yet, and starts closed. Make the xDS listener reachable for it.',
    limits_unavailable: 'The rate limit service did not answer. Check it, and its Redis.',
    check_unreachable:
      'The gateway had no answer from Mintmark. Check /readyz, the address in the gateway file and MINTMARK_GATEWAY_HOST.',
  },
  engine: {
    engine_unavailable: 'The engine could not be reached, or did not answer. Check the engine.',
  },
} as const

type BySubject = typeof BY_SUBJECT
/** What decided a refusal. */
export type Subject = keyof BySubject
/** A code of the list. */
export type RefusalReason = { [S in Subject]: keyof BySubject[S] }[Subject] & string

interface Meaning {
  decidedBy: Subject
  /** What was wrong, then the cure. */
  text: string
}

const MEANINGS = new Map<string, Meaning>(
  Object.entries(BY_SUBJECT).flatMap(([subject, reasons]) =>
    Object.entries(reasons).map(([code, text]) => [code, { decidedBy: subject as Subject, text }] as const),
  ),
)

/** Every code, in the order of the list. */
export const REFUSAL_REASONS: readonly string[] = [...MEANINGS.keys()]

/** Undefined: not a code of the list. */
export const meaningOf = (code: string): Meaning | undefined => MEANINGS.get(code)

/** Every value of `decidedBy`. */
export const SUBJECTS = Object.keys(BY_SUBJECT) as Subject[]
