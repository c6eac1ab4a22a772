"""What botocore raises, in words of ours: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import botocore.exceptions

from mainstem.errors import DeploymentFailed, MainstemError, StoreBusy, StoreDenied, StoreError
from mainstem.text.redaction import redacted

_NO_CREDENTIALS: Final = (
    "There are no AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or run where a role gives them."
)
_NOT_PERMITTED: Final = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "Forbidden", "NotAuthorized"}
    | {"UnauthorizedOperation"}
)
_NOT_ACCEPTED: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NO_WAY_TO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "LoginError",
        "MetadataRetrievalError",
        "PartialCredentialsError",
        "RefreshWithMFAUnsupportedError",
        "SSOError",
        "TokenRetrievalError",
        "UnknownCredentialError",
    }
)
"""By their names: not every release of botocore has them all."""
_PASSING: Final = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException"}
    | {"TooManyRequestsException", "InternalError", "InternalFailure", "ServiceUnavailable", "503"}
)


@contextmanager
def in_words(purpose: str) -> Iterator[None]:
    """Raise as an error of ours what botocore raises within; ``purpose`` is what is being done, such as
    ``"deploy the stack mainstem-shop"``.
    """
    try:
        yield
    except botocore.exceptions.WaiterError as error:
        raise DeploymentFailed(
            f"AWS did not finish (to {purpose}): {redacted(str(error))}."
        ) from error
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise translated(error, purpose) from error


def translated(error: Exception, purpose: str) -> MainstemError:
    """The error of ours for one of botocore's."""
    said = redacted(str(error))  # a proxy's password stands in it
    if isinstance(error, botocore.exceptions.ClientError):
        return _refused(error, purpose)
    if isinstance(error, botocore.exceptions.NoCredentialsError):
        return StoreDenied(_NO_CREDENTIALS)
    if isinstance(error, botocore.exceptions.ProfileNotFound):
        return StoreDenied(f"{said}. Set another profile.")
    if _NO_WAY_TO_CREDENTIALS & {kind.__name__ for kind in type(error).__mro__}:
        return StoreDenied(f"Mainstem can't get AWS credentials: {said}")
    if isinstance(
        error, (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)
    ):
        return StoreBusy(
            f"AWS can't be reached (to {purpose}): {said}. Check that this machine has a network, and "
            "that the region and AWS_ENDPOINT_URL are right. Trying again is safe."
        )
    return StoreError(f"AWS can't be used with these settings (to {purpose}): {said}")


def _refused(error: Any, purpose: str) -> MainstemError:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    if code in _NOT_PERMITTED:
        return StoreDenied(
            f"AWS denies {error.operation_name} (to {purpose}): {message or code}. Allow it in the policy of "
            "the user or role."
        )
    if code in _NOT_ACCEPTED:
        return StoreDenied(
            f"AWS does not accept the credentials for {error.operation_name}, to {purpose}: {code}: "
            f"{message}. Check the profile or the AWS_* variables, and that the clock is right."
        )
    if code in _PASSING:
        return StoreBusy(
            f"AWS is too busy for {error.operation_name} (to {purpose}): {code}: {message}. Try again in a "
            "moment, which is safe."
        )
    return DeploymentFailed(
        f"AWS refuses {error.operation_name} (to {purpose}): {code}: {message}."
    )
