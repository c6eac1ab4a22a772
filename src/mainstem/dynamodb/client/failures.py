"""Failures as DynamoDB names them: which are answers, which pass, and what to tell of the others."""

from __future__ import annotations

from typing import Final, NamedTuple

from mainstem.dynamodb.client.change_requests import (
    CHANGE_READS,
    DescribeStream,
    GetRecords,
    IteratorExpired,
    ShardGone,
    Trimmed,
)
from mainstem.dynamodb.client.faults import Conflicted, Fault, InProgress, NoReply, Throttled
from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import (
    CONDITION_FAILED,
    TAKEN,
    TRANSIENT_CODES,
    Cancelled,
    Control,
    Reason,
    Refused,
    Request,
    Transact,
)
from mainstem.errors import StoreDenied, StoreError, StoreNotFound, StoreRejected

THROTTLES: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "LimitExceededException",
        "LimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottlingError",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    }
)
_CONFLICTS: Final = frozenset({"TransactionConflictException", "ReplicatedWriteConflictException"})
_SERVER_FAILURES: Final = frozenset(
    {"InternalServerError", "InternalFailure", "InternalServerErrorException", "ServiceUnavailable"}
)
_DENIALS: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NO_PERMISSION: Final = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized"})
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})
_SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})


_CHANGE_ANSWERS: Final[dict[str, IteratorExpired | Trimmed | ShardGone]] = {
    "ExpiredIteratorException": IteratorExpired(),
    "TrimmedDataAccessException": Trimmed(),
    "ResourceNotFoundException": ShardGone(),
}


class Place(NamedTuple):
    """Where a request went, for messages."""

    operation: str
    tables: str
    region: str


class Failure(NamedTuple):
    """What an error's body tells."""

    code: str
    message: str
    item: Item | None = None
    reasons: list[tuple[str, str, Item | None]] | None = None
    """Of a cancelled transaction, for each action: code, message and item."""
    throttled: tuple[str, ...] = ()
    """What was asked too much of, as DynamoDB names it: the table, an index, a range of keys."""

    @property
    def expired_credentials(self) -> bool:
        return self.code in _EXPIRED

    @property
    def wrong_clock(self) -> bool:
        """A wrong clock looks like a wrong signature, except for the message."""
        return self.code in _SKEWED or (
            self.code == "InvalidSignatureException"
            and ("expired" in self.message or "not yet current" in self.message)
        )


def place_of(request: Request, operation: str, region: str) -> Place:
    if isinstance(request, Control):
        tables = str(request.parameters.get("TableName", "*"))
    elif isinstance(request, Transact):
        tables = ", ".join(sorted({action.table.name for action in request.actions}))
    elif isinstance(request, GetRecords):
        tables = "the change stream"
    elif isinstance(request, CHANGE_READS):
        tables = request.stream_arn
    else:
        tables = request.table.name
    return Place(operation, tables, region)


def answer_or_raise(
    failure: Failure | None, status: int, request: Request, place: Place
) -> Refused | Cancelled | IteratorExpired | Trimmed | ShardGone:
    """The answer that a failure is, where it is one; otherwise raises the fault or error."""
    if failure is not None and failure.code == "ConditionalCheckFailedException":
        return Refused(failure.item)
    if failure is not None and failure.code == "TransactionCanceledException":
        return _cancelled(failure, request, place)
    if failure is not None and isinstance(request, CHANGE_READS):
        answer = _CHANGE_ANSWERS.get(failure.code)
        if answer is not None and not isinstance(request, DescribeStream):
            return answer
        if isinstance(answer, ShardGone):
            raise StoreNotFound(
                f"There is no change stream {place.tables} in {place.region}. It was turned off more "
                "than a day ago, or its table was deleted."
            )
    raise _error(failure, status, place)


def statement_code(code: str, message: str, table: str) -> str:
    """The code of a statement's failure, where it is one that an operation can deal with."""
    if code in (TAKEN, CONDITION_FAILED) or code in TRANSIENT_CODES:
        return code
    raise _refusal(code, message, Place("BatchExecuteStatement", table, ""))


def _cancelled(failure: Failure, request: Request, place: Place) -> Cancelled:
    if failure.reasons is None or not isinstance(request, Transact):
        raise NoReply("DynamoDB cancelled a transaction without saying why")
    reasons: list[Reason | None] = []
    for code, message, item in failure.reasons:
        if code == "None":
            reasons.append(None)
        elif code == CONDITION_FAILED or code in TRANSIENT_CODES:
            reasons.append(Reason(code, item))
        else:
            raise _refusal(code, message, place)
    if len(reasons) != len(request.actions):
        raise NoReply(f"{len(reasons)} reasons came for {len(request.actions)} actions")
    return Cancelled(tuple(reasons))


def _error(failure: Failure | None, status: int, place: Place) -> Fault | StoreError:
    """Only what surely says so counts as not carried out."""
    if failure is None:
        return NoReply(f"{place.operation} was answered with status {status} and no error code")
    code, message = failure.code, failure.message
    told = f"{place.operation}: {code}" + (f" ({message})" if message else "")
    if code in THROTTLES:
        return Throttled("; ".join((told, *failure.throttled)))
    if code in _CONFLICTS:
        return Conflicted(told)
    if code == "TransactionInProgressException":
        return InProgress(told)
    if code in _SERVER_FAILURES or status >= 500:
        return NoReply(told)
    return _refusal(code, message, place)


def _refusal(code: str, message: str, place: Place) -> StoreError:
    where = f" in {place.region}" if place.region else ""
    if code in _NO_PERMISSION:
        return StoreDenied(
            f"AWS denies {place.operation} on {place.tables}{where}: {message or code}. "
            f"Allow the action {_permission(place.operation)} in the policy of the user or role."
        )
    if code in _DENIALS:
        return StoreDenied(
            f"AWS does not accept the credentials for {place.operation} on {place.tables}{where}: "
            f"{code}: {message}. Check the profile or the AWS_* variables, and that the clock is right."
        )
    if code in ("ResourceNotFoundException", "ResourceNotFound"):
        return StoreNotFound(
            f"There is no table {place.tables}{where}. Create the store's tables with "
            "`mainstem create-tables`, or check the names and the region."
        )
    return StoreRejected(
        code, f"DynamoDB refused {place.operation} on {place.tables}{where}: {code}: {message}"
    )


def _permission(operation: str) -> str:
    """The IAM actions that an operation takes; some go by the names of what they do."""
    return {
        "TransactWriteItems": "dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:ConditionCheckItem",
        "BatchExecuteStatement": "dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate",
    }.get(operation, f"dynamodb:{operation}")
