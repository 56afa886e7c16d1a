"""The signatures of messages."""

import base64
import hashlib
import hmac

from api.webhooks.dispatcher import DAY_MS, retry_delay_ms
from api.webhooks.webhook_message import new_secret, sign


def test_a_message_is_signed_as_standard_webhooks_sign_one() -> None:
    # The example of the specification's libraries.
    secret, id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signature = sign(secret, id, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_256_bits_each_another() -> None:
    one, other = new_secret(), new_secret()
    assert one != other
    key = base64.b64decode(one.removeprefix("whsec_"))
    assert len(key) == 32
    expected = hmac.new(key, b"a.7.body", hashlib.sha256).digest()
    assert sign(one, "a", 7, b"body") == f"v1,{base64.b64encode(expected).decode()}"


def test_tries_come_further_and_further_apart_and_last_a_day() -> None:
    delays = [retry_delay_ms(attempts) for attempts in range(1, 60)]
    assert delays[:4] == [1000, 2000, 4000, 8000]
    assert max(delays) == 3_600_000
    assert sum(delays[:30]) < DAY_MS < sum(delays[:40])
