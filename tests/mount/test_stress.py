"""Many clients and many readers at once; scripts/soak does it for long."""

import time

import pytest
from support.stress import Stress


@pytest.mark.deadline(240)
def test_bodies_and_listings_while_everything_changes(account, mount):
    mail = mount(account, refresh=1, seen="never")
    one = Stress(account, mail)
    one.fill()
    one.start()
    time.sleep(10)
    one.stop()
    assert not one.problems, "\n".join(one.problems[:20])
    assert one.counts["read"] > 0 and len(one.seen) > 50
