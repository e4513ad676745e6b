-- What ingest writes. One block, one statement; all are run by the one writing connection.

--@ insert_run
-- :id and the other columns of run that are known at the start
INSERT INTO run (id, state, pid, is_launched, command, start_ts, start_wall_ns, data_ts,
                 frequency_hz, period_ns, has_children, hostname, os_release, arch, n_cpus,
                 stax_version, n_samples, on_cpu_ns, n_lost, n_truncated, n_unnamed, n_moved,
                 max_moved_ns, n_pending, raw_from_ts, n_renames, has_off_cpu)
VALUES (:id, 'recording', :pid, :is_launched, :command, :start_ts, :start_wall_ns, :start_ts,
        :frequency_hz, :period_ns, :has_children, :hostname, :os_release, :arch, :n_cpus,
        :stax_version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, :has_off_cpu);

--@ update_run
-- The counts of a run after a commit; columns as in run
UPDATE run
   SET data_ts = :data_ts,
       n_samples = :n_samples,
       on_cpu_ns = :on_cpu_ns,
       n_lost = :n_lost,
       n_truncated = :n_truncated,
       n_unnamed = :n_unnamed,
       n_moved = :n_moved,
       max_moved_ns = :max_moved_ns,
       n_pending = :n_pending;

--@ end_run
-- :stop_reason TEXT, :end_ts INTEGER ns
UPDATE run SET state = 'stopped', stop_reason = :stop_reason, end_ts = :end_ts;

--@ insert_counter
INSERT INTO counter (slot, name, unit, n_attributed) VALUES (:slot, :name, :unit, 0);

--@ update_counter
-- :slot; :n_counted, :enabled_ns, :running_ns or NULL
UPDATE counter
   SET n_attributed = :n_attributed, n_counted = :n_counted, enabled_ns = :enabled_ns,
       running_ns = :running_ns
 WHERE slot = :slot;

--@ insert_ability
INSERT INTO ability (name, is_available, reason, unlock)
VALUES (:name, :is_available, :reason, :unlock);

--@ is_cut_off
-- :reason TEXT  why names are not what they could be
-- => one row when that is so
SELECT 1 AS is_so FROM ability WHERE name = 'late_names' AND reason = :reason;

--@ drop_lack_of_names
DELETE FROM ability WHERE name = 'late_names';

--@ put_stack_end
INSERT INTO stack_end (cause, n_samples, n_guessed_samples, n_waits, n_guessed_waits)
VALUES (:cause, :n_samples, :n_guessed_samples, :n_waits, :n_guessed_waits)
ON CONFLICT (cause) DO UPDATE
   SET n_samples = excluded.n_samples, n_guessed_samples = excluded.n_guessed_samples,
       n_waits = excluded.n_waits, n_guessed_waits = excluded.n_guessed_waits;

--@ put_process
INSERT INTO process (upid, pid, parent_upid, name, cmdline, start_ts, end_ts)
VALUES (:upid, :pid, :parent_upid, :name, :cmdline, :start_ts, :end_ts)
ON CONFLICT (upid) DO UPDATE
   SET name = excluded.name, cmdline = excluded.cmdline, end_ts = excluded.end_ts;

--@ put_thread
INSERT INTO thread (utid, upid, tid, name, is_main_thread, start_ts, end_ts)
VALUES (:utid, :upid, :tid, :name, :is_main_thread, :start_ts, :end_ts)
ON CONFLICT (utid) DO UPDATE
   SET name = excluded.name, start_ts = excluded.start_ts, end_ts = excluded.end_ts;

--@ put_binary
INSERT INTO binary (id, path, name, kind, build_id, has_addresses, names_from, note, package)
VALUES (:id, :path, :name, :kind, :build_id, :has_addresses, :names_from, :note, :package)
ON CONFLICT (id) DO UPDATE
   SET build_id = excluded.build_id, has_addresses = excluded.has_addresses,
       names_from = excluded.names_from, note = excluded.note,
       package = ifnull(excluded.package, package);

--@ insert_mapping
INSERT INTO mapping (ts, upid, start, size, file_offset, binary)
VALUES (:ts, :upid, :start, :size, :file_offset, :binary);

--@ insert_sample
INSERT INTO sample (ts, utid, cpu, callsite, frame, on_cpu_ns)
VALUES (:ts, :utid, :cpu, :callsite, :frame, :on_cpu_ns);

