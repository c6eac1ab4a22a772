"""The log of each partition: finding its head, reading it, putting batches at its head, and upkeep.

To read: `heads` finds where the log ends, `blocks` what holds a position, `times` the position of a time;
`reading` reads pages from any position on (`recent` keeps what was fetched ahead).

To write with stream sequencing: `sequencer` puts at the head what `hints` tell of. `view` is what it knows of
one partition, and `views` reads on from there. `sequencing` is one call: `gathering` finds what goes into the
next batch. `settling` raises the `cursors`, which say how much of each stream is in the log. With
transactional sequencing the appends write the log (``append/``); `pacing` shares the head between processes.

Afterwards: `segments` copies what is settled into large items, and `upkeep` has that done beside appends.
`workers` tells who sequences. Read `heads`, `blocks` and `reading` first, then `view` and `sequencing`.
"""
