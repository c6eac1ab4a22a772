"""Sending the events of the log to other services: one module for each kind of target."""
