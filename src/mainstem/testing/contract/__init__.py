"""One suite of tests that every store passes, whatever it is built on. Needs ``mainstem[testing]``.

If you write an adapter, describe it with a `Backend` and let your tests inherit from `Contract`::

    from mainstem import Store
    from mainstem.testing import contract

    class MyBackend(contract.Backend):
        def __init__(self, folder):
            super().__init__()
            self.url = f"mine://{folder}"                # None where other processes can't join in

        def connect(self, clock):
            adapter = MyAdapter(self.url, clock or system_clock)
            return Store(adapter, MyDriver(), JsonCodec())

    class TestMyStore(contract.Contract, contract.ProcessContract):
        @pytest.fixture
        def make_backend(self, tmp_path):
            folders = (tmp_path / str(number) for number in itertools.count())
            return lambda: MyBackend(next(folders))

Leave `ProcessContract` out where the data can't be shared between processes, and set
``shared = False`` where not even a second store in one process can. For the asynchronous store,
let ``connect`` return ``mainstem.testing.portal.portal(lambda: AsyncStore(...))``.

The suite assumes no number of partitions, and it takes positions from `read_all` only, since some
stores do not keep them beside the stream. It does ask that an acknowledged append is in the log at
once: where a sequencer writes the log later, have it run before each read of the log.
"""

from __future__ import annotations

import pkgutil

from mainstem.extras import needs

with needs("testing", "mainstem.testing.contract"):
    import hypothesis  # noqa: F401
    import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from mainstem.testing.contract.appends import AppendContract, AppendManyContract  # noqa: E402
from mainstem.testing.contract.backend import Backend, Clock, MakeBackend  # noqa: E402
from mainstem.testing.contract.bad_input import BadInputContract  # noqa: E402
from mainstem.testing.contract.checkpoints import CheckpointContract  # noqa: E402
from mainstem.testing.contract.commits import CommitContract, CommitOfManyContract  # noqa: E402
from mainstem.testing.contract.following import (  # noqa: E402
    ClosedContract,
    FollowContract,
    NamelessContract,
)
from mainstem.testing.contract.handling import (  # noqa: E402
    AutomaticCheckpointContract,
    FencingContract,
    ManualCheckpointContract,
)
from mainstem.testing.contract.importing import (  # noqa: E402
    ImportContract,
    ImportedCommitContract,
)
from mainstem.testing.contract.listing import ListingContract  # noqa: E402
from mainstem.testing.contract.log import FilterContract, LogContract, TimeContract  # noqa: E402
from mainstem.testing.contract.machine import MachineContract  # noqa: E402
from mainstem.testing.contract.payloads import PayloadContract  # noqa: E402
from mainstem.testing.contract.racing import ProcessContract, RacingContract  # noqa: E402
from mainstem.testing.contract.reads import LongStreamContract, ReadContract  # noqa: E402
from mainstem.testing.contract.snapshots import SnapshotContract  # noqa: E402
from mainstem.testing.contract.subscriptions import SubscriptionContract  # noqa: E402


class PartitionsContract(
    AppendManyContract,
    CommitOfManyContract,
    LogContract,
    FilterContract,
    TimeContract,
    ListingContract,
    ImportContract,
    CheckpointContract,
    SubscriptionContract,
    AutomaticCheckpointContract,
    FencingContract,
    FollowContract,
    RacingContract,
    MachineContract,
):
    """The part that is about several streams, so that partitions matter to it: for a store that passes
    the whole with one number of partitions, and is to be tested with more of them.
    """


class Contract(
    PartitionsContract,
    AppendContract,
    CommitContract,
    ReadContract,
    LongStreamContract,
    PayloadContract,
    SnapshotContract,
    ImportedCommitContract,
    ManualCheckpointContract,
    NamelessContract,
    ClosedContract,
    BadInputContract,
):
    """Everything that a store promises within one process."""


__all__ = ["Backend", "Clock", "Contract", "MakeBackend", "PartitionsContract", "ProcessContract"]
