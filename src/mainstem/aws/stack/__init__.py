"""The CloudFormation stack of a store: one module for each part of the template."""
