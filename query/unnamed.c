/* unnamed.c - the view symbols: code without names, why, and what would name it. */
#include <string.h>

#include "query/unnamed.sql.h"
#include "query/view.h"

struct row {
    const char *binary, *kind, *build_id, *names_from, *note;
    bool is_unnamed; /* some of it; else it is only poorly named */
};

static bool is_any(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* Why, and in *help what would help ("": nothing is known). */
static const char *why(const struct row *r, const char **help)
{
    static const char *const gone[] = {"deleted", "replaced", "unreadable", NULL};
    static const char *const kernel[] = {"kernel", "module", NULL};
    *help = "";
    if (strcmp(r->kind, "jit") == 0) {
        return "code made at run time: no file has its names";
    }
    if (strcmp(r->kind, "unknown") == 0) {
        return "addresses that no mapping holds";
    }
    if (is_any(r->kind, kernel)) {
        *help = r->note[0] ? "sudo sysctl kernel.kptr_restrict=0, or record as root" : "";
        return r->note[0] ? r->note : "no symbol of the kernel is there";
    }
    if (is_any(r->note, gone)) {
        *help = "put the same build at its path, or a debug file of its build id, then: stax "
                "symbolize";
        return r->note;
    }
    if (strstr(r->note, "another build") || strstr(r->note, "checksum")) {
        *help = "install the debug package of exactly this version, then: stax symbolize";
        return r->note;
    }
    if (!r->build_id[0]) {
        *help =
            "keep its symbols (no strip), or link it with -Wl,--build-id and keep its debug file";
        return r->is_unnamed ? "stripped, and without a build id to find a debug file by"
                             : "only public names, and no build id to find a debug file by";
    }
    *help = "its debug package (find-dbgsym-packages of debian-goodies names it), or a server for "
            "stax-server: DEBUGINFOD_URLS=https://debuginfod.debian.net; then: stax symbolize";
    if (strcmp(r->names_from, "gnu_debugdata") == 0) {
        return "mini debug info only: names, no lines";
    }
    return r->is_unnamed ? "stripped, and no debug file was found"
                         : "only public names: local functions count as none or as a neighbour";
}

static json_t *document_of(struct query *q, struct stmt *s)
{
    int64_t unnamed_ns = stmt_int(s, unnamed_binaries_c_unnamed_ns);
    const struct row r = {
        .binary = stmt_text(s, unnamed_binaries_c_binary),
        .kind = stmt_text(s, unnamed_binaries_c_kind),
        .build_id = stmt_text(s, unnamed_binaries_c_build_id),
        .names_from = stmt_text(s, unnamed_binaries_c_names_from),
        .note = stmt_text(s, unnamed_binaries_c_note),
        .is_unnamed = unnamed_ns > 0,
    };
    const char *help;
    json_t *o = json_object();
    json_object_set_new(o, "binary", json_clean_string(r.binary));
    json_object_set_new(o, "kind", json_clean_string(r.kind));
    json_object_set_new(o, "build_id", r.build_id[0] ? json_clean_string(r.build_id) : json_null());
    json_object_set_new(o, "names_from", json_clean_string(r.names_from));
    view_set_int(o, "on_cpu_ns", stmt_int(s, unnamed_binaries_c_on_cpu_ns));
    view_set_int(o, "unnamed_ns", unnamed_ns);
    json_object_set_new(o, "unnamed_pct", view_pct(unnamed_ns, q->run.on_cpu_ns));
    view_set_int(o, "poor_ns", stmt_int(s, unnamed_binaries_c_poor_ns));
    view_set_int(o, "n_unnamed", stmt_int(s, unnamed_binaries_c_n_unnamed));
    json_object_set_new(o, "why", json_clean_string(why(&r, &help)));
    json_object_set_new(o, "help", json_clean_string(help));
    return o;
}

int view_symbols(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    int64_t limit = params_int(p, "limit", 20), unnamed_ns = 0, poor_ns = 0, n = 0;
    json_t *binaries = json_array();
    struct stmt *s = db_stmt(q->db, &sql_unnamed_binaries);
    stmt_bind_int(s, unnamed_binaries_p_limit, -1);
    while (stmt_next(s)) {
        unnamed_ns += stmt_int(s, unnamed_binaries_c_unnamed_ns);
        poor_ns += stmt_int(s, unnamed_binaries_c_poor_ns);
        if (n++ < limit || limit <= 0) {
            json_array_append_new(binaries, document_of(q, s));
        }
    }
    view_set_int(data, "on_cpu_ns", q->run.on_cpu_ns);
    view_set_int(data, "unnamed_ns", unnamed_ns);
    view_set_int(data, "poor_ns", poor_ns);
    view_set_int(data, "n_binaries", n);
    json_object_set_new(data, "binaries", binaries);
    return db_status(q->db, e);
}
