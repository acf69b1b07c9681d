"""Exchanges a Mintmark API key, or a token of an identity provider, for tokens and keeps a fresh one available.

    provider = TokenProvider(issuer="https://tokens.example.com", api_key=key)
    OpenAI(api_key=provider, base_url=gateway)
    AsyncOpenAI(api_key=provider.async_token, base_url=gateway)
    TokenProvider(issuer=..., identity_token=lambda: open(path).read())  # a pod, without a stored secret
    Anthropic(credentials=anthropic_credentials(provider), base_url=gateway)
    httpx.Client(auth=httpx_auth(provider, httpx))

It needs only the standard library. Threads and event loops may share a provider.
"""

from __future__ import annotations

import asyncio
import email.utils
import http.client
import json
import os
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import weakref
from concurrent.futures import Future
from typing import Any, Callable, NamedTuple, Optional, Union

__all__ = ["TokenError", "TokenProvider", "anthropic_credentials", "httpx_auth"]

ATTEMPT_SECONDS = 10.0
REFRESH_AT, USABLE_UNTIL = 0.6, 0.95  # fractions of a token's lifetime, which is counted from before the request
REFUSAL_PAUSE, SHORTEST_PAUSE, LONGEST_PAUSE = 10.0, 0.5, 60.0
LONGEST_ANSWER = 65_536


