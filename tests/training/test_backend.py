"""What a training is told of its devices."""

import jax

from kernelstudy.training.backend import start


def test_the_kind_of_device_does_not_tell_how_many_there_are():
    """A run that two processes began goes on in one: checkpoints name the kind alone."""
    one, all_of_them = start(1), start(None)
    assert one.kind == all_of_them.kind == jax.local_devices()[0].device_kind
    assert one.devices == f"1 x {one.kind}"
    assert all_of_them.devices == f"{jax.local_device_count()} x {one.kind}"
    assert all_of_them.leads
