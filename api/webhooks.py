"""Deliveries of alerts: whose they are, whether their secret is right, and their bodies without it."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from msgspec import Struct
from pydantic import SecretStr

from api.limits import UNAUTHORIZED, Limits
from api.security import TOKEN
from infrastructure.webhook_keys import NewKey, WebhookKey, Webhooks

SIGNATURE_SECONDS = 300
KNOWN_SECONDS = 5.0
"""How long a token is believed without asking: so long another process's rotation may go unnoticed."""
_KNOWN_MAX = 10_000
PREFIX_LENGTH = 80

CLAIMS = frozenset({"secret", "token", "apikey", "api_key", "key", "passphrase"})
"""Keys under which senders put their secret; at the top of a JSON body they must have ours or not be there."""
_NAMES = "|".join(sorted(CLAIMS, key=len, reverse=True))
_JSON_CLAIM = re.compile(rf'("(?:{_NAMES})"\s*:\s*)(")(?:[^"\\]|\\.)*"', re.IGNORECASE)
_TEXT_CLAIM = re.compile(rf"""(\b(?:{_NAMES})\b["']?\s*[:=]\s*)(["']?)[^\s"',;&{{}}]+\2""", re.IGNORECASE)
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
_HARMLESS = frozenset(
    "action alert apikey buy close data exit id key limit long market order passphrase price quantity secret sell short "
    "side signal size strategy symbol ticker time timeframe timenow timestamp token tv type".split()
)
_WORD = re.compile(r"[^\W\d_]+|\d")


class WrongSecretError(Exception):
    """A delivery claims a secret or a signature that is not its webhook's; the message has neither."""


class Delivery(Struct, frozen=True):
    """A delivery that may be recorded: its body redacted, and for a signed one what tells its repeats."""

    body: str
    once: str | None = None


class KnownWebhooks:
    """Tokens that have been asked for lately, so that a delivery seldom waits for the database."""

    def __init__(self, webhooks: Webhooks, clock: Callable[[], float] = time.monotonic) -> None:
        self.stored = webhooks
        self._clock = clock
        self._known: dict[bytes, tuple[float, WebhookKey]] = {}

    async def key_of(self, token: str) -> WebhookKey | None:
        """The key of a token that counts."""
        hashed = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._known.get(hashed)
        if known is not None and self._clock() < known[0] and not _over(known[1]):
            return known[1]
        key = None if TOKEN.fullmatch(token) is None else await to_thread.run_sync(self.stored.key_of, SecretStr(token))
        self._known.pop(hashed, None)
        if key is not None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[hashed] = (self._clock() + KNOWN_SECONDS, key)
        return key

    async def create(self, run: int, bot: str, webhook: str) -> NewKey:
        """As `Webhooks.create`."""
        return await to_thread.run_sync(self.stored.create, run, bot, webhook)

    async def rotate(self, run: int, bot: str, grace_seconds: int) -> NewKey:
        """As `Webhooks.rotate`; what was known is asked for again."""
        key = await to_thread.run_sync(self.stored.rotate, run, bot, grace_seconds)
        self._known.clear()
        return key

    async def end(self, run: int, bot: str) -> None:
        """As `Webhooks.end`; what was known is asked for again."""
        await to_thread.run_sync(self.stored.end, run, bot)
        self._known.clear()

    async def refuse(self, limits: Limits, address: str, webhook: str | None, reason: str, body: bytes) -> None:
        """Keep what little may be kept of a delivery that nobody may make, if there are not too many."""
        if limits.allows(UNAUTHORIZED, "rows"):
            await to_thread.run_sync(
                self.stored.note_unauthorized, address, webhook, reason, len(body), shape(body[: 4 * PREFIX_LENGTH])
            )


def read_delivery(key: WebhookKey, token: str, body: bytes, signature: str | None) -> Delivery:
    """Check and redact a delivery under a key that counts; raises WrongSecretError."""
    once = None if signature is None else _check_signature(key, body, signature)
    text = body.decode(errors="replace").replace("\0", "\ufffd")
    content = _json(text)
    if isinstance(content, dict):
        _check_claims(key.secret.get_secret_value(), content)
    marker = f"key:{key.id} hmac:{key.sign(body)}"
    return Delivery(_redact(text, [key.secret.get_secret_value(), token], marker, is_json=content is not None), once)


def shape(body: bytes) -> str:
    """The beginning of a body with every word masked but those of an alert's form."""
    text = body.decode(errors="replace")[:PREFIX_LENGTH]
    masked = _WORD.sub(lambda found: found[0] if found[0].lower() in _HARMLESS else _mask(found[0]), text)
    return "".join(letter if letter.isprintable() else " " for letter in masked)


def _mask(word: str) -> str:
    return "9" if word.isdigit() else "x" * len(word)


def _over(key: WebhookKey) -> bool:
    return key.ends_at is not None and key.ends_at <= time.time_ns() // 1000


def _json(text: str) -> Any:
    """The body as JSON, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _check_claims(secret: str, content: dict[str, Any]) -> None:
    for name, value in content.items():
        if name.lower() in CLAIMS and value is not None:
            given = value if isinstance(value, str) else ""
            if not hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode()):
                claimed = name.lower()
                raise WrongSecretError(f"{claimed} in the body is not the secret of this webhook")


def _check_signature(key: WebhookKey, body: bytes, signature: str) -> str:
    """`t=<unix seconds>,v1=<HMAC-SHA256 of "<t>.<body>" under the secret, hex>`; returns what tells a repeat."""
    found = _SIGNATURE.fullmatch(signature)
    if found is None:
        raise WrongSecretError("the signature is not of the form t=<unix seconds>,v1=<64 hex digits>")
    at, given = found.groups()
    if abs(time.time() - int(at)) > SIGNATURE_SECONDS:
        raise WrongSecretError(f"the signature's time is more than {SIGNATURE_SECONDS} seconds off")
    made = hmac.new(key.secret.get_secret_value().encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made, given):
        raise WrongSecretError("the signature is not that of this webhook's secret")
    return f"signed:{at}:{given}"


def _redact(text: str, known: list[str], marker: str, *, is_json: bool) -> str:
    """The text without secrets: the known ones wherever they stand, and whatever is given as one."""
    if is_json and "\\" in text:
        # A secret may be written with escapes; only a body that is JSON gives them a meaning.
        text = _LITERAL.sub(lambda found: _plain_literal(found[0], known, marker), text)
    claim = _JSON_CLAIM if is_json else _TEXT_CLAIM
    text = claim.sub(lambda found: f"{found[1]}{found[2]}{marker}{found[2]}", text)
    for secret in known:
        text = text.replace(secret, marker)
    return TOKEN.sub(marker, text)


def _plain_literal(literal: str, known: list[str], marker: str) -> str:
    try:
        meant = str(json.loads(literal))
    except ValueError:
        return literal
    if not TOKEN.search(meant) and not any(secret in meant for secret in known):
        return literal
    for secret in known:
        meant = meant.replace(secret, marker)
    return json.dumps(TOKEN.sub(marker, meant))
