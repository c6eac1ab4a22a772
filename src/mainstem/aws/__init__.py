"""Mainstem on AWS: Lambda functions that sequence, project, publish and maintain, and the stack that
they are deployed as.
"""
