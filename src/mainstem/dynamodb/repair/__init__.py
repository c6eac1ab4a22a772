"""The repair: a scan of the events table that puts into the log whatever it lacks.

1. `run` does all of it, step by step, as `options` say: any number of threads scan, within a budget of read
   units.
2. First the log table, if that is wanted: `rebuild` reads it into `books`, and makes cursors and marks again.
   `missing_markers` puts markers of commits that have none, `put_back` events that only the log has.
3. Then the events table: `scanning` takes a page of it as hints for the sequencer.
4. `progress` keeps in the log table how far it has got, so that a broken-off run can go on.

`running` is the whole repair as one call. Read `run` first.
"""
