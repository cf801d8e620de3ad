"""What a process may use: a MemoryError rather than the end of the machine."""

import resource

import pytest

from kernelstudy.system import limits


def test_more_than_the_bound_is_a_memory_error_and_the_bound_ends_with_the_block():
    before = resource.getrlimit(resource.RLIMIT_AS)
    with limits.memory_bound(2**28):
        assert len(bytearray(2**20)) == 2**20
        with pytest.raises(MemoryError):
            bytearray(2**30)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytearray(2**29)) == 2**29


def test_a_bound_is_never_raised():
    with limits.memory_bound(2**28):
        bound = resource.getrlimit(resource.RLIMIT_AS)[0]
        with limits.memory_bound(2**40):
            assert resource.getrlimit(resource.RLIMIT_AS)[0] == bound
