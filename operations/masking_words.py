"""Words in the names of columns and fields that tell what their values are."""

from __future__ import annotations

import re


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


PERSONAL = _listed("""
    address apikey authorization bearer bic biometric birthplace blood card citizen cookie
    coordinates credential credentials csrf cvc cvv device diagnosis disability email ethnicity
    faith fax fingerprint firstname forename geo gender hash health iban imei income ip lastname lat
    latitude license licence location lng login lon longitude mac mail mobile msisdn nationality nin
    nonce orientation otp pan passphrase passport passwd password phone pin plate postcode pwd race
    religion salary salt secret session sex signature sin ssn street surname tel telephone token
    twitter username wage whatsapp zip
    """)
"""The value is a person's, or opens something: not shown, whatever its type."""

DATES_OF_LIFE = _listed("birth birthdate birthday born dead death died dob")

CODES = _listed("""
    action category channel class code currency environment event format kind lang language level
    locale method mode operation outcome phase plan platform priority provider queue result role
    severity stage state status tier topic type unit
    """)
"""A column whose name ends so may hold codes: a value that looks like one is shown."""

_BETWEEN = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def words(name: str, *, last: bool = False) -> frozenset[str]:
    """The words of `ipAddress`, `ip_address`, `IP-Address`: ip, address; or the last one alone."""
    found = [word.lower() for word in _BETWEEN.split(name) if word]
    return frozenset(found[-1:] if last else found)
