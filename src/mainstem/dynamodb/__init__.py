"""The store on Amazon DynamoDB: two tables, and the log written in the append's own transaction."""