--@ insert_sample_with_counters
INSERT INTO sample (ts, utid, cpu, callsite, frame, on_cpu_ns, c0, c1, c2, c3)
VALUES (:ts, :utid, :cpu, :callsite, :frame, :on_cpu_ns, :c0, :c1, :c2, :c3);

--@ insert_loss
INSERT INTO loss (ts, cpu, kind, n) VALUES (:ts, :cpu, :kind, :n);

--@ insert_symbol
INSERT INTO symbol (id, kind, name, linkage_name, binary, rel_address, size, source, language,
                    whole, address)
VALUES (:id, :kind, :name, :linkage_name, :binary, :rel_address, :size, :source, :language,
        :whole, nullif(:address, 0));

--@ rename_symbol
-- A better name for what is already there; columns as in symbol
UPDATE symbol
   SET kind = :kind, name = :name, linkage_name = :linkage_name,
       rel_address = iif(source = 'dwarf', :rel_address, rel_address), size = :size,
       source = :source, language = :language
 WHERE id = :id;

--@ set_symbol_language
-- Known since its lines are
UPDATE symbol SET language = :language WHERE id = :id;

--@ set_symbol_whole
-- Written with the call tree that has the whole, or has it no more
UPDATE symbol SET whole = :whole WHERE id = :id;

--@ set_frame
UPDATE frame
   SET binary = :binary, rel_address = :rel_address, symbol = :symbol
 WHERE id = :id;

--@ set_frame_line_symbol
-- The frame's own function is the outermost of its lines
UPDATE frame_line
   SET symbol = :symbol
 WHERE frame = :id AND depth = (SELECT max(depth) FROM frame_line WHERE frame = :id);

--@ put_frame_line
INSERT INTO frame_line (frame, depth, symbol, file, line)
VALUES (:frame, :depth, :symbol, :file, :line)
ON CONFLICT (frame, depth) DO UPDATE
   SET symbol = excluded.symbol, file = excluded.file, line = excluded.line;

--@ trim_frame_lines
-- Rows of a frame outside of :depth
DELETE FROM frame_line WHERE frame = :frame AND depth > :depth;

--@ count_rename
UPDATE run SET n_renames = n_renames + 1;

--@ insert_frame
INSERT INTO frame (id, binary, rel_address, symbol) VALUES (:id, :binary, :rel_address, :symbol);

--@ insert_callsite
INSERT INTO callsite (id, parent, frame, depth, node) VALUES (:id, :parent, :frame, :depth, :node);

--@ insert_node
INSERT INTO call_tree (parent, id, symbol, depth, is_inlined, is_recursive, n_self_samples,
                       self_on_cpu_ns, n_total_samples, total_on_cpu_ns, n_self_waits,
                       self_off_cpu_ns, n_total_waits, total_off_cpu_ns)
VALUES (:parent, :id, :symbol, :depth, :is_inlined, :is_recursive, :n_self_samples,
        :self_on_cpu_ns, :n_total_samples, :total_on_cpu_ns, :n_self_waits, :self_off_cpu_ns,
        :n_total_waits, :total_off_cpu_ns);

--@ drop_node
DELETE FROM call_tree WHERE parent = :parent AND id = :id;

--@ drop_node_counters
DELETE FROM call_tree_counter WHERE node = :node;

--@ drop_symbol_sum
DELETE FROM symbol_sum WHERE symbol = :symbol;

--@ drop_symbol_counters
DELETE FROM symbol_counter WHERE symbol = :symbol;

--@ drop_symbol_thread_sum
DELETE FROM symbol_thread_sum WHERE utid = :utid AND symbol = :symbol;

--@ update_node
UPDATE call_tree
   SET n_self_samples = :n_self_samples, self_on_cpu_ns = :self_on_cpu_ns,
       n_total_samples = :n_total_samples, total_on_cpu_ns = :total_on_cpu_ns,
       n_self_waits = :n_self_waits, self_off_cpu_ns = :self_off_cpu_ns,
       n_total_waits = :n_total_waits, total_off_cpu_ns = :total_off_cpu_ns
 WHERE parent = :parent AND id = :id;

--@ put_symbol_sum
INSERT INTO symbol_sum (symbol, n_self_samples, self_on_cpu_ns, n_total_samples, total_on_cpu_ns,
                        n_self_waits, self_off_cpu_ns, n_total_waits, total_off_cpu_ns)
VALUES (:symbol, :n_self_samples, :self_on_cpu_ns, :n_total_samples, :total_on_cpu_ns,
        :n_self_waits, :self_off_cpu_ns, :n_total_waits, :total_off_cpu_ns)
