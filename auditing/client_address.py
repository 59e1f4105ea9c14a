"""Whose address a request comes from, told by proxies that we trust and by nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_address(
    meta: Mapping[str, str], trusted: Sequence[Network], *, by_socket: bool = False
) -> str:
    """The client's address; empty when nobody who is trusted tells it.

    X-Forwarded-For is read from its end, where our own proxies wrote: the first address that is
    none of theirs is the client's. What stands before it the client itself may have written.

    Args:
        meta: REMOTE_ADDR and HTTP_X_FORWARDED_FOR, as WSGI names them.
        trusted: the networks of our proxies.
        by_socket: whoever comes through a socket file, which has no address, is one of them.
    """
    peer = meta.get("REMOTE_ADDR", "")
    client = _address(peer)
    ours = (by_socket and not peer) or _is_in(client, trusted)
    for said in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        if not ours:
            break
        before = _address(said)
        if before is None:
            # Nobody knows who came to this proxy: it is the last that is known.
            break
        client = before
        ours = _is_in(client, trusted)
    return str(client) if client else ""


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Also with a port behind it, as some proxies write it; None when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
