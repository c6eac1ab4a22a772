"""The CloudFormation stack of a store: one module for each part of the template."""

from mainstem.aws.stack.template import template

__all__ = ["template"]