ON CONFLICT (symbol) DO UPDATE
   SET n_self_samples = excluded.n_self_samples, self_on_cpu_ns = excluded.self_on_cpu_ns,
       n_total_samples = excluded.n_total_samples, total_on_cpu_ns = excluded.total_on_cpu_ns,
       n_self_waits = excluded.n_self_waits, self_off_cpu_ns = excluded.self_off_cpu_ns,
       n_total_waits = excluded.n_total_waits, total_off_cpu_ns = excluded.total_off_cpu_ns;

--@ put_symbol_thread_sum
INSERT INTO symbol_thread_sum (utid, symbol, n_self_samples, self_on_cpu_ns, n_total_samples,
                               total_on_cpu_ns)
VALUES (:utid, :symbol, :n_self_samples, :self_on_cpu_ns, :n_total_samples, :total_on_cpu_ns)
ON CONFLICT (utid, symbol) DO UPDATE
   SET n_self_samples = excluded.n_self_samples, self_on_cpu_ns = excluded.self_on_cpu_ns,
       n_total_samples = excluded.n_total_samples, total_on_cpu_ns = excluded.total_on_cpu_ns;

--@ put_frame_sum
INSERT INTO frame_sum (frame, utid, n_samples, on_cpu_ns)
VALUES (:frame, :utid, :n_samples, :on_cpu_ns)
ON CONFLICT (frame, utid) DO UPDATE
   SET n_samples = excluded.n_samples, on_cpu_ns = excluded.on_cpu_ns;

--@ put_callsite_sum
INSERT INTO callsite_sum (callsite, utid, n_samples, on_cpu_ns)
VALUES (:callsite, :utid, :n_samples, :on_cpu_ns)
ON CONFLICT (callsite, utid) DO UPDATE
   SET n_samples = excluded.n_samples, on_cpu_ns = excluded.on_cpu_ns;

--@ put_node_counters
INSERT INTO call_tree_counter (node, self_c0, self_c1, self_c2, self_c3, total_c0, total_c1,
                               total_c2, total_c3)
VALUES (:node, :self_c0, :self_c1, :self_c2, :self_c3, :total_c0, :total_c1, :total_c2, :total_c3)
ON CONFLICT (node) DO UPDATE
   SET self_c0 = excluded.self_c0, self_c1 = excluded.self_c1, self_c2 = excluded.self_c2,
       self_c3 = excluded.self_c3, total_c0 = excluded.total_c0, total_c1 = excluded.total_c1,
       total_c2 = excluded.total_c2, total_c3 = excluded.total_c3;

--@ put_symbol_counters
INSERT INTO symbol_counter (symbol, self_c0, self_c1, self_c2, self_c3, total_c0, total_c1,
                            total_c2, total_c3)
VALUES (:symbol, :self_c0, :self_c1, :self_c2, :self_c3, :total_c0, :total_c1, :total_c2, :total_c3)
ON CONFLICT (symbol) DO UPDATE
   SET self_c0 = excluded.self_c0, self_c1 = excluded.self_c1, self_c2 = excluded.self_c2,
       self_c3 = excluded.self_c3, total_c0 = excluded.total_c0, total_c1 = excluded.total_c1,
       total_c2 = excluded.total_c2, total_c3 = excluded.total_c3;

--@ put_frame_counters
INSERT INTO frame_counter (frame, utid, c0, c1, c2, c3)
VALUES (:frame, :utid, :c0, :c1, :c2, :c3)
ON CONFLICT (frame, utid) DO UPDATE
   SET c0 = excluded.c0, c1 = excluded.c1, c2 = excluded.c2, c3 = excluded.c3;

--@ put_thread_counters
INSERT INTO thread_counter (utid, c0, c1, c2, c3)
VALUES (:utid, :c0, :c1, :c2, :c3)
ON CONFLICT (utid) DO UPDATE
   SET c0 = excluded.c0, c1 = excluded.c1, c2 = excluded.c2, c3 = excluded.c3;

--@ put_thread_sum
-- Columns as in thread_sum
INSERT INTO thread_sum (utid, n_samples, on_cpu_ns, runnable_ns, idle_ns, lock_ns, sem_ns,
                        ipc_ns, io_r_ns, io_w_ns, ready_ns, sleep_ns, conn_ns, other_ns,
                        unknown_ns, n_switches, open_state, open_reason, open_ts, guessed_ns,
                        open_callsite, open_reason_from, open_stack_from)
