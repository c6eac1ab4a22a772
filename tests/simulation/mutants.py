"""The code broken on purpose, a step left out, reordered or made unconditional: each is to be seen."""

from __future__ import annotations

from simulation.mutation import Edit, Mutant

MUTANTS = (
    Mutant(
        "an event is put whether or not its id is taken",
        "S1",
        [
            Edit(
                "dynamodb.append.commits",
                "items.item(entry, positions[number]), Absent())",
                "items.item(entry, positions[number]))",
            ),
            Edit(
                "dynamodb.items.cursor_item",
                'Equals("Count", before) if before else AtMost("Count", 0)',
                "None",
            ),
        ],
    ),
    Mutant(
        "the version is neither looked up nor held against the cursor",
        "S1",
        [
            Edit(
                "dynamodb.append.stream_versions",
                "            if known is None or (isinstance(expected, int) and known.version < expected):\n",
                "            if isinstance(expected, int):\n"
                "                known = Known(expected, self._versions._trust.now())\n"
                "            elif known is None:\n",
            ),
            Edit(
                "dynamodb.items.cursor_item",
                'Equals("Count", before) if before else AtMost("Count", 0)',
                "None",
            ),
        ],
    ),
    Mutant(
        "a large commit's last item is not written last",
        "S1",
        [
            Edit(
                "dynamodb.streams.stream_end",
                "self._write_new(attempts, items[:-1])",
                "self._write_new(attempts, items[::-1])",
            ),
        ],
    ),
    Mutant(
        "a commit that a dead writer left half written is taken for whole",
        "S1",
        [
            Edit(
                "dynamodb.streams.stream_end",
                "            if whole is None:\n",
                "            if False:\n",
            ),
            Edit(
                "dynamodb.streams.reading",
                "if self._context.clock() - before.recorded_us < _LEFT_TO_ITS_WRITER:",
                "if True:",
            ),
        ],
    ),
    Mutant(
        "only what is missing behind the last item is rolled forward",
        "S1",
        [
            Edit(
                "dynamodb.streams.stream_end",
                "if event.event_id not in there",
                "if event.event_id > placed.event_id",
            )
        ],
    ),
    Mutant(
        "a lost reply is taken for a refusal",
        "S2",
        [
            Edit(
                "dynamodb.append.appender",
                "                if not commit.in_air:\n",
                "                if True:\n",
            )
        ],
    ),
    Mutant(
        "only where it was busy may a lost reply have been carried out",
        "S2",
        [
            Edit(
                "dynamodb.append.appender",
                "                if not commit.in_air:\n",
                "                if not commit.in_air or type(error).__name__ != 'StoreBusy':\n",
            )
        ],
    ),
    Mutant(
        "a try that met a mistake in the code was not sent",
        "S2",
        [
            Edit("dynamodb.client.attempts", "self.lost_replies += 1  # nobody", "pass  # nobody"),
            Edit("dynamodb.append.with_log", "if is_told and attempts", "if attempts"),
        ],
    ),
    Mutant(
        "where the item that is in the way did not come back, the cursor is believed",
        "S2",
        [
            Edit(
                "dynamodb.append.refusals",
                "            placed = yield from self._in_the_way(attempts, stream_id, version, refusal)\n",
                "            placed = None\n"
                "            if refusal.event is not None:\n"
                "                placed = self._items.place(refusal.event)\n"
                "            elif isinstance(expected, int) and refusal.in_log > version:\n"
                "                raise VersionConflict(stream_id, expected, Version(refusal.in_log))\n",
            )
        ],
    ),
    Mutant(
        "the event that is in the way is not compared with the commit's own",
        "S2",
        [
            Edit(
                "dynamodb.append.refusals", "if is_first_of(placed, commit.commit_id):", "if False:"
            )
        ],
    ),
    Mutant(
        "a repeated commit with ANY is not searched for",
        "S2",
        [
            Edit(
                "dynamodb.append.appender",
                "if commit.may_be_there and (anywhere - guarded or conflict is not None):",
                "if False:",
            )
        ],
    ),
    Mutant(
        "a commit is searched for before the version is looked up, not after",
        "S2",
        [
            Edit(
                "dynamodb.append.appender",
                "        while True:\n            relies_on: list",
                "        searched = commit.may_repeat and anywhere - guarded\n"
                "        if searched:\n"
                "            earlier = yield from self._repeats.earlier(attempts, writes, commit_id)\n"
                "            if earlier:\n"
                "                return all_or_mismatch(writes, earlier, commit_id)\n"
                "        while True:\n            relies_on: list",
            ),
            Edit(
                "dynamodb.append.appender",
                "if commit.may_be_there and (anywhere - guarded or conflict is not None):",
                "if commit.may_repeat and not searched and conflict is not None:",
            ),
        ],
    ),
    Mutant(
        "a commit is written without its marker",
        "S2",
        [
            Edit(
                "dynamodb.append.with_log",
                "markers=[marker for pending in group for marker in pending.markers],",
                "markers=[],",
            )
        ],
    ),
    Mutant(
        "an event that is put without the log is put without its marker",
        "S2",
        [
            Edit(
                "dynamodb.append.without_log",
                "        puts = (*events, *(put for _, put in pending.markers))\n",
                "        pending.markers = ()\n        puts = tuple(events)\n",
            )
        ],
    ),
    Mutant(
        "a marker is put behind its commit, not with it",
        "S2",
        [
            Edit(
                "dynamodb.append.with_log",
                "                answer = yield from attempts.call(\n"
                "                    Transact(planned.actions, token), "
                "partial(self._holds, relied_on, looked)\n"
                "                )\n",
                "                marking = [planned.actions[n] for n in planned.markers]\n"
                "                rest = tuple(a for a in planned.actions if a not in marking)\n"
                "                answer = yield from attempts.call(Transact(rest, token))\n"
                "                for put in marking if answer is None else ():\n"
                "                    yield from attempts.call(put)\n",
            ),
            Edit(
                "dynamodb.append.pending",
                "zip(planned.actions, answer.reasons, strict=True)\n"
                "            if action.condition is not None\n",
                "zip(planned.actions, answer.reasons)\n            if action.condition is not None\n",
            ),
            Edit(
                "dynamodb.append.pending",
                "enumerate(zip(planned.actions, answer.reasons, strict=True)):",
                "enumerate(zip(planned.actions, answer.reasons)):",
            ),
        ],
    ),
    Mutant(
        "a marker is put whether or not there is one, and not looked for",
        "S2",
        [Edit("dynamodb.append.commits", "Absent() if stream_id in guarded else None", "None")],
    ),
    Mutant(
        "a marker is read eventually consistently",
        "S2",
        [
            Edit(
                "dynamodb.append.repeats",
                "Get(self._layout.log, marker_key(stream_id, commit_id))",
                "Get(self._layout.log, marker_key(stream_id, commit_id), consistent=False)",
            )
        ],
    ),
    Mutant(
        "a marker is believed without the event that it names",
        "restore",
        [
            Edit(
                "dynamodb.append.repeats",
                "        return (yield from self.at(attempts, stream_id, first, commit_id))\n",
                "        yield from ()\n"
                "        told = Placed(first, commit_id, first, first, None, 0)\n"
                "        return self._result(stream_id, told, first + 1, None)\n",
            )
        ],
    ),
    Mutant(
        "a marker that is in the way is not replaced",
        "errors",
        [Edit("dynamodb.append.appender", "guarded = frozenset()  # the", "pass  # the")],
    ),
    Mutant(
        "the version is that of the last item, not that of its commit",
        "S2",
        [
            Edit(
                "dynamodb.items.event_items",
                "return self.commit_last + 1",
                "return self.event_id + 1",
            )
        ],
    ),
    Mutant(
        "half a commit of several streams is taken for another commit",
        "errors",
        [
            Edit(
                "dynamodb.append.repeats",
                "if len(found) in (0, len(writes)) or not left:",
                "if True:",
            )
        ],
    ),
    Mutant(
        "the head moves before the answer has come",
        "L1",
        [
            Edit(
                "dynamodb.append.with_log",
                "replies_lost = attempts.lost_replies",
                "replies_lost = attempts.lost_replies\n"
                "            self._written(group, planned, attempts.sent)\n"
                "            for each in group:\n"
                "                each.positions = None",
            ),
        ],
    ),
    Mutant(
        "a batch is put whether or not its position is taken",
        "L2",
        [
            Edit(
                "dynamodb.append.commits",
                "Put(layout.log, batch, Absent())",
                "Put(layout.log, batch)",
            )
        ],
    ),
    Mutant(
        "the log is written before the events, not with them",
        "L3",
        [
            Edit(
                "dynamodb.append.with_log",
                "                answer = yield from attempts.call(\n"
                "                    Transact(planned.actions, token), "
                "partial(self._holds, relied_on, looked)\n"
                "                )\n",
                "                ahead = tuple(planned.actions[n] for n in planned.batches.values())\n"
                "                answer = yield from attempts.call(Transact(ahead, token))\n"
                "                if answer is None:\n"
                "                    rest = tuple(a for a in planned.actions if a not in ahead)\n"
                "                    answer = yield from attempts.call(Transact(rest, token[1:]))\n",
            )
        ],
    ),
    Mutant(
        "the cursor is left out of every second commit",
        "L3",
        [
            Edit(
                "dynamodb.append.commits",
                "actions.append(moved_cursor(layout, stream_id, before, count, positions[number]))",
                "moved = moved_cursor(layout, stream_id, before, count, positions[number])\n"
                "        actions += [moved._replace(condition=None)] if positions[number] % 2 else []",
            )
        ],
    ),
    Mutant(
        "a hole in a page of the log is passed over",
        "R1",
        [
            Edit(
                "dynamodb.log.reading",
                "if first_of(item) != position:",
                "if False:",
            )
        ],
    ),
    Mutant(
        "an eventually consistent read tells where the log ends",
        "R1",
        [
            Edit(
                "dynamodb.log.reading",
                "consistent = not more and position >= lowest",
                "consistent = False",
            ),
            Edit("dynamodb.log.reading", "if not page.items and consistent:", "if not page.items:"),
        ],
    ),
    Mutant(
        "a stream's page is taken as it comes",
        "R1",
        [Edit("dynamodb.streams.reading", "if _is_range(found, lowest, highest):", "if True:")],
    ),
    Mutant(
        "a stream is read eventually consistently",
        "R1",
        [
            Edit(
                "dynamodb.streams.reading",
                "last=None if to_version is None else end - 1,",
                "last=None if to_version is None else end - 1, consistent=False,",
            )
        ],
    ),
    Mutant(
        "keys that DynamoDB left unprocessed are not asked for again",
        "L3",
        [Edit("dynamodb.client.attempts", "left += got.unprocessed", "pass")],
    ),
    Mutant(
        "a stream's next id is not held against its cursor",
        "L3",
        [
            Edit(
                "dynamodb.log.gathering",
                "counts = yield from self._cursors.counts(attempts, unknown)",
                "counts = dict.fromkeys(unknown, 0)\n            yield from ()",
            )
        ],
    ),
    Mutant(
        "the cursor is read eventually consistently",
        "L3",
        [
            Edit(
                "dynamodb.log.cursors",
                "attributes=CURSOR_COUNT)",
                "attributes=CURSOR_COUNT, consistent=False)",
            )
        ],
    ),
    Mutant(
        "what is settled is marked before the cursors are raised",
        "L3",
        [
            Edit(
                "dynamodb.log.settling",
                "        yield from self._cursors.advance(attempts, view.due, view.asked)\n"
                "        yield from self._cursors.mark_settled(attempts, partition, view.head, view.asked)\n",
                "        yield from self._cursors.mark_settled(attempts, partition, view.head, view.asked)\n"
                "        yield from self._cursors.advance(attempts, view.due, view.asked)\n",
            )
        ],
    ),
    Mutant(
        "cursors are raised whatever they are",
        "L3",
        [Edit("dynamodb.items.cursor_item", 'condition=AtMost("Count", count - 1),', "")],
    ),
    Mutant(
        "a new cursor is put over one that is there",
        "L3",
        [
            Edit(
                "dynamodb.log.cursors",
                "codes = yield from attempts.call_unbroken(PutNew(self._layout.log, items), asked)",
                "codes = [None] * len(items)\n"
                "            for item in items:\n"
                "                yield from attempts.call(Put(self._layout.log, item))",
            ),
            Edit("dynamodb.log.cursors", "    PutNew,\n", "    Put,\n    PutNew,\n"),
        ],
    ),
    Mutant(
        "a sequencer puts its batch whether or not the position is taken",
        "L2",
        [
            Edit(
                "dynamodb.log.sequencing",
                "Put(self._layout.log, batch, Absent()) for",
                "Put(self._layout.log, batch) for",
            )
        ],
    ),
    Mutant(
        "a batch is added to the view before it is put",
        "L3",
        [
            Edit(
                "dynamodb.log.sequencing",
                "        request: Put | Transact = puts[0]\n",
                "        view.add([(e.event.stream_id, e.event.event_id) for e in entries], view.head, "
                "sequenced=True)\n        request: Put | Transact = puts[0]\n",
            )
        ],
    ),
    Mutant(
        "a hole before an event that came with its record is passed over",
        "L3",
        [
            Edit(
                "dynamodb.log.hints",
                "        while (first := self._entries.get(due)) is not None:",
                "        due = min(self._entries, default=due)\n"
                "        while (first := self._entries.get(due)) is not None:",
            )
        ],
    ),
    Mutant(
        "half a commit is sequenced",
        "S2",
        [
            Edit("dynamodb.log.hints", "if len(whole) < len(commit):", "if not whole:"),
            Edit(
                "dynamodb.log.hints",
                "due = first.commit_last + 1",
                "due = whole[-1].event.event_id + 1",
            ),
        ],
    ),
    Mutant(
        "a commit of several batches is put batch by batch",
        "S2",
        [
            Edit(
                "dynamodb.log.sequencing",
                "        refused = yield from self._attempts.call(\n"
                "            request, lambda: self._views.is_trusted(view) and "
                "self._attempts.still_holds(told)\n"
                "        )\n",
                "        for put in puts:\n"
                "            refused = yield from self._attempts.call(put)\n"
                "            if refused is not None:\n"
                "                break\n",
            )
        ],
    ),
    Mutant(
        "an emptied batch does not send its sequencer back to what is settled",
        "errors",
        [Edit("dynamodb.log.views", "None if is_emptied(batch) else list(", "list(")],
    ),
    Mutant(
        "what is not settled is copied into segments",
        "L2",
        [
            Edit(
                "dynamodb.log.segments",
                "        settled = marks.settled.position\n",
                "        settled = marks.settled.position\n"
                "        newest = yield from attempts.call(Query(self._layout.log, "
                "log_hash(partition, self._layout.epoch_of(settled)), backwards=True, limit=1))\n"
                "        settled = max([settled, *(head_after(b).position for b in newest.items)])\n",
            )
        ],
    ),
    Mutant(
        "a segment is put over one that is there",
        "L2",
        [
            Edit(
                "dynamodb.log.segments",
                "Put(self._layout.log, segment, Absent())",
                "Put(self._layout.log, segment)",
            )
        ],
    ),
    Mutant(
        "batches are emptied before they are in a segment",
        "L2",
        [
            Edit(
                "dynamodb.log.segments",
                "        end = yield from self._end_of_segments(attempts, partition, marks.segmented)\n",
                "        end = marks.settled.position\n",
            )
        ],
    ),
    Mutant(
        "an event that was put without the log is refused, not sequenced, by who writes the log",
        "errors",
        [
            Edit(
                "dynamodb.append.refusals",
                "if refusal.in_log < versions[stream_id]:",
                "if False:",
            )
        ],
    ),
    Mutant(
        "a repair reads eventually consistently",
        "L4",
        [
            Edit(
                "dynamodb.repair.scanning",
                "Scan(self._layout.events, segment, segments, after, limit)",
                "Scan(self._layout.events, segment, segments, after, limit, None, False)",
            )
        ],
    ),
    Mutant(
        "a checkpoint of the change stream passes records that are not in the log",
        "L4",
        [Edit("dynamodb.changes.inbox", "while batches and not batches[0][1]:", "while batches:")],
    ),
    Mutant(
        "what the change stream has lost is not made up for",
        "L4",
        [
            Edit(
                "dynamodb.changes.worker",
                "if not (self._changes.leads and self._changes.lost):",
                "if True:",
            )
        ],
    ),
    Mutant(
        "a shard that nobody has read for longer than its records are kept has lost none",
        "L4",
        [
            Edit(
                "dynamodb.changes.change_stream",
                "held.is_new and unread_s > self._pace.retention_seconds",
                "False",
            )
        ],
    ),
    Mutant(
        "a repair leaves half a large commit as it is",
        "S1",
        [
            Edit(
                "dynamodb.repair.scanning",
                "yield from self._streams.roll_forward(attempts, stream_id, some)",
                "pass",
            ),
            Edit(
                "dynamodb.streams.reading",
                "if self._context.clock() - before.recorded_us < _LEFT_TO_ITS_WRITER:",
                "if True:",
            ),
        ],
    ),
    Mutant(
        "a checkpoint is saved whoever has claimed it since",
        "fence",
        [Edit("dynamodb.items.checkpoint_item", 'condition=Equals("Fence", held.fence),', "")],
    ),
    Mutant(
        "a claim leaves the fencing number as it is",
        "fence",
        [
            Edit(
                "dynamodb.items.checkpoint_item",
                'set=listed(CHECKPOINT_LISTING, subscription),\n        add={"Fence": 1},',
                'set=listed(CHECKPOINT_LISTING, subscription),\n        add={"Fence": 0},',
            )
        ],
    ),
    Mutant(
        "a verification never says that the log is behind",
        "verify",
        [
            Edit(
                "dynamodb.verify.differences",
                "self._findings.behind(stream_id, in_log, reach - 1)",
                "pass",
            )
        ],
    ),
    Mutant(
        "a verification says of every stream that differs that the log is behind",
        "verify",
        [Edit("dynamodb.verify.differences", "if in_log < reach:", "if True:")],
    ),
    Mutant(
        "a verification does not look again",
        "verify",
        [Edit("dynamodb.client.paced", "        if left <= 0:\n", "        if True:\n")],
    ),
    Mutant(
        "a quick verification never says that the log is behind",
        "verify",
        [
            Edit(
                "dynamodb.verify.quick",
                "self._findings.behind(stream_id, in_log, target - 1)",
                "pass",
            )
        ],
    ),
    Mutant(
        "a repair believes what items say of their positions",
        "restore",
        [
            Edit(
                "dynamodb.repair.scanning",
                "if rebuilt is None or rebuilt.places.holds(\n"
                "                        partition, position, stream_id, event_id\n"
                "                    ):",
                "if True:",
            )
        ],
    ),
    Mutant(
        "a repair leaves cursors that are ahead of the log",
        "restore",
        [Edit("dynamodb.repair.rebuild", "lowered += yield from self._lower(stream)", "pass")],
    ),
    Mutant(
        "a repair believes the marks",
        "restore",
        [
            Edit(
                "dynamodb.repair.rebuild",
                "if max(segmented, reclaimed) <= copied and settled.position <= end:",
                "if True:",
            )
        ],
    ),
    Mutant(
        "a repair puts nothing back that only the log has",
        "restore",
        [
            Edit(
                "dynamodb.repair.run",
                "done = yield from putting.run(partition, portion)",
                "continue",
            )
        ],
    ),
    Mutant(
        "a repair puts no markers",
        "restore",
        [
            Edit(
                "dynamodb.repair.scanning",
                "markers = yield from rebuilt.markers.put(attempts, found.placed)",
                "pass",
            )
        ],
    ),
    Mutant(
        "an import puts no markers",
        "S2",
        [
            Edit(
                "dynamodb.append.importing",
                "yield from self._put_markers(piece)",
                "pass",
            )
        ],
    ),
    Mutant(
        "an import puts its markers behind the events",
        "S2",
        [
            Edit(
                "dynamodb.append.importing",
                "                yield from self._put_markers(piece)\n"
                "                yield from self._with_log.settle(Attempts(self._context), pending)\n",
                "                yield from self._with_log.settle(Attempts(self._context), pending)\n"
                "                yield from self._put_markers(piece)\n",
            )
        ],
    ),
    Mutant(
        "a repair puts no markers of what it puts back",
        "restore",
        [
            Edit(
                "dynamodb.repair.put_back",
                "marked += yield from self._markers.put(self._paced.attempts(), placed)",
                "pass",
            )
        ],
    ),
    Mutant(
        "a repair leaves wrong positions on items",
        "restore",
        [
            Edit(
                "dynamodb.repair.scanning",
                "        if rebuilt is not None and found.places:\n",
                "        if False:\n",
            )
        ],
    ),
    Mutant(
        "whoever settles drops what others have not settled yet",
        "L3",
        [
            Edit(
                "dynamodb.log.settling",
                "view.settled_by_others(marks_in(got.item).settled.position)",
                "view.settled_by_others(int((got.item or {}).get('Settling', 0)))",
            )
        ],
    ),
)
