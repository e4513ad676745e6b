/* sums.c - see sums.h; what must hold is in sums.sql. */
#include "schema/sums.h"

#include "schema/db_internal.h"
#include "schema/sums.sql.h"

/* The clocks of two CPUs: records of a thread that moves may be out of order by that much. */
static const int64_t SLACK_NS = 10000000;

struct rule {
    const struct sql_block *block;
    enum { ALWAYS, IF_EXACT, IF_WHOLE } when;
    bool is_large;
};

static const struct rule rules[] = {
    {&sql_sums_run, ALWAYS, false},
    {&sql_sums_symbol_rows, ALWAYS, false},
    {&sql_sums_thread_rows, ALWAYS, false},
    {&sql_sums_counter_rows, ALWAYS, false},
    {&sql_sums_tree_rows, ALWAYS, true},
    {&sql_sums_functions, IF_EXACT, false},
    {&sql_sums_threads, IF_EXACT, false},
    {&sql_sums_counters, IF_EXACT, false},
    {&sql_sums_tree_parents, IF_EXACT, true},
    {&sql_sums_tree, IF_EXACT, true},
    {&sql_sums_tree_functions, IF_EXACT, true},
    {&sql_sums_thread_functions, IF_EXACT, true},
    {&sql_sums_of_threads, IF_EXACT, true},
    {&sql_sums_waits, IF_WHOLE, false},
    {&sql_sums_ledger, IF_WHOLE, false},
};

static int reject(struct err *e, const struct db *db, const char *what)
{
    err_set(e, STAX_ECORRUPT, "%s is damaged or was changed: the sums in its table %s do not agree",
            db_path(db), what);
    err_hint(e, "ask for a new copy of the file, or save the run again; sqlite3 still reads it");
    return STAX_ECORRUPT;
}

static int check_rule(struct db *db, const struct rule *rule, bool with_waits, struct err *e)
{
    struct stmt *s = db_stmt(db, rule->block);
    if (rule->block == &sql_sums_ledger) {
        stmt_bind_int(s, sums_ledger_p_slack_ns, SLACK_NS);
    } else if (rule->block == &sql_sums_tree) {
        stmt_bind_int(s, sums_tree_p_with_waits, with_waits);
    } else if (rule->block == &sql_sums_tree_functions) {
        stmt_bind_int(s, sums_tree_functions_p_with_waits, with_waits);
    }
    int rc = stmt_next(s) ? reject(e, db, stmt_text(s, 0)) : 0;
    stmt_reset(s);
    rc = rc ? rc : db_status(db, e);
    /* An integer overflow: no sum of a recording comes near. */
    return rc == STAX_ESQL ? reject(e, db, rule->block->name) : rc;
}

int sums_check(struct db *db, bool with_large, bool with_waits, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_sums_state);
    bool has_run = stmt_next(s);
    bool is_exact = has_run && stmt_int(s, sums_state_c_is_exact);
    bool is_whole = is_exact && with_waits;
    stmt_reset(s);
    int rc = db_status(db, e);
    for (size_t i = 0; rc == 0 && i < sizeof(rules) / sizeof(rules[0]); i++) {
        bool is_due = rules[i].when == ALWAYS || (rules[i].when == IF_EXACT ? is_exact : is_whole);
        if (is_due && (with_large || !rules[i].is_large)) {
            rc = check_rule(db, &rules[i], is_whole, e);
        }
    }
    return rc;
}
