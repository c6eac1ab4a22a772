"""Sequencing workers: from the change stream of the events table to the log.

1. `change_stream` reads the stream together with other workers. `shards` decides who reads which shard,
   `leases` keeps that and how far it has got, `shard_reader` reads one shard, `held_shard` is what is known
   of one that is read here. `told` is what comes out: records, losses, how it goes.
2. `worker` is the loop: it polls, hands the records to the sequencer (in ``log/``) as hints, and says
   what is dealt with. `inbox` holds what is not dealt with yet, `holes` the streams that lack an event.
3. Where records were lost before anybody read them, the worker runs a repair.
4. `running` is a worker in a process of its own, and `report` what it tells.

`lateness` stands beside it: it watches from outside how late the log is. Read `worker` first.
"""
