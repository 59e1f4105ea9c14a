"""The embedded broker: what is queued survives, whatever is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection

from config.embedded import EmbeddedBroker, EmbeddedError

from .embedded_place import Place, kill, wait_until


@pytest.fixture
def broker(new_place: Place) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(new_place.folder)
    yield server
    new_place.clean()
    server.release()


def send(broker: EmbeddedBroker, *messages: str) -> None:
    with Connection(broker.url) as connection:
        queue = connection.SimpleQueue("work")
        for message in messages:
            queue.put(message)
        queue.close()


def receive(broker: EmbeddedBroker, count: int) -> list[str]:
    with Connection(broker.url) as connection:
        queue = connection.SimpleQueue("work")
        found = []
        for _ in range(count):
            message = queue.get(timeout=5)
            message.ack()
            found.append(message.payload)
        queue.close()
    return found


def test_the_queue_survives_kill_9_of_everything(broker: EmbeddedBroker, new_place: Place) -> None:
    user = new_place.user("broker")
    user.do("hold")
    messages = [str(number) for number in range(50)]
    send(broker, *messages)
    user.kill()
    kill(new_place.servers())
    assert not broker.running()
    broker.hold()
    assert receive(broker, 50) == messages


def test_the_queue_survives_an_ordinary_stop(broker: EmbeddedBroker, new_place: Place) -> None:
    broker.hold()
    send(broker, "one", "two")
    broker.release()
    assert new_place.servers() == []
    broker.hold()
    assert receive(broker, 2) == ["one", "two"]


def test_after_kill_9_of_the_server_alone_the_next_hold_starts_it(
    broker: EmbeddedBroker, new_place: Place
) -> None:
    broker.hold()
    send(broker, "one")
    kill(new_place.servers())
    new_place.user("broker").do("hold")
    assert receive(broker, 1) == ["one"]


def test_a_starter_that_is_killed_does_not_lead_to_two_servers_on_one_folder(
    broker: EmbeddedBroker, new_place: Place
) -> None:
    for _ in range(4):
        starter = new_place.user("broker")
        starter.tell("hold")
        wait_until((new_place.folder / "server.pid").exists)
        starter.kill()
        broker.hold()
        assert len(new_place.masters()) == 1
        broker.release()
        assert new_place.servers() == []


def test_it_is_reached_by_a_socket_in_a_private_folder_and_refuses_to_forget(
    broker: EmbeddedBroker,
) -> None:
    url = broker.url
    broker.hold()
    assert url == broker.url == f"redis+socket://{broker.folder}/run/valkey.sock"
    assert broker.socket.parent.stat().st_mode & 0o777 == 0o700
    client = redis.Redis(unix_socket_path=str(broker.socket), decode_responses=True)
    found = client.config_get("*")
    client.close()
    assert (found["port"], found["appendonly"]) == ("0", "yes")
    # With "everysec", what is written during a slow fsync waits in memory, acknowledged.
    assert found["appendfsync"] == "no"
    assert found["maxmemory-policy"] == "noeviction"


def test_a_folder_with_blanks_and_signs_works(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / 'a "b" %20 #c')
    broker.hold()
    send(broker, "one")
    assert receive(broker, 1) == ["one"]
    broker.release()


def test_damaged_data_is_said_and_left_alone(broker: EmbeddedBroker) -> None:
    broker.hold()
    send(broker, "one")
    broker.release()
    (base,) = broker.data.glob("appendonlydir/*.base.rdb")
    base.write_bytes(b"not a dump")
    with pytest.raises(EmbeddedError, match="did not start") as caught:
        broker.hold()
    assert "CELERY_BROKER_URL" in str(caught.value)
    assert base.read_bytes() == b"not a dump"
