/* run.c - the run, quality and warnings members that every document carries. */
#include <math.h>
#include <string.h>

#include "base/fd.h"
#include "query/run.sql.h"
#include "query/view.h"

/* Up to when this file knows what threads do. Nothing newer than its newest event may have happened
 * for long (everybody waits), but what has happened is here within 250 ms (DESIGN §8). */
static int64_t known_until(int64_t data_ts, int64_t now)
{
    int64_t settled = now - 250000000;
    return data_ts > settled ? data_ts : settled;
}

int run_read(struct query *q, struct err *e)
{
    struct stmt *s = db_stmt(q->db, &sql_run_row);
    struct run_row *r = &q->run;

    if (!stmt_next(s)) {
        int rc = db_status(q->db, e);
        return rc < 0 ? rc : err_set(e, STAX_ECORRUPT, "%s holds no run", q->path);
    }
    *r = (struct run_row){
        .fold =
            {
                .start_ts = stmt_int(s, run_row_c_start_ts),
                .data_ts = stmt_int(s, run_row_c_data_ts),
                .raw_from_ts = stmt_int(s, run_row_c_raw_from_ts),
                .n_samples = stmt_int(s, run_row_c_n_samples),
                .n_renames = stmt_int(s, run_row_c_n_renames),
            },
        .on_cpu_ns = stmt_int(s, run_row_c_on_cpu_ns),
        .n_lost = stmt_int(s, run_row_c_n_lost),
        .n_truncated = stmt_int(s, run_row_c_n_truncated),
        .n_unnamed = stmt_int(s, run_row_c_n_unnamed),
        .n_pending = stmt_int(s, run_row_c_n_pending),
        .has_off_cpu = stmt_int(s, run_row_c_has_off_cpu) != 0,
        .is_recording = strcmp(stmt_text(s, run_row_c_state), "recording") == 0 && !q->is_archive,
    };
    int64_t end =
        stmt_is_null(s, run_row_c_end_ts) ? r->fold.data_ts : stmt_int(s, run_row_c_end_ts);
    r->now_ts = end;
    if (r->is_recording) {
        end = clock_monotonic_ns();
        r->now_ts = known_until(r->fold.data_ts, end);
    }
    /* A foreign file may hold any two numbers. */
    if (__builtin_sub_overflow(end, r->fold.start_ts, &r->elapsed_ns) || r->elapsed_ns < 0) {
        r->elapsed_ns = 0;
    }
    r->end_ns = r->elapsed_ns;
    stmt_reset(s);
    return db_status(q->db, e);
}

static void set_text(json_t *object, const char *key, struct stmt *s, int column)
{
    json_object_set_new(object, key,
                        stmt_is_null(s, column) ? json_null()
                                                : json_clean_string(stmt_text(s, column)));
}

json_t *run_document(struct query *q)
{
    json_t *run = json_object();
    struct stmt *s = db_stmt(q->db, &sql_run_row);

    if (stmt_next(s)) {
        view_set_int(run, "id", stmt_int(s, run_row_c_id));
        set_text(run, "state", s, run_row_c_state);
        set_text(run, "stop_reason", s, run_row_c_stop_reason);
        view_set_int(run, "pid", stmt_int(s, run_row_c_pid));
        set_text(run, "command", s, run_row_c_command);
        json_object_set_new(run, "is_launched", json_boolean(stmt_int(s, run_row_c_is_launched)));
        view_set_int(run, "start_wall_ns", stmt_int(s, run_row_c_start_wall_ns));
        view_set_int(run, "elapsed_ns", q->run.elapsed_ns);
        view_set_int(run, "frequency_hz", stmt_int(s, run_row_c_frequency_hz));
        view_set_int(run, "n_samples", stmt_int(s, run_row_c_n_samples));
        view_set_int(run, "on_cpu_ns", stmt_int(s, run_row_c_on_cpu_ns));
        json_object_set_new(run, "path", json_clean_string(q->path));
    }
    stmt_reset(s);
    return run;
}

