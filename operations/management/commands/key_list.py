"""manage.py key_list"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from operations.commands import CustodyCommand, Result
from operations.key_commands import key_json, printed
from operations.selectors.keys import KeyStanding, keys_standing


class Command(CustodyCommand):
    help = (
        "Lists the signing keys: since when, how each ended, what it signed, where its private "
        "half lies, and the fingerprint to print and keep on paper."
    )

    def work(self, **options: Any) -> Result:
        found = keys_standing()
        text: list[Any] = []
        for standing in found:
            text += [*_lines(standing), ""]
        missing = [each for each in found if each.state == "missing"]
        text += text and [
            "Print the fingerprint of the current key and give it to who will have to believe you."
        ]
        return Result(
            {"keys": [key_json(standing) for standing in found]},
            text or ["There is no signing key yet: the first seal or certificate makes one."],
            1 if missing else 0,
            "".join(
                f"The private half of {each.key.key_id} is not at {each.file}: put it back from "
                "its copy, or run key_rotate, which retires the key as lost."
                for each in missing
            ),
        )


def _lines(standing: KeyStanding) -> list[str]:
    key = standing.key
    signed = ", ".join(f"{count:,} {noun}" for noun, count in standing.uses.items())
    file = f"{standing.file}" if standing.file_exists else "none"
    told = {
        "since": _moment(key.created_at),
        "until": _moment(key.retired_at) if key.retired_at else "",
        "leaked since": _moment(key.compromised_since) if key.compromised_since else "",
        "reason": key.reason,
        "signed": signed,
        "file": file,
        "public key": key.public_key,
        "fingerprint": printed(standing.fingerprint),
    }
    return [
        f"{key.key_id}  {standing.state}",
        *(f"  {name + ':':<13} {value}" for name, value in told.items() if value),
    ]


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