VALUES (:utid, :n_samples, :on_cpu_ns, :runnable_ns, :idle_ns, :lock_ns, :sem_ns, :ipc_ns,
        :io_r_ns, :io_w_ns, :ready_ns, :sleep_ns, :conn_ns, :other_ns, :unknown_ns, :n_switches,
        :open_state, :open_reason, :open_ts, :guessed_ns, :open_callsite, :open_reason_from,
        :open_stack_from)
ON CONFLICT (utid) DO UPDATE
   SET n_samples = excluded.n_samples, on_cpu_ns = excluded.on_cpu_ns,
       runnable_ns = excluded.runnable_ns, idle_ns = excluded.idle_ns,
       lock_ns = excluded.lock_ns, sem_ns = excluded.sem_ns, ipc_ns = excluded.ipc_ns,
       io_r_ns = excluded.io_r_ns, io_w_ns = excluded.io_w_ns, ready_ns = excluded.ready_ns,
       sleep_ns = excluded.sleep_ns, conn_ns = excluded.conn_ns, other_ns = excluded.other_ns,
       unknown_ns = excluded.unknown_ns, n_switches = excluded.n_switches,
       open_state = excluded.open_state, open_reason = excluded.open_reason,
       open_ts = excluded.open_ts, guessed_ns = excluded.guessed_ns,
       open_callsite = excluded.open_callsite, open_reason_from = excluded.open_reason_from,
       open_stack_from = excluded.open_stack_from;

--@ put_time_bucket
-- :has_off_cpu of the run; what its threads waited is added by add_off_cpu
INSERT INTO time_bucket (bucket, utid, n_samples, on_cpu_ns, runnable_ns, blocked_ns)
VALUES (:bucket, :utid, :n_samples, :on_cpu_ns, iif(:has_off_cpu, 0, NULL),
        iif(:has_off_cpu, 0, NULL))
ON CONFLICT (bucket, utid) DO UPDATE
   SET n_samples = excluded.n_samples, on_cpu_ns = excluded.on_cpu_ns;

--@ add_off_cpu
INSERT INTO time_bucket (bucket, utid, n_samples, on_cpu_ns, runnable_ns, blocked_ns)
VALUES (:bucket, :utid, 0, 0, :runnable_ns, :blocked_ns)
ON CONFLICT (bucket, utid) DO UPDATE
   SET runnable_ns = ifnull(runnable_ns, 0) + excluded.runnable_ns,
       blocked_ns = ifnull(blocked_ns, 0) + excluded.blocked_ns;

--@ insert_thread_state
INSERT INTO thread_state (ts, dur, utid, state, reason, reason_from, callsite, stack_from,
                          waker_utid, waker_callsite, waker)
VALUES (:ts, :dur, :utid, :state, :reason, :reason_from, :callsite, :stack_from, :waker_utid,
        :waker_callsite, :waker);

--@ insert_wakeup
INSERT INTO wakeup (ts, utid, dur, waker, waker_tid, waker_utid, waker_callsite)
VALUES (:ts, :utid, :dur, :waker, :waker_tid, :waker_utid, :waker_callsite);

--@ add_folded_wakeup
INSERT INTO folded_wakeup (bucket, utid, waker, waker_utid, n_wakeups, dur, n_buckets)
VALUES (:bucket, :utid, :waker, :waker_utid, :n_wakeups, :dur, 1)
ON CONFLICT (bucket, utid, waker, waker_utid) DO UPDATE
   SET n_wakeups = n_wakeups + excluded.n_wakeups, dur = dur + excluded.dur;

--@ add_waker_sum
-- :waker_utid, :waker_callsite 0: none
INSERT INTO waker_sum (waker, waker_utid, utid, waker_callsite, n_wakeups, blocked_ns)
VALUES (:waker, :waker_utid, :utid, :waker_callsite, :n_wakeups, :blocked_ns)
ON CONFLICT (waker, waker_utid, utid, waker_callsite) DO UPDATE
   SET n_wakeups = n_wakeups + excluded.n_wakeups,
       blocked_ns = blocked_ns + excluded.blocked_ns;

--@ add_folded_state
INSERT INTO folded_state (bucket, utid, state, reason, callsite, n_intervals, dur, n_buckets,
                          guessed_ns)
VALUES (:bucket, :utid, :state, :reason, :callsite, :n_intervals, :dur, 1, :guessed_ns)
ON CONFLICT (bucket, utid, state, reason, callsite) DO UPDATE
   SET n_intervals = n_intervals + excluded.n_intervals, dur = dur + excluded.dur,
       guessed_ns = guessed_ns + excluded.guessed_ns;

