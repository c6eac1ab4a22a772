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

__all__ = [
    "Handler",
    "LambdaContext",
    "maintenance_handler",
    "projection_handler",
    "publisher_handler",
    "sequencing_handler",
]
