"""What lies in the two tables: keys, and the format of each item. No operation of the store is here.

`layout` has every key, and a table of what each holds. Each item has one owner, which alone spells its
attributes and makes the requests that name them: `event_items` (events, with `border`, which checks what
other programs wrote), `block_items` (batches and segments), `partition_item`, `cursor_item`, `marker_item`,
`checkpoint_item`, `snapshot_item`, `lease_item`, `repair_items`, `table_item`, `verification_item` and
`lateness_item`. `packing` is how events become bytes within a block, `batches` how they are cut into batches.

`tables` makes the tables, `table_checks` says whether they fit, and `identity` whether they are still those
that were opened. `migrations` has the steps from older formats. Read `layout` first, then `event_items` and
`block_items`.
"""
