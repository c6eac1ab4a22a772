"""The handlers of the stack's functions, set up by the environment alone."""

from __future__ import annotations

from typing import Any

from mainstem.aws import environment, settings
from mainstem.aws.deadline import LambdaContext
from mainstem.aws.functions import maintenance_handler, publisher_handler, sequencing_handler
from mainstem.aws.tables import Once

environment.set_up_logging()

sequence = sequencing_handler()
_maintain = maintenance_handler()
_publish = Once(lambda: publisher_handler(environment.required("MAINSTEM_PUBLISH_TO")))


def maintain(event: Any, context: LambdaContext | None) -> dict[str, Any]:
    """Look after the log, or write the store's settings when CloudFormation asks for it."""
    if settings.is_request(event):
        settings.handle(event, environment.url())
        return {}
    return _maintain(event, context)


def publish(event: Any, context: LambdaContext | None) -> dict[str, Any]:
    """Send the events of the log on, from the checkpoint of the publisher."""
    return _publish()(event, context)
