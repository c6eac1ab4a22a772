"""Mainstem on AWS: Lambda functions that sequence, project, publish and maintain, and the stack that
they are deployed as.

Needs ``mainstem[dynamodb]``.
"""

from mainstem.extras import needs

with needs("dynamodb", "mainstem.aws"):
    from mainstem.aws.deadline import LambdaContext
    from mainstem.aws.functions import (
        Handler,
        maintenance_handler,
        projection_handler,
        publisher_handler,
        sequencing_handler,
    )
    from mainstem.aws.publishing.publisher import TooLargeChoice

__all__ = [
    "Handler",
    "LambdaContext",
    "TooLargeChoice",
    "maintenance_handler",
    "projection_handler",
    "publisher_handler",
    "sequencing_handler",
]
