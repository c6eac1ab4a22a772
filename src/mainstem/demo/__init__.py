"""The demo: real data is written by several processes while a replay of all of it is under way.

It is also the example to read first. `incidents` has the decider and the read model, `writers` how
events are appended, `replay` how the log is followed, `check` how the two are compared.
"""
