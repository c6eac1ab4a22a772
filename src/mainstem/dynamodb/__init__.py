"""The store on Amazon DynamoDB: two tables, and the log written in the append's own transaction, or by
sequencing workers from the events table's change stream.

Needs ``mainstem[dynamodb]``. Stores are opened by `mainstem.connect`; here is what goes beyond:
making the tables, sequencing, verifying and repairing the log, and counting what operations cost.
"""

from mainstem.extras import needs

with needs("dynamodb", "mainstem.dynamodb"):
    from mainstem.dynamodb.findings import Finding, Verdict, Verification
    from mainstem.dynamodb.layout import AttributeNames
    from mainstem.dynamodb.metering import Cost, metered
    from mainstem.dynamodb.open import create_tables
    from mainstem.dynamodb.repair_threads import RepairResult, repair_log
    from mainstem.dynamodb.sequencing import sequence
    from mainstem.dynamodb.verification import verify_log
    from mainstem.dynamodb.worker import WorkerStatus

__all__ = [
    "AttributeNames",
    "Cost",
    "Finding",
    "RepairResult",
    "Verdict",
    "Verification",
    "WorkerStatus",
    "create_tables",
    "metered",
    "repair_log",
    "sequence",
    "verify_log",
]
