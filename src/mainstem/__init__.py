"""Mainstem: an event store. Streams are the tributaries, the log is the main stem."""

from mainstem.aio.store import AsyncStore
from mainstem.aio.subscription import AsyncSubscription
from mainstem.blocking.store import Store
from mainstem.blocking.subscription import Subscription
from mainstem.codec import Codec, JsonCodec, TypedCodec
from mainstem.connect import connect, connect_async, upgrade
from mainstem.errors import (
    AppendOutcomeUnknown,
    CheckpointLost,
    CommitMismatch,
    DecodeError,
    DemoFailed,
    DeploymentFailed,
    EncodeError,
    ImportConflict,
    InvalidInput,
    InvalidLine,
    InvalidStreamId,
    MainstemError,
    OutcomeUnknown,
    PayloadMismatch,
    PublicationFailed,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreDenied,
    StoreError,
    StoreFormatError,
    StoreFull,
    StoreNotFound,
    StoreReadOnly,
    StoreRejected,
    TooLarge,
    TooManyConflicts,
    VersionConflict,
)
from mainstem.port import ImportCounts, ImportedEvent, Limits, StoredCheckpoint, StoreStatus, Worker
from mainstem.values.events import (
    Append,
    AppendResult,
    EncodedEvent,
    NewEvent,
    RecordedEvent,
    Stream,
    StreamInfo,
)
from mainstem.values.expected import ANY, EXISTS, Expected, ExpectedState
from mainstem.values.filters import Filters, StreamFilters
from mainstem.values.positions import BEGINNING, END, EventId, LogEnd, Partition, Position, Version
from mainstem.values.stream_ids import category
from mainstem.verbs.decider import Decider, Handled
from mainstem.verbs.formats import Upgraded
from mainstem.verbs.options import Batch, CheckpointMode, ReaderStatus
from mainstem.verbs.snapshots import Snapshots
from mainstem.verbs.starts import Start
from mainstem.verbs.subscriptions import SubscriptionInfo

__all__ = [
    "ANY",
    "BEGINNING",
    "END",
    "EXISTS",
    "Append",
    "AppendOutcomeUnknown",
    "AppendResult",
    "AsyncStore",
    "AsyncSubscription",
    "Batch",
    "CheckpointLost",
    "CheckpointMode",
    "Codec",
    "CommitMismatch",
    "Decider",
    "DecodeError",
    "DemoFailed",
    "DeploymentFailed",
    "EncodeError",
    "EncodedEvent",
    "EventId",
    "Expected",
    "ExpectedState",
    "Filters",
    "Handled",
    "ImportConflict",
    "ImportCounts",
    "ImportedEvent",
    "InvalidInput",
    "InvalidLine",
    "InvalidStreamId",
    "JsonCodec",
    "Limits",
    "LogEnd",
    "MainstemError",
    "NewEvent",
    "OutcomeUnknown",
    "Partition",
    "PayloadMismatch",
    "Position",
    "PublicationFailed",
    "ReaderStatus",
    "RecordedEvent",
    "Snapshots",
    "Start",
    "Store",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreDenied",
    "StoreError",
    "StoreFormatError",
    "StoreFull",
    "StoreNotFound",
    "StoreReadOnly",
    "StoreRejected",
    "StoreStatus",
    "StoredCheckpoint",
    "Stream",
    "StreamFilters",
    "StreamInfo",
    "Subscription",
    "SubscriptionInfo",
    "TooLarge",
    "TooManyConflicts",
    "TypedCodec",
    "Upgraded",
    "Version",
    "VersionConflict",
    "Worker",
    "category",
    "connect",
    "connect_async",
    "upgrade",
]

__version__ = "0.1.0"
