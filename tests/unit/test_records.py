"""What was measured is handed out read-only."""

import pytest

from mfutils import load_record, recorded
from mfutils.lab import cases, digits


@pytest.mark.parametrize("load", [load_record, cases.load_sweep, digits.load_record])
def test_no_cell_can_change_what_a_later_one_reads(load):
    record = load()
    with pytest.raises(TypeError):
        record["runs"] = ()
    with pytest.raises(AttributeError):
        record["runs"].pop()
    with pytest.raises(TypeError):
        record["runs"][0]["seed"] = 1
    assert load() is record


def test_the_numbers_handed_out_are_the_readers_own():
    recorded("spiral", "mean_flow", "sliced_w2", 1).clear()
    assert len(recorded("spiral", "mean_flow", "sliced_w2", 1)) == 5


def test_digits_are_the_readers_own():
    images = digits.load()[0].images
    before = images.clone()
    images.add_(1)
    assert digits.load()[0].images.equal(before)
