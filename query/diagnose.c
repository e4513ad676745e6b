/* diagnose.c - what the file itself says about how well its run was recorded. */
#include "base/fd.h"
#include "query/diagnose.sql.h"
#include "query/view.h"

enum { MAX_UNRESOLVED = 20 };

static json_t *losses(struct query *q)
{
    json_t *list = json_array();
    struct stmt *s = db_stmt(q->db, &sql_diagnose_losses);
    while (stmt_next(s)) {
        json_t *row = json_object();
        json_object_set_new(row, "kind", json_clean_string(stmt_text(s, diagnose_losses_c_kind)));
        view_set_int(row, "n", stmt_int(s, diagnose_losses_c_n));
        view_set_int(row, "first_ts", stmt_int(s, diagnose_losses_c_first_ts));
        view_set_int(row, "last_ts", stmt_int(s, diagnose_losses_c_last_ts));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *stacks(struct query *q)
{
    json_t *list = json_array();
    struct stmt *s = db_stmt(q->db, &sql_diagnose_stacks);
    while (stmt_next(s)) {
        json_t *row = json_object();
        json_object_set_new(row, "cause", json_clean_string(stmt_text(s, diagnose_stacks_c_cause)));
        view_set_int(row, "n_samples", stmt_int(s, diagnose_stacks_c_n_samples));
        view_set_int(row, "n_guessed_samples", stmt_int(s, diagnose_stacks_c_n_guessed_samples));
        view_set_int(row, "n_waits", stmt_int(s, diagnose_stacks_c_n_waits));
        view_set_int(row, "n_guessed_waits", stmt_int(s, diagnose_stacks_c_n_guessed_waits));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *abilities(struct query *q)
{
    json_t *list = json_array();
    struct stmt *s = db_stmt(q->db, &sql_diagnose_abilities);
    while (stmt_next(s)) {
        json_t *row = json_object();
        json_object_set_new(row, "name",
                            json_clean_string(stmt_text(s, diagnose_abilities_c_name)));
        json_object_set_new(row, "is_available",
                            json_boolean(stmt_int(s, diagnose_abilities_c_is_available)));
        json_object_set_new(row, "reason",
                            json_clean_string(stmt_text(s, diagnose_abilities_c_reason)));
        json_object_set_new(row, "unlock",
                            json_clean_string(stmt_text(s, diagnose_abilities_c_unlock)));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *unresolved(struct query *q)
{
    json_t *list = json_array();
    struct stmt *s = db_stmt(q->db, &sql_diagnose_unresolved);
    stmt_bind_int(s, diagnose_unresolved_p_limit, MAX_UNRESOLVED);
    while (stmt_next(s)) {
        int64_t on_cpu_ns = stmt_int(s, diagnose_unresolved_c_on_cpu_ns);
        json_t *row = json_object();
        json_object_set_new(row, "binary",
                            json_clean_string(stmt_text(s, diagnose_unresolved_c_binary)));
        json_object_set_new(row, "note",
                            json_clean_string(stmt_text(s, diagnose_unresolved_c_note)));
        view_set_int(row, "on_cpu_ns", on_cpu_ns);
        json_object_set_new(row, "pct", view_pct(on_cpu_ns, q->run.on_cpu_ns));
        json_array_append_new(list, row);
    }
    return list;
}

int query_diagnose(struct query *q, json_t **document, struct err *e)
{
    db_clear_error(q->db);
    db_set_deadline(q->db, q->timeout_ms > 0 ? clock_monotonic_ns() + q->timeout_ms * 1000000 : 0);
    db_begin(q->db);
    int rc = run_read(q, e);
    if (rc == 0) {
        json_t *data = json_object();
        json_object_set_new(data, "loss", losses(q));
        json_object_set_new(data, "stacks", stacks(q));
        json_object_set_new(data, "unresolved", unresolved(q));
        json_object_set_new(data, "abilities", abilities(q));
        rc = db_status(q->db, e);
        *document = json_pack("{s:s,s:o,s:o,s:o,s:[]}", "schema", "stax.diagnose/1", "run",
                              run_document(q), "data", data, "quality", run_quality(q), "warnings");
        if (rc) {
            json_decref(*document);
            *document = NULL;
        }
    }
    db_clear_error(q->db);
    db_set_deadline(q->db, 0);
    db_rollback(q->db);
    return rc;
}