--@ add_wait_sum
-- :reason '' of runnable ones
INSERT INTO wait_sum (reason, n_intervals, dur, n_folded_intervals, folded_dur)
VALUES (:reason, :n_intervals, :dur, :n_folded_intervals, :folded_dur)
ON CONFLICT (reason) DO UPDATE
   SET n_intervals = n_intervals + excluded.n_intervals, dur = dur + excluded.dur,
       n_folded_intervals = n_folded_intervals + excluded.n_folded_intervals,
       folded_dur = folded_dur + excluded.folded_dur;

--@ insert_stack
INSERT INTO stack (id, utid, node) VALUES (:id, :utid, :node);

--@ insert_snapshot
INSERT INTO snapshot (id, ts, n_samples) VALUES (:id, :ts, :n_samples);

--@ insert_stack_sum
INSERT INTO stack_sum (snapshot, stack, n_samples, on_cpu_ns)
VALUES (:snapshot, :stack, :n_samples, :on_cpu_ns);

--@ insert_stack_counters
INSERT INTO stack_counter (snapshot, stack, c0, c1, c2, c3)
VALUES (:snapshot, :stack, :c0, :c1, :c2, :c3);

--@ has_raw_to_drop
-- Whether rows of sample or thread_state from before run.raw_from_ts are still there
-- => is_there
SELECT EXISTS (SELECT 1 FROM sample WHERE ts < (SELECT raw_from_ts FROM run))
    OR EXISTS (SELECT 1 FROM thread_state
                WHERE id = (SELECT min(id) FROM thread_state)
                  AND ts + dur < (SELECT raw_from_ts FROM run)) AS is_there;

--@ drop_raw_samples
-- Gives back up to :limit of those rows
DELETE FROM sample
 WHERE ts IN (SELECT ts FROM sample WHERE ts < (SELECT raw_from_ts FROM run)
               ORDER BY ts LIMIT :limit);

--@ fold_raw_states
-- What the next statement gives back, added up
INSERT INTO folded_state (bucket, utid, state, reason, callsite, n_intervals, dur, n_buckets,
                          guessed_ns)
SELECT (t.ts + t.dur - r.start_ts) / 100000000, t.utid, t.state, ifnull(t.reason, ''),
       ifnull(t.callsite, 0), count(*), sum(t.dur), 1, sum(iif(t.reason_from IN ('earlier', 'futex'), t.dur, 0))
  FROM (SELECT * FROM thread_state ORDER BY id LIMIT :limit) AS t, run AS r
 WHERE t.ts + t.dur < r.raw_from_ts
 GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (bucket, utid, state, reason, callsite) DO UPDATE
   SET n_intervals = n_intervals + excluded.n_intervals, dur = dur + excluded.dur,
       guessed_ns = guessed_ns + excluded.guessed_ns;

--@ fold_wait_sums
-- The same in the sums of waits
UPDATE wait_sum
   SET n_intervals = n_intervals - f.n, dur = wait_sum.dur - f.dur,
       n_folded_intervals = n_folded_intervals + f.n, folded_dur = folded_dur + f.dur
  FROM (SELECT ifnull(t.reason, '') AS reason, count(*) AS n, sum(t.dur) AS dur
          FROM (SELECT * FROM thread_state ORDER BY id LIMIT :limit) AS t, run AS r
         WHERE t.ts + t.dur < r.raw_from_ts
         GROUP BY 1) AS f
 WHERE f.reason = wait_sum.reason;

--@ drop_raw_states
-- Gives back those of the first :limit intervals that ended before run.raw_from_ts
DELETE FROM thread_state
 WHERE id IN (SELECT id FROM thread_state ORDER BY id LIMIT :limit)
   AND ts + dur < (SELECT raw_from_ts FROM run);

--@ fold_raw_wakeups
-- The same for wakeups; their waker_sum rows lose the callsite
INSERT INTO folded_wakeup (bucket, utid, waker, waker_utid, n_wakeups, dur, n_buckets)
SELECT (w.ts - r.start_ts) / 100000000, w.utid, w.waker, ifnull(w.waker_utid, 0), count(*),
       sum(w.dur), 1
  FROM (SELECT * FROM wakeup ORDER BY id LIMIT :limit) AS w, run AS r
 WHERE w.ts < r.raw_from_ts
 GROUP BY 1, 2, 3, 4
ON CONFLICT (bucket, utid, waker, waker_utid) DO UPDATE
   SET n_wakeups = n_wakeups + excluded.n_wakeups, dur = dur + excluded.dur;

