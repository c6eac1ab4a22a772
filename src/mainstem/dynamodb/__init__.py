"""The store on Amazon DynamoDB: two tables, and the log written in the append's own transaction.

Needs ``mainstem[dynamodb]``. Stores are opened by `mainstem.connect`; here is what goes beyond:
making the tables, and counting what operations cost.
"""

from mainstem.dynamodb.layout import AttributeNames
from mainstem.dynamodb.metering import Cost, metered
from mainstem.dynamodb.open import create_tables

__all__ = ["AttributeNames", "Cost", "create_tables", "metered"]