class TokenError(Exception):
    """Why there is no token. It contains neither the key nor a token.

    code: the service's error code (RFC 6749 section 5.2), or unavailable, unexpected_answer,
        api_key_unreadable or identity_token_unreadable.
    temporary: the same call may succeed later. Otherwise a person must change something.
    """

    def __init__(
        self, message: str, code: str, temporary: bool = False, retry_after: Optional[float] = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.temporary = temporary
        self.retry_after = retry_after

    def _anew(self) -> TokenError:
        """A copy without a traceback: its frames contain the key, and threads must not share what a raise changes."""
        error = TokenError(str(self), self.code, self.temporary, self.retry_after)
        error.__cause__ = self.__cause__
        return error


class _Kind(NamedTuple):
    """What is exchanged."""

    noun: str
    option: str
    required: str
    parameter: str
    form: dict[str, str]


_API_KEY = _Kind(
    "API key",
    "api_key",
    "api_key must be a Mintmark API key (mmk_...), or a function that returns one",
    "client_secret",
    {"grant_type": "client_credentials"},
)
_IDENTITY_TOKEN = _Kind(
    "identity token",
    "identity_token",
    "identity_token must be a token of an identity provider (a JWT), or a function that returns one",
    "subject_token",
    {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    },
)


class _Held(NamedTuple):
    token: str
    obtained_at: float
    refresh_at: float
    usable_until: float


class TokenProvider:
    """One shared token, and one exchange at a time.

    From 60 % of a token's lifetime on the next one is fetched in the background; a call waits only when there is no
    usable token. After a failure no request is sent until a pause is over: the one that the service requested
    (Retry-After), otherwise twice the last one. A permanent error is repeated without a request for ten seconds.
    """

    def __init__(
        self,
        *,
        issuer: str,
        api_key: Union[str, Callable[[], str], None] = None,
        identity_token: Union[str, Callable[[], str], None] = None,
        audience: Optional[str] = None,
        scope: Optional[str] = None,
        retry_for_seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """issuer: base URL of Mintmark's public listener, as in the tokens' `iss`.
        api_key: `mmk_...`, or a function that is called at each exchange, for a key that is rotated in a file.
        identity_token: instead of api_key: a token of an identity provider, or a function that is called at each
            exchange, which reads the file of a pod again or requests one from a CI service.
        audience, scope: to request; default: the key's audience, and all its scopes.
        retry_for_seconds: how long a call without a usable token retries while the service is unavailable.
        clock: for tests. The wall clock advances while a machine sleeps, as the age of tokens does.
        Raises ValueError for an invalid issuer or key.
        """
        self._url = _base_url(issuer) + "/oauth/token"
        if api_key is not None and identity_token is not None:
            raise ValueError("api_key and identity_token are both set: give only one")
        self._kind = _API_KEY if identity_token is None else _IDENTITY_TOKEN
        credential = api_key if identity_token is None else identity_token
        if not callable(credential) and not _trimmed(credential):
            raise ValueError(self._kind.required)
        self._credential = credential
        wishes = {"audience": audience, "scope": scope}
        self._wishes = {name: value for name, value in wishes.items() if value is not None}
        self._retry_for_seconds = retry_for_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Optional[_Held] = None
        self._failure: Optional[tuple[TokenError, float]] = None
        self._failures = 0
        self._flight: Optional[Future[None]] = None
        _providers.add(self)

    def __repr__(self) -> str:
        return f"TokenProvider({self._url})"

    def __call__(self) -> str:
        """A token with at least a twentieth of its lifetime left. Raises TokenError when none can be obtained."""
        deadline = self._clock() + self._retry_for_seconds
        while True:
            step = self._next_step(deadline)
            if isinstance(step, str):
                return step
            if isinstance(step, float):
                time.sleep(step)
            else:
                step.result()

    async def async_token(self) -> str:
        """As a call, without blocking the event loop."""
        deadline = self._clock() + self._retry_for_seconds
        while True:
            step = self._next_step(deadline)
            if isinstance(step, str):
                return step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await asyncio.wrap_future(step)

    def _drop(self) -> None:
        """Drops a token that was rejected. One that is younger than ten seconds stays: another would be rejected too."""
        with self._lock:
            if self._held and self._clock() - self._held.obtained_at >= REFUSAL_PAUSE:
                self._held = None

    def _next_step(self, deadline: float) -> Union[str, float, Future[None]]:
        """The token, seconds to wait, or an exchange to wait for."""
        with self._lock:
            now = self._clock()
            error, until = self._failure or (None, now)
            pause = max(until - now, 0.0)
            if pause > 2 * LONGEST_PAUSE:  # longer than any pause: the clock was set back
                pause = 0.0
            held = self._held
            # Obtained in the future: the clock was set back, and the token's age is unknown.
            if held and held.obtained_at <= now < held.usable_until:
                if now >= held.refresh_at and not pause:
                    self._start()
                return held.token
            if not pause:
                return self._start()
            if error and error.temporary and now + pause <= deadline:
                return pause
            assert error is not None  # otherwise there would be no pause
            raise error._anew()

    def _start(self) -> Future[None]:
        """Called under the lock. Uses a daemon thread: a refresh never keeps the process alive."""
        if self._flight is None:
            flight: Future[None] = Future()
            flight.set_running_or_notify_cancel()  # so that a cancelled caller does not cancel others
            threading.Thread(target=self._fly, args=(flight,), name="mintmark-token", daemon=True).start()
            self._flight = flight
        return self._flight

    def _fly(self, flight: Future[None]) -> None:
        """The result is in _held or _failure."""
        held: Optional[_Held] = None
        failure: Optional[TokenError] = None
        begun = self._clock()
        try:
            token, life = self._exchange()
            held = _Held(token, begun, begun + life * REFRESH_AT, begun + life * USABLE_UNTIL)
        except TokenError as error:
            failure = error._anew()
        except Exception as error:  # unexpected; callers must not wait for ever
            failure = TokenError(f"The exchange failed ({type(error).__name__}).", "unavailable", True)
        with self._lock:
            self._held = held or self._held
            self._failures = self._failures + 1 if failure else 0
            self._failure = (failure, self._clock() + _pause_after(failure, self._failures)) if failure else None
            self._flight = None
        flight.set_result(None)

    def _exchange(self) -> tuple[str, float]:
        """POST /oauth/token (RFC 6749 section 4.4), one request. Every expected failure is a TokenError."""
        key = self._read_credential()
        form = {**self._kind.form, self._kind.parameter: key, **self._wishes}
        request = urllib.request.Request(
            self._url, urllib.parse.urlencode(form).encode(), {"Accept": "application/json"}, method="POST"
        )
        try:
            with _opener.open(request, timeout=ATTEMPT_SECONDS) as response:
                status, retry_after, text = response.status, None, response.read(LONGEST_ANSWER)
        except urllib.error.HTTPError as answered:
            with answered:
                status, retry_after = answered.code, answered.headers.get("Retry-After")
                text = _read(answered)
        except (OSError, http.client.HTTPException) as error:
            raise TokenError(
                f"The token service at {self._url} cannot be reached ({_reason(error)}).", "unavailable", True
            ) from None
        return self._understand(status, _wait_of(retry_after), _parsed(text), key)

    def _understand(
        self, status: int, retry_after: Optional[float], answer: dict[str, Any], key: str
    ) -> tuple[str, float]:
        token, life = answer.get("access_token"), answer.get("expires_in")
        bearer = isinstance(token, str) and token and str(answer.get("token_type")).lower() == "bearer"
        if bearer and isinstance(life, (int, float)) and life > 0:
            return str(token), float(life)
        said = answer.get("error_description") or "No reason given."
        if status >= 500 or status == 429:
            text = f"The token service at {self._url} is not available ({status}): {said}"
            raise TokenError(text.replace(key, "[redacted]"), "unavailable", True, retry_after)
        code = answer.get("error")
        if status < 400 or not isinstance(code, str):
            text = f"What answers at {self._url} ({status}) is not Mintmark's token endpoint. Check the issuer."
            raise TokenError(text, "unexpected_answer")
        advice = " It is mistyped, expired or revoked: ask for a new one." if code == "invalid_client" else ""
        text = f"The token service at {self._url} refuses the {self._kind.noun} ({code}): {said}{advice}"
        raise TokenError(text.replace(key, "[redacted]"), code.replace(key, "[redacted]"))

    def _read_credential(self) -> str:
        if not callable(self._credential):
            return _trimmed(self._credential)
        noun, option = self._kind.noun, self._kind.option
        try:
            text = _trimmed(self._credential())
        except Exception as error:
            raise TokenError(f"The {noun} cannot be read: {option}() failed.", f"{option}_unreadable") from error
        if not text:
            raise TokenError(f"The {noun} cannot be read: {option}() returned nothing.", f"{option}_unreadable")
        return text


def anthropic_credentials(provider: TokenProvider) -> Callable[..., Any]:
    """For `credentials=` of `Anthropic` and `AsyncAnthropic`.

    They call it for each request, because `expires_at` is 0, and with `force_refresh` after a 401: then the next token
    is a new one. AsyncAnthropic calls it in a thread.
    """
    from anthropic.lib.credentials import AccessToken

    def credentials(*, force_refresh: bool = False) -> Any:
        if force_refresh:
            provider._drop()
        return AccessToken(provider(), expires_at=0)

    return credentials


def httpx_auth(provider: TokenProvider, httpx: Any) -> Any:
    """For `auth=` of a client of `httpx` or `httpx2`, sync and async; `httpx` is that module."""

    class BearerAuth(httpx.Auth):  # type: ignore[misc]
        def sync_auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = f"Bearer {provider()}"
            yield request

        async def async_auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = f"Bearer {await provider.async_token()}"
            yield request

    return BearerAuth()


def _pause_after(error: TokenError, failures: int) -> float:
    """Randomized by a quarter, so that many clients do not retry at once; never zero."""
    backoff = SHORTEST_PAUSE * 2 ** min(failures - 1, 10)
    asked = REFUSAL_PAUSE if not error.temporary else backoff if error.retry_after is None else error.retry_after
    return min(max(asked, SHORTEST_PAUSE), LONGEST_PAUSE) * (1 + random.random() / 4)


def _wait_of(header: Optional[str]) -> Optional[float]:
    """RFC 9110 section 10.2.3: seconds or a date."""
    try:
        if header is None or header.isdigit():
            return header if header is None else float(header)
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _base_url(issuer: str) -> str:
    parts = urllib.parse.urlsplit(issuer)
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("issuer must be the base URL of Mintmark, like https://tokens.example.com, and nothing more")
    return issuer.rstrip("/")


def _trimmed(key: object) -> str:
    """A key from a file ends with a newline, and may begin with a byte order mark (PowerShell writes one)."""
    return key.strip("\ufeff \t\r\n") if isinstance(key, str) else ""


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _read(answered: urllib.error.HTTPError) -> bytes:
    try:
        return answered.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException):
        return b""


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {ATTEMPT_SECONDS:.0f} seconds"
    return cause if isinstance(cause, str) else getattr(cause, "strerror", None) or type(cause).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Following a redirect would send the key to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)
_providers: weakref.WeakSet[TokenProvider] = weakref.WeakSet()


def _after_fork() -> None:
    """The exchange's thread, and the holder of the lock, exist only in the parent."""
    for provider in _providers:
        provider._lock = threading.Lock()
        provider._flight = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