--@ drop_raw_wakeups
-- Gives back those of the first :limit wakeups that came before run.raw_from_ts
DELETE FROM wakeup
 WHERE id IN (SELECT id FROM wakeup ORDER BY id LIMIT :limit)
   AND ts < (SELECT raw_from_ts FROM run);

--@ count_folded
-- Rows of sums, the newest bucket, and the widest row there is
-- => n_rows, last, n_buckets
SELECT (SELECT count(*) FROM folded_state) + (SELECT count(*) FROM folded_wakeup) AS n_rows,
       ifnull((SELECT max(bucket) FROM folded_state), 0) AS last,
       ifnull((SELECT max(n_buckets) FROM folded_state), 1) AS n_buckets;

--@ widen_folded_states
-- Adds up rows from before bucket :before into rows of :n_buckets each, under negative buckets:
-- they cannot meet those they are made of
INSERT INTO folded_state (bucket, utid, state, reason, callsite, n_intervals, dur, n_buckets,
                          guessed_ns)
SELECT -1 - bucket / :n_buckets, utid, state, reason, callsite, sum(n_intervals), sum(dur),
       :n_buckets, sum(guessed_ns)
  FROM folded_state
 WHERE bucket >= 0 AND bucket < :before
 GROUP BY 1, 2, 3, 4, 5;

--@ drop_widened_states
DELETE FROM folded_state WHERE bucket >= 0 AND bucket < :before;

--@ place_widened_states
UPDATE folded_state SET bucket = (-1 - bucket) * n_buckets WHERE bucket < 0;

--@ widen_folded_wakeups
-- The same for wakeups
INSERT INTO folded_wakeup (bucket, utid, waker, waker_utid, n_wakeups, dur, n_buckets)
SELECT -1 - bucket / :n_buckets, utid, waker, waker_utid, sum(n_wakeups), sum(dur), :n_buckets
  FROM folded_wakeup
 WHERE bucket >= 0 AND bucket < :before
 GROUP BY 1, 2, 3, 4;

--@ drop_widened_wakeups
DELETE FROM folded_wakeup WHERE bucket >= 0 AND bucket < :before;

--@ place_widened_wakeups
UPDATE folded_wakeup SET bucket = (-1 - bucket) * n_buckets WHERE bucket < 0;

--@ oldest_snapshot
-- The first snapshot whose sample rows are still there
-- => ts (ns)
SELECT s.ts FROM snapshot AS s, run AS r WHERE s.ts >= r.raw_from_ts ORDER BY s.id LIMIT 1;

--@ drop_old_snapshots
-- Those before the one that sample rows begin after
DELETE FROM snapshot WHERE ts < (SELECT raw_from_ts - 1 FROM run);

--@ used_bytes
-- => n_bytes of the file that hold data
SELECT (page_count - freelist_count) * page_size AS n_bytes
  FROM pragma_page_count, pragma_freelist_count, pragma_page_size;

--@ set_raw_from
-- :ts the last time whose rows are to go
UPDATE run SET raw_from_ts = :ts + 1;

--@ read_run
-- => columns of run that rebuild needs
SELECT id, state, start_ts, start_wall_ns, end_ts, data_ts, raw_from_ts, n_samples, has_off_cpu,
       EXISTS (SELECT 1 FROM folded_state WHERE n_buckets > 1) AS has_wide
  FROM run;

--@ read_symbols
-- => id, kind, name (of markers), whole (0: none)
SELECT id, kind, iif(kind = 'marker', name, NULL) AS name, ifnull(whole, 0) AS whole
  FROM symbol
 ORDER BY id;

--@ read_binaries
-- => id, path, kind, build_id, names_from, note, has_addresses
SELECT id, path, kind, build_id, names_from, note, has_addresses FROM binary ORDER BY id;

--@ read_named_symbols
-- => id, kind, name, linkage_name, binary, rel_address, is_inlined, language, whole (0: none)
SELECT id, kind, name, linkage_name, ifnull(binary, 0) AS binary,
       ifnull(rel_address, 0) AS rel_address, source = 'dwarf' AS is_inlined, language,
       ifnull(whole, 0) AS whole
  FROM symbol
 ORDER BY id;

--@ read_frames
-- => id, binary, rel_address, symbol
SELECT id, binary, rel_address, symbol FROM frame ORDER BY id;

--@ read_callsites
-- => id, parent, frame, depth
SELECT id, parent, frame, depth FROM callsite ORDER BY id;

