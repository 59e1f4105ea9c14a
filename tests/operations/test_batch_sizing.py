"""How batches grow and shrink towards their target time."""

from __future__ import annotations

from operations.batches.sizing import BatchSize


def settle(size: BatchSize, *, seconds_each: float, batches: int) -> float:
    """Runs batches on a server that needs so long for one page; the time of the last one."""
    for _ in range(batches):
        size.took(size.value * seconds_each)
    return size.value * seconds_each


def test_a_size_comes_close_to_its_target_within_a_few_batches_and_stays_there() -> None:
    size = BatchSize(2_048, 1, 131_072)
    assert 0.80 <= settle(size, seconds_each=1e-4, batches=4) <= 1.1
    assert 0.80 <= settle(size, seconds_each=1e-4, batches=30) <= 1.0


def test_a_size_never_goes_far_past_its_target_on_the_way() -> None:
    size = BatchSize(2_048, 1, 131_072)
    times = []
    for _ in range(40):
        times.append(size.value * 3e-5)
        size.took(times[-1])
    assert max(times) < 1.2


def test_a_server_that_becomes_slow_gets_smaller_batches() -> None:
    size = BatchSize(2_048, 1, 131_072)
    settle(size, seconds_each=1e-4, batches=10)
    before = size.value
    assert settle(size, seconds_each=4e-4, batches=15) <= 1.1
    assert size.value < before / 2


def test_one_slow_batch_does_not_halve_the_size_for_long() -> None:
    size = BatchSize(2_048, 1, 131_072)
    settle(size, seconds_each=1e-4, batches=20)
    before = size.value
    size.took(3.0)
    settle(size, seconds_each=1e-4, batches=12)
    assert size.value > before * 0.8


def test_a_batch_that_did_not_fit_is_cut_at_once() -> None:
    size = BatchSize(10_000, 1, 500_000)
    size.shrink()
    assert size.value == 4_000
    for _ in range(30):
        size.shrink()
    assert size.value == 1
    assert size.smallest


def test_after_a_cut_the_size_grows_again_in_strides() -> None:
    size = BatchSize(10_000, 1, 500_000)
    size.took(1.0)
    size.shrink()
    size.took(0.01)
    assert size.value > 10_000


def test_a_size_stays_between_its_bounds() -> None:
    size = BatchSize(100, 50, 200)
    settle(size, seconds_each=1e-9, batches=20)
    assert size.value == 200
    settle(size, seconds_each=1.0, batches=60)
    assert size.value == 50


def test_batches_that_find_nothing_grow_to_the_largest_size() -> None:
    size = BatchSize(2_048, 1, 131_072)
    settle(size, seconds_each=0.0, batches=20)
    assert size.value == 131_072


def test_a_size_that_had_to_become_tiny_grows_again() -> None:
    size = BatchSize(1_000, 1, 1_000)
    settle(size, seconds_each=0.5, batches=40)
    assert size.value <= 3
    settle(size, seconds_each=1e-3, batches=60)
    assert size.value > 700