json_t *run_quality(struct query *q)
{
    json_t *quality = json_object();
    struct stmt *s = db_stmt(q->db, &sql_run_n_throttled);
    int64_t age_ns = 0;

    view_set_int(quality, "n_samples", q->run.fold.n_samples);
    view_set_int(quality, "n_lost", q->run.n_lost);
    view_set_int(quality, "n_truncated", q->run.n_truncated);
    view_set_int(quality, "n_unnamed", q->run.n_unnamed);
    view_set_int(quality, "n_pending", q->run.n_pending);
    view_set_int(quality, "n_throttled",
                 stmt_next(s) ? stmt_int(s, run_n_throttled_c_n_throttled) : 0);
    stmt_reset(s);
    if (q->run.is_recording &&
        __builtin_sub_overflow(clock_monotonic_ns(), q->run.fold.data_ts, &age_ns)) {
        age_ns = 0;
    }
    json_object_set_new(quality, "data_age_ns",
                        q->run.is_recording ? json_integer(age_ns > 0 ? age_ns : 0) : json_null());
    return quality;
}

static void warn_of_loss(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_losses);
    int64_t n_meant = q->run.fold.n_samples;

    while (stmt_next(s)) {
        int64_t n = stmt_int(s, run_losses_c_n);
        view_warn(q, "%lld records lost (%s), beside %lld samples", (long long)n,
                  stmt_text(s, run_losses_c_kind), (long long)n_meant);
    }
}

static void warn_of_shares(struct query *q)
{
    double n = (double)q->run.fold.n_samples;

    if (n > 0 && (double)q->run.n_truncated > 0.2 * n) {
        view_warn(q, "%.0f %% of the stacks are cut off: callers above that point are missing",
                  100 * (double)q->run.n_truncated / n);
    }
    if (n > 0 && (double)q->run.n_unnamed > 0.2 * n) {
        view_warn(q, "%.0f %% of the samples have no name: stax diagnose says what would name them",
                  100 * (double)q->run.n_unnamed / n);
    }
}

static void warn_of_kernel(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);

    stmt_bind_text(s, run_missing_ability_p_name, "kernel_stacks");
    if (stmt_next(s)) {
        const char *unlock = stmt_text(s, run_missing_ability_c_unlock);
        view_warn(q, "no kernel functions: %s%s%s", stmt_text(s, run_missing_ability_c_reason),
                  *unlock ? "; to record them: " : "", unlock);
    }
    stmt_reset(s);
}

static void warn_of_emptiness(struct query *q, const struct params *p)
{
    if (q->run.fold.n_samples == 0 && q->run.is_recording) {
        view_warn(q, "no samples yet: the target has not used the CPU so far "
                     "(stax wait --for-samples 1 waits for the first)");
    } else if (q->run.fold.n_samples == 0) {
        view_warn(q, "no samples: the target used no CPU while it was recorded, or ended too soon; "
                     "record for longer or with a higher -F");
    } else if (p && filter_is_any(&p->filter)) {
        view_warn(q, "no samples pass the filter; the run has %lld samples in %.3f s",
                  (long long)q->run.fold.n_samples, (double)q->run.end_ns / 1e9);
    } else if (q->run.n_pending > 0) {
        view_warn(q, "summaries are behind by %lld samples: ask again in a moment",
                  (long long)q->run.n_pending);
    }
}

void run_warnings(struct query *q, bool shows_stacks, bool is_empty, const struct params *p)
{
    if (is_empty) {
        warn_of_emptiness(q, p);
    }
    warn_of_loss(q);
    if (shows_stacks) {
        warn_of_shares(q);
        warn_of_kernel(q);
    }
    if (q->is_migrated) {
        view_warn(q, "this archive was made by an older version; a private copy was migrated");
    }
}