--@ read_nodes
-- => id, parent, symbol, is_inlined, n (of all)
SELECT id, parent, symbol, is_inlined, (SELECT count(*) FROM call_tree) AS n
  FROM call_tree
 ORDER BY id;

--@ read_inlined
-- Functions of the frames that have more than one, outermost first
-- => frame, symbol
SELECT frame, symbol
  FROM frame_line AS l
 WHERE l.depth > 0 OR EXISTS (SELECT 1 FROM frame_line AS m WHERE m.frame = l.frame AND m.depth = 1)
 ORDER BY frame, depth DESC;

--@ read_stacks
-- => id, utid, node
SELECT id, utid, node FROM stack ORDER BY id;

--@ read_base
-- What each stack had summed up when the oldest kept sample rows begin; :ts is raw_from_ts - 1
-- => stack, n_samples, on_cpu_ns
SELECT b.stack, b.n_samples, b.on_cpu_ns
  FROM snapshot AS s
  JOIN stack_sum AS b ON b.snapshot = s.id
 WHERE s.ts = :ts;

--@ read_base_counters
-- The same of counters, where there are any
-- => stack, c0, c1, c2, c3
SELECT b.stack, b.c0, b.c1, b.c2, b.c3
  FROM snapshot AS s
  JOIN stack_counter AS b ON b.snapshot = s.id
 WHERE s.ts = :ts;

--@ read_n_counters
-- => n
SELECT count(*) AS n FROM counter WHERE slot BETWEEN 0 AND 3;

--@ read_samples
-- => ts, utid, callsite, frame, on_cpu_ns, c0, c1, c2, c3
SELECT ts, utid, callsite, frame, on_cpu_ns, c0, c1, c2, c3
  FROM sample
 WHERE ts >= (SELECT raw_from_ts FROM run)
 ORDER BY ts;

--@ read_states
-- => ts, dur, utid, is_blocked, reason, callsite (0: runnable)
SELECT ts, dur, utid, state = 'blocked' AS is_blocked, reason, ifnull(callsite, 0) AS callsite
  FROM thread_state
 ORDER BY id;

--@ read_folded_states
-- => bucket, utid, is_blocked, reason, callsite, n_intervals, dur
SELECT bucket, utid, state = 'blocked' AS is_blocked, reason, callsite, n_intervals, dur
  FROM folded_state;

--@ read_last_snapshot
-- => id (0: none)
SELECT ifnull(max(id), 0) AS id FROM snapshot;

--@ clear_call_tree
DELETE FROM call_tree;

--@ clear_symbol_sum
DELETE FROM symbol_sum;

--@ clear_symbol_thread_sum
DELETE FROM symbol_thread_sum;

--@ clear_frame_sum
DELETE FROM frame_sum;

--@ clear_callsite_sum
DELETE FROM callsite_sum;

--@ clear_call_tree_counter
DELETE FROM call_tree_counter;

--@ clear_symbol_counter
DELETE FROM symbol_counter;

--@ clear_frame_counter
DELETE FROM frame_counter;

--@ clear_thread_counter
DELETE FROM thread_counter;

--@ clear_thread_sum
DELETE FROM thread_sum;

--@ clear_time_bucket
DELETE FROM time_bucket;

--@ clear_waker_sum
DELETE FROM waker_sum;

--@ rebuild_waker_sum
INSERT INTO waker_sum (waker, waker_utid, utid, waker_callsite, n_wakeups, blocked_ns)
SELECT waker, waker_utid, utid, waker_callsite, sum(n), sum(dur)
  FROM (SELECT waker, ifnull(waker_utid, 0) AS waker_utid, utid,
               ifnull(waker_callsite, 0) AS waker_callsite, 1 AS n, dur
          FROM wakeup
         UNION ALL
        SELECT waker, waker_utid, utid, 0, n_wakeups, dur FROM folded_wakeup)
 GROUP BY 1, 2, 3, 4;

--@ clear_stack
DELETE FROM stack;

--@ clear_snapshots
-- Those of times whose sample rows are there; :ts is raw_from_ts
DELETE FROM snapshot WHERE ts >= :ts;

--@ clear_all_snapshots
DELETE FROM snapshot;

--@ clear_stack_sums
DELETE FROM stack_sum WHERE snapshot NOT IN (SELECT id FROM snapshot);

--@ clear_stack_counters
DELETE FROM stack_counter WHERE snapshot NOT IN (SELECT id FROM snapshot);

--@ set_callsite_node
UPDATE callsite SET node = :node WHERE id = :id;

