"""The store on Amazon DynamoDB: two tables. The log is written in the transaction of the append, or by
sequencing workers from the events table's change stream.

Needs ``mainstem[dynamodb]``. `mainstem.connect` opens stores. This package has the rest:
creating the tables, sequencing, verifying and repairing the log, and counting what operations cost.
"""

from mainstem.extras import needs

with needs("dynamodb", "mainstem.dynamodb"):
    from mainstem.dynamodb.changes.change_stream import Pace
    from mainstem.dynamodb.changes.running import sequence
    from mainstem.dynamodb.changes.worker import Rhythm, WorkerStatus
    from mainstem.dynamodb.client.metering import Cost, metered
    from mainstem.dynamodb.items.layout import AttributeNames
    from mainstem.dynamodb.open import create_tables
    from mainstem.dynamodb.repair.progress import RepairProgress
    from mainstem.dynamodb.repair.running import RepairResult, repair_log
    from mainstem.dynamodb.verify.findings import Finding, Verdict, Verification
    from mainstem.dynamodb.verify.running import VerificationStage, verify_log

__all__ = [
    "AttributeNames",
    "Cost",
    "Finding",
    "Pace",
    "RepairProgress",
    "RepairResult",
    "Rhythm",
    "Verdict",
    "Verification",
    "VerificationStage",
    "WorkerStatus",
    "create_tables",
    "metered",
    "repair_log",
    "sequence",
    "verify_log",
]
