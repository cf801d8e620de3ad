"""Signals: at once where nothing is lost, at the next safe point where something would be."""

import os
import signal
import subprocess
import sys

import pytest

from kernelstudy.system import signals


def test_a_signal_is_raised_at_once_and_handlers_are_put_back():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with pytest.raises(signals.Stopped) as raised, signals.handled():
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.status == 143
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_while_it_waits_a_signal_is_asked_for(capfd):
    with signals.handled() as stop:
        stop.waits = True
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with signals.handled() as inner:
            assert inner is stop
    assert "once more to end at once" in capfd.readouterr().err


def test_what_others_answer_is_left_to_them():
    """A launcher that has handlers of its own (submitit) keeps them."""
    taken = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
    try:
        with signals.handled() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert (taken, stop.number) == ([signal.SIGTERM], 0)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_signal_ends_the_process():
    code = (
        "import os, signal, time; from kernelstudy.system import signals\n"
        "with signals.handled() as stop:\n"
        "    stop.waits = True\n"
        "    for _ in range(2): os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (143, b"")
