"""Mainstem: an event store. Streams are the tributaries, the log is the main stem."""

from mainstem.async_store import AsyncStore
from mainstem.async_subscription import AsyncSubscription
from mainstem.blocking_subscription import Subscription
from mainstem.codec import Codec, JsonCodec, TypedCodec
from mainstem.connect import connect, connect_async
from mainstem.decider import Decider, Handled
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
from mainstem.events import Append, AppendResult, NewEvent, RecordedEvent, Stream, StreamInfo
from mainstem.gaps import SubscriptionInfo
from mainstem.port import StoredCheckpoint, StoreStatus, Worker
from mainstem.positions import (
    ANY,
    BEGINNING,
    END,
    EXISTS,
    EventId,
    Expected,
    Partition,
    Position,
    Version,
)
from mainstem.readers import Batch, ReaderStatus
from mainstem.snapshots import Snapshots
from mainstem.store import Store
from mainstem.streams import category

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
    "Codec",
    "CommitMismatch",
    "Decider",
    "DecodeError",
    "DemoFailed",
    "DeploymentFailed",
    "EncodeError",
    "EventId",
    "Expected",
    "Handled",
    "ImportConflict",
    "InvalidInput",
    "InvalidLine",
    "InvalidStreamId",
    "JsonCodec",
    "MainstemError",
    "NewEvent",
    "OutcomeUnknown",
    "Partition",
    "Position",
    "PublicationFailed",
    "ReaderStatus",
    "RecordedEvent",
    "Snapshots",
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
    "StreamInfo",
    "Subscription",
    "SubscriptionInfo",
    "TooLarge",
    "TooManyConflicts",
    "TypedCodec",
    "Version",
    "VersionConflict",
    "Worker",
    "category",
    "connect",
    "connect_async",
]

__version__ = "0.1.0"