--@ rebuild_thread_sum
-- Of a run without off-CPU time
INSERT INTO thread_sum (utid, n_samples, on_cpu_ns)
SELECT utid, count(*), sum(on_cpu_ns) FROM sample GROUP BY utid;

--@ rebuild_thread_samples
-- Of a run with off-CPU time: on-CPU time is then a fact
UPDATE thread_sum
   SET n_samples = (SELECT count(*) FROM sample WHERE sample.utid = thread_sum.utid);

--@ rebuild_thread_waits
UPDATE thread_sum
   SET runnable_ns = w.runnable_ns,
       idle_ns = w.idle_ns,
       lock_ns = w.lock_ns,
       sem_ns = w.sem_ns,
       ipc_ns = w.ipc_ns,
       io_r_ns = w.io_r_ns,
       io_w_ns = w.io_w_ns,
       ready_ns = w.ready_ns,
       sleep_ns = w.sleep_ns,
       conn_ns = w.conn_ns,
       other_ns = w.other_ns,
       guessed_ns = w.guessed_ns
  FROM (SELECT t.utid,
               ifnull(sum(s.dur) FILTER (WHERE s.state = 'runnable'), 0) AS runnable_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'idle'), 0) AS idle_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'lock'), 0) AS lock_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'sem'), 0) AS sem_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'ipc'), 0) AS ipc_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'ioR'), 0) AS io_r_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'ioW'), 0) AS io_w_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'ready'), 0) AS ready_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'sleep'), 0) AS sleep_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'conn'), 0) AS conn_ns,
               ifnull(sum(s.dur) FILTER (WHERE s.reason = 'other'), 0) AS other_ns,
               iif(total(s.is_unknown), NULL, ifnull(sum(s.guessed_ns), 0)) AS guessed_ns
          FROM thread_sum AS t
          LEFT JOIN (SELECT utid, state, reason, dur,
                            iif(reason_from IN ('earlier', 'futex'), dur, 0) AS guessed_ns, 0 AS is_unknown
                       FROM thread_state
                      UNION ALL
                     SELECT utid, state, reason, dur, guessed_ns, guessed_ns IS NULL
                       FROM folded_state) AS s
            ON s.utid = t.utid
         GROUP BY t.utid) AS w
 WHERE w.utid = thread_sum.utid;

--@ clear_wait_sum
DELETE FROM wait_sum;

--@ rebuild_wait_sum
INSERT INTO wait_sum (reason, n_intervals, dur, n_folded_intervals, folded_dur)
SELECT reason, sum(n), sum(dur), sum(n_folded), sum(folded_dur)
  FROM (SELECT ifnull(reason, '') AS reason, 1 AS n, dur, 0 AS n_folded, 0 AS folded_dur
          FROM thread_state
         UNION ALL
        SELECT reason, 0, 0, n_intervals, dur FROM folded_state)
 GROUP BY 1;

--@ rebuild_time_bucket
INSERT INTO time_bucket (bucket, utid, n_samples, on_cpu_ns, runnable_ns, blocked_ns)
SELECT (s.ts - r.start_ts) / 100000000 AS bucket, s.utid, count(*), sum(s.on_cpu_ns),
       iif(r.has_off_cpu, 0, NULL), iif(r.has_off_cpu, 0, NULL)
  FROM sample AS s, run AS r
 GROUP BY 1, 2;

--@ rebuild_thread_counter
INSERT INTO thread_counter (utid, c0, c1, c2, c3)
SELECT utid, sum(c0), sum(c1), sum(c2), sum(c3)
  FROM sample
 WHERE c0 IS NOT NULL
 GROUP BY utid;

--@ rebuild_counter
UPDATE counter SET n_attributed = :n_attributed WHERE slot = :slot;

--@ rebuild_run
-- Counts of run that follow from facts; :n_samples and :on_cpu_ns include dropped rows;
-- :is_renamed: 1 after names changed
UPDATE run
   SET n_samples = :n_samples,
       on_cpu_ns = :on_cpu_ns,
       n_renames = n_renames + :is_renamed,
       n_unnamed = CASE :is_renamed
                       WHEN 0 THEN n_unnamed
                       ELSE (SELECT ifnull(sum(f.n_samples), 0)
                               FROM frame_sum AS f
                               JOIN frame ON frame.id = f.frame
                               JOIN symbol ON symbol.id = frame.symbol
                              WHERE symbol.kind = 'unnamed')
                   END,
       n_pending = CASE raw_from_ts WHEN 0 THEN 0 ELSE n_pending END,
       data_ts = max(data_ts, ifnull((SELECT max(ts) FROM sample), 0));
