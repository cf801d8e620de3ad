"""python experiments/small_network.py RUN ARM: the network that `kernelstudy.explain` shows, made again.

RUN: of `python -m kernelstudy.run +exp=mnist`; ARM: he_normal/wd=2.
"""

import gzip
import json
import sys
from pathlib import Path

import kernelstudy
from kernelstudy.reporting import explanation
from kernelstudy.runs import read_settings
from kernelstudy.system.files import write_bytes

run, arm = Path(sys.argv[1]), sys.argv[2]
study = read_settings(run)
words = next(one.words for one in study.arms if one.name == arm)
network = explanation.network_of(
    kernelstudy.open_run(run, measures=True), arm, words, study.model.stride
)
text = json.dumps({**network, "words": f"on digits; {words}"})
place = Path(explanation.__file__).parent / "assets" / explanation.NETWORK
write_bytes(place, gzip.compress(text.encode(), mtime=0))
print(f"{place.name}: {place.stat().st_size:,} bytes")
