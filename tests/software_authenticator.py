"""A device that keeps passkeys, in software: makes one (attestation "none") and answers challenges with it (ES256).

Every part of an answer can be made wrong on purpose. As a real one it signs what the browser says of the host where it
stands, whoever asks.
"""

import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Device:
    """One passkey and its browser. `origin` as in the address bar."""

    origin: str
    host: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""
    count: int = 0
    counts: bool = True
    flags: int = PRESENT | VERIFIED

    def make(self, options: str, **changed: Any) -> str:
        """The answer to creation options, as a page sends it."""
        asked = json.loads(options)
        self.handle = base64url_to_bytes(asked["user"]["id"])
        client_data = self._client_data("webauthn.create", asked["challenge"], changed)
        data = self._data(self.flags | ATTESTED, changed) + bytes(16) + len(self.credential_id).to_bytes(2, "big")
        attestation = {"fmt": "none", "attStmt": {}, "authData": data + self.credential_id + self._public_key()}
        response = {"clientDataJSON": client_data, "attestationObject": cbor2.dumps(attestation)}
        return self._credential(response)

    def answer(self, options: str, **changed: Any) -> str:
        """The answer to request options. `changed`: origin, host, type, challenge, flags, count, handle, key."""
        asked = json.loads(options)
        self.count += self.counts
        client_data = self._client_data("webauthn.get", asked["challenge"], changed)
        data = self._data(changed.get("flags", self.flags), changed)
        signed = changed.get("key", self.key).sign(data + sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": client_data, "authenticatorData": data, "signature": signed}
        return self._credential(response | {"userHandle": changed.get("handle", self.handle)})

    def _client_data(self, kind: str, challenge: str, changed: dict[str, Any]) -> bytes:
        said = {
            "type": changed.get("type", kind),
            "challenge": changed.get("challenge", challenge),
            "origin": changed.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(said).encode()

    def _data(self, flags: int, changed: dict[str, Any]) -> bytes:
        host = str(changed.get("host", self.host))
        return sha256(host.encode()).digest() + bytes([flags]) + int(changed.get("count", self.count)).to_bytes(4, "big")

    def _public_key(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return bytes(cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y}))

    def _credential(self, response: dict[str, bytes]) -> str:
        name = bytes_to_base64url(self.credential_id)
        encoded = {key: bytes_to_base64url(value) for key, value in response.items()}
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": encoded})


@dataclass
class Keyring:
    """A browser of a visitor with a passkey in it: presses the buttons that the script presses."""

    visitor: Any
    device: Device
    prefix: str = ""

    def add(self, name: str = "My phone") -> Any:
        """Sets the passkey up; returns the answer, with the recovery codes if it is the first factor."""
        self.visitor.read(f"{self.prefix}/profile/passkeys/new")
        options = self._challenge("/profile/passkeys/challenge")
        return self._send("/profile/passkeys/new", self.device.make(options), name=name)

    def sign_in(self, path: str = "/sign-in", **changed: Any) -> Any:
        """In place of the password."""
        self.visitor.get(f"{self.prefix}{path}")
        options = self._challenge("/sign-in/passkey-challenge")
        return self._send("/sign-in/passkey", self.device.answer(options, **changed))

    def second_step(self, **changed: Any) -> Any:
        options = self._challenge("/passkey-challenge")
        return self._send("/sign-in/code/passkey", self.device.answer(options, **changed))

    def confirm(self, **changed: Any) -> Any:
        options = self._challenge("/passkey-challenge")
        return self._send("/confirmation/passkey", self.device.answer(options, **changed))

    def _challenge(self, path: str) -> str:
        answer = self.visitor.post(f"{self.prefix}{path}")
        assert answer.status_code == 200 and answer.mimetype == "application/json", answer.status_code
        return str(answer.text)

    def _send(self, path: str, answer: str, **also: str) -> Any:
        return self.visitor.post(f"{self.prefix}{path}", {"answer": answer, **also})
