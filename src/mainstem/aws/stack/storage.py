"""Where the data is: the two tables, and the bucket for dead letters."""

from __future__ import annotations

from typing import Any

from mainstem.aws.stack.expressions import Json, attribute, ref, sub, when
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.tables import TableOptions, events_table, log_table

# If the stack is deleted, on purpose or not, the data stays.
_KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


def tables(attributes: AttributeNames) -> dict[str, Json]:
    """The tables, as `mainstem.dynamodb.create_tables` makes them, and protected."""
    layout = Layout("${StoreName}", attributes=attributes)
    options = TableOptions(stream=False)
    return {
        "EventsTable": _table(events_table(layout, options), "NEW_IMAGE"),
        # What reads it reads the log, and needs to be woken only.
        "LogTable": _table(log_table(layout, options), "KEYS_ONLY"),
    }


def bucket() -> dict[str, Json]:
    """The bucket, private, encrypted, and emptied by time."""
    encryption = {
        "SSEAlgorithm": when("HasKey", "aws:kms", "AES256"),
        "KMSMasterKeyID": when("HasKey", ref("KmsKeyArn")),
    }
    return {
        "DeadLetters": {
            "Type": "AWS::S3::Bucket",
            **_KEPT,
            "Properties": {
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {
                            "ServerSideEncryptionByDefault": encryption,
                            "BucketKeyEnabled": when("HasKey", True),
                        }
                    ]
                },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "old-dead-letters",
                            "Status": "Enabled",
                            "ExpirationInDays": ref("DeadLetterDays"),
                        }
                    ]
                },
            },
        },
        "DeadLettersPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": ref("DeadLetters"),
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "EncryptedConnectionsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [
                                attribute("DeadLetters", "Arn"),
                                sub("${DeadLetters.Arn}/*"),
                            ],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        },
    }


def _table(made: dict[str, Any], view: str) -> Json:
    properties = {
        **made,
        "TableName": sub(made["TableName"]),
        "StreamSpecification": {"StreamViewType": view},
        "DeletionProtectionEnabled": ref("DeletionProtection"),
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": ref("RecoveryDays"),
        },
        "SSESpecification": when(
            "HasKey", {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": ref("KmsKeyArn")}
        ),
        "Tags": [{"Key": "mainstem:store", "Value": ref("StoreName")}],
    }
    return {
        "Type": "AWS::DynamoDB::Table",
        "Condition": "MakesTables",
        **_KEPT,
        "Properties": properties,
    }
