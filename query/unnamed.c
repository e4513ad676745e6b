/* unnamed.c - the view symbols: code without names, why, and what would name it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "query/unnamed.sql.h"
#include "query/view.h"

/* A binary; texts are owned. */
struct row {
    int64_t id;
    char *binary, *kind, *build_id, *names_from, *note, *package;
    char *server; /* what became of asking debuginfod for its debug files; "": not asked */
    uint64_t on_cpu_ns, unnamed_ns, poor_ns; /* unsigned: a foreign file may hold any numbers */
    int64_t n_unnamed;
    bool has_map; /* some runtime told of code, maybe not this one's */
};

struct rows {
    struct row *items;
    size_t n, cap;
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

/* All of its code may have names: but not what is inlined there. What its debug information lacks,
 * as binary.note says it, and what would help. */
struct lack {
    const char *note;
    const char *help; /* before: then: stax symbolize */
};
static const struct lack lacks[] = {
    {"split debug information",
     "put its .dwo files where the compiler wrote them (readelf --debug-dump=info names them: "
     "dwo_name), or compile without -gsplit-dwarf"},
    {"its dwz alternate ", NULL}, /* add_alternate() */
    {"compressed by zstd",
     "objcopy --decompress-debug-sections, or compile with -gz=zlib; or elfutils 0.189 or newer"},
    {"debug information of more than ", "compile with less debug information (-g1)"},
    {"damaged debug information", "an undamaged copy of the file that has it: build it again, or "
                                  "install its package again"},
};

static const struct lack *lack_of(const struct row *r)
{
    for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
        if (strstr(r->note, lacks[i].note)) {
            return &lacks[i];
        }
    }
    return NULL;
}

/* A debug file is where it is looked for, and is of no use. */
static bool has_damaged_file(const struct row *r)
{
    return strncmp(r->note, "separate debug file is there but damaged",
                   strlen("separate debug file is there but damaged")) == 0;
}

static bool is_worth_a_row(const struct row *r)
{
    return r->unnamed_ns || r->poor_ns || lack_of(r) || has_damaged_file(r);
}

/* The debug package: Debian's are called after what they are for, with a few exceptions. */
static void add_package(struct buf *help, const struct row *r)
{
    static const char *const old_style[] = {"libc6", "libc6-i386", NULL};
    bool is_old = is_any(r->package, old_style) || strncmp(r->package, "linux-image-", 12) == 0;
    if (r->package[0]) {
        buf_addf(help, "the package %s-%s of the distribution%s", r->package,
                 is_old ? "dbg" : "dbgsym", is_old ? "" : "'s debug archive");
    }
}

/* That a server is to be asked; of one that was, what would change its answer. */
static void add_server(struct buf *help, const struct row *r)
{
    static const char elfutils[] = "DEBUGINFOD_URLS=https://debuginfod.elfutils.org";
    if (!r->server[0]) {
        buf_addf(help, "a server for stax-server (%s)", elfutils);
    } else if (strstr(r->server, "no answer yet")) {
        buf_addstr(help, "the server's answer (stax diagnose shows what it is asked for)");
    } else if (strstr(r->server, "does not have it")) {
        buf_addf(help, "another server for stax-server (%s)", elfutils);
    } else {
        buf_addf(help,
                 "the server when it answers (it is asked again after some minutes), or another "
                 "one for stax-server (%s)",
                 elfutils);
    }
}

/* Of a build id, where its debug file is looked for. */
static void add_debug_path(struct buf *help, const char *build_id)
{
    buf_addf(help, "/usr/lib/debug/.build-id/%.2s/%s.debug", build_id, build_id + 2);
}

/* "its dwz alternate FILE (build id ID) is missing: ..." */
static void add_alternate(struct buf *help, const struct row *r)
{
    static const char mark[] = " (build id ";
    const char *id = strstr(r->note, mark);
    size_t len = id ? strspn(id + strlen(mark), "0123456789abcdef") : 0;
    add_package(help, r);
    buf_addstr(help, help->len ? ", which brings it, or " : "the file where it is looked for: ");
    if (len > 2 && len < 256) {
        char *build_id = mem_strndup(id + strlen(mark), len);
        buf_addstr(help, "beside the debug file, ");
        add_debug_path(help, build_id);
        buf_addstr(help, ", or ");
        free(build_id);
    }
    add_server(help, r);
}

/* What names a build: its debug package, a debug file, or a server. */
static void add_sources(struct buf *help, const struct row *r)
{
    struct buf sources = {0};
    add_package(&sources, r);
    if (strlen(r->build_id) > 2) {
        buf_addstr(&sources, sources.len ? ", or " : "");
        add_debug_path(&sources, r->build_id);
        buf_addstr(&sources, ", or ");
        add_server(&sources, r);
    }
    buf_addf(help, "%s; then: stax symbolize",
             sources.len ? buf_str(&sources) : "its debug file beside it");
    buf_free(&sources);
}

/* What helps against a file of a runtime that is wrong, by what is said of it. */
static void add_dump_help(struct buf *help, const char *note)
{
    if (strstr(note, "CLOCK_MONOTONIC") || strstr(note, "times of the CPU")) {
        buf_addstr(help, "let the runtime write times of CLOCK_MONOTONIC, as node --perf-prof does "
                         "(perf's agent for Java: without JITDUMP_USE_ARCH_TIMESTAMP), or a perf "
                         "map");
    } else if (strstr(note, "it ends within")) {
        buf_addstr(help, "let the program end by itself: one that is killed loses what it had not "
                         "written yet; a perf map may be written sooner (node --perf-basic-prof)");
    } else if (strstr(note, "its jitdump")) {
        buf_addstr(help,
                   "its writer does not keep to the format (perf's jitdump-specification.txt, "
                   "version 1): another version of the runtime may, or let it write a perf "
                   "map");
    }
}

/* Why, and in help what would help (empty: nothing is known). */
static const char *why(const struct row *r, struct buf *help)
{
    static const char *const gone[] = {"deleted", "replaced", "unreadable", NULL};
    static const char *const kernel[] = {"kernel", "module", NULL};
    static const char *const complete[] = {"debug_file", "debuginfod", NULL};
    if (strcmp(r->kind, "jit") == 0 && strcmp(r->binary, "[anon]") == 0 && r->note[0]) {
        if (!strstr(r->note, "too large")) {
            add_dump_help(help, r->note);
        }
        return r->note;
    }
    if (strcmp(r->kind, "jit") == 0 && strcmp(r->binary, "[anon]") == 0 && r->has_map) {
        return "code made at run time that no jitdump or perf map has told of, or not yet";
    }
    if (strcmp(r->kind, "jit") == 0 && strcmp(r->binary, "[anon]") == 0) {
        buf_addstr(help, "let the runtime tell: node --perf-prof (lines and code, too) or "
                         "--perf-basic-prof, java -XX:+DumpPerfMapAtExit or perf-map-agent, "
                         "DOTNET_PerfMapEnabled=1, python3 -X perf");
        return "JIT without a map: code made at run time that no jitdump or perf map names";
    }
    if (strcmp(r->kind, "jit") == 0) {
        return r->note[0] ? r->note : "code made at run time: no file has its names";
    }
    if (strcmp(r->kind, "unknown") == 0) {
        return "addresses that no mapping holds";
    }
    if (is_any(r->kind, kernel)) {
        buf_addstr(help, r->note[0] ? "sudo sysctl kernel.kptr_restrict=0, or record as root" : "");
        return r->note[0] ? r->note : "no symbol of the kernel is there";
    }
    if (strstr(r->note, "does not answer")) {
        buf_addstr(help, "record again, or stax symbolize, when it answers");
        return r->note;
    }
    if (is_any(r->note, gone)) {
        if (strlen(r->build_id) > 2) {
            add_sources(help, r);
        } else { /* nobody could tell later whether a file is the one that was mapped */
            buf_addstr(help, "record again while the file is at its path and can be read");
        }
        return r->note;
    }
    if (has_damaged_file(r)) {
        buf_addstr(help, "the whole file: ");
        add_sources(help, r);
        return r->note;
    }
    if (strstr(r->note, "another build") || strstr(r->note, "checksum") ||
        strstr(r->note, "debuginfod answered")) {
        buf_addstr(help, "the debug file of exactly this version: ");
        add_sources(help, r);
        return r->note;
    }
    if (lack_of(r)) {
        const char *known = lack_of(r)->help;
        if (known) {
            buf_addstr(help, known);
        } else {
            add_alternate(help, r);
        }
        buf_addstr(help, "; then: stax symbolize");
        return r->note;
    }
    if (is_any(r->names_from, complete)) {
        return "code that no symbol of its debug file covers";
    }
    bool is_mini = strcmp(r->names_from, "gnu_debugdata") == 0;
    if (strlen(r->build_id) <= 2) {
        buf_addstr(help, "keep its symbols (no strip), or link it with -Wl,--build-id and keep its "
                         "debug file");
        if (is_mini) {
            return "mini debug info only: names, no lines; and no build id to find a debug file by";
        }
        return r->unnamed_ns ? "stripped, and without a build id to find a debug file by"
                             : "only public names, and no build id to find a debug file by";
    }
    add_sources(help, r);
    if (is_mini) {
        return "mini debug info only: names, no lines";
    }
    return r->unnamed_ns ? "stripped, and no debug file was found"
                         : "only public names: local functions count as none or as a neighbour";
}

static json_t *document_of(const struct row *r, int64_t all_ns)
{
    struct buf help = {0}, reason = {0};
    json_t *o = json_object();
    json_object_set_new(o, "binary", json_clean_string(r->binary));
    json_object_set_new(o, "kind", json_clean_string(r->kind));
    json_object_set_new(o, "build_id",
                        r->build_id[0] ? json_clean_string(r->build_id) : json_null());
    json_object_set_new(o, "names_from", json_clean_string(r->names_from));
    view_set_int(o, "on_cpu_ns", (int64_t)r->on_cpu_ns);
    view_set_int(o, "unnamed_ns", (int64_t)r->unnamed_ns);
    json_object_set_new(o, "unnamed_pct", view_pct((int64_t)r->unnamed_ns, all_ns));
    view_set_int(o, "poor_ns", (int64_t)r->poor_ns);
    view_set_int(o, "n_unnamed", r->n_unnamed);
    const char *because = why(r, &help);
    bool is_said = strstr(because, "debuginfod answered") != NULL; /* what was refused */
    buf_addf(&reason, "%s%s%s", because, r->server[0] && !is_said ? "; " : "",
             is_said ? "" : r->server);
    json_object_set_new(o, "why", json_clean_string(buf_str(&reason)));
    json_object_set_new(o, "help", json_clean_string(buf_str(&help)));
    json_object_set_new(o, "package", r->package[0] ? json_clean_string(r->package) : json_null());
    buf_free(&help);
    buf_free(&reason);
    return o;
}

/* The last part of binary.note, which servers are told of in; taken away from it. */
static char *split_server(char *note)
{
    char *server = strstr(note, "debuginfod at ");
    if (!server || (server != note && (server - note < 2 || strncmp(server - 2, "; ", 2) != 0))) {
        return mem_strdup("");
    }
    char *copy = mem_strdup(server);
    *(server == note ? note : server - 2) = '\0';
    return copy;
}

static struct row *row_of(struct rows *rows, struct stmt *s)
{
    int64_t id = stmt_int(s, unnamed_symbols_c_id);
    if (rows->n && rows->items[rows->n - 1].id == id) {
        return &rows->items[rows->n - 1];
    }
    mem_reserve(&rows->items, &rows->cap, rows->n + 1, sizeof(*rows->items));
    rows->items[rows->n] = (struct row){
        .id = id,
        .binary = mem_strdup(stmt_text(s, unnamed_symbols_c_binary)),
        .kind = mem_strdup(stmt_text(s, unnamed_symbols_c_kind)),
        .build_id = mem_strdup(stmt_text(s, unnamed_symbols_c_build_id)),
        .names_from = mem_strdup(stmt_text(s, unnamed_symbols_c_names_from)),
        .note = mem_strdup(stmt_text(s, unnamed_symbols_c_note)),
        .has_map = stmt_int(s, unnamed_symbols_c_has_map) != 0,
        .package = mem_strdup(stmt_text(s, unnamed_symbols_c_package)),
    };
    rows->items[rows->n].server = split_server(rows->items[rows->n].note);
    return &rows->items[rows->n++];
}

/* Self time by symbol of what a filter lets through (free()); NULL: everything counts. */
static int filtered_sums(struct query *q, const struct params *p, uint64_t **sums, struct err *e)
{
    const struct fold *f = &q->fold;
    *sums = NULL;
    if (!filter_is_any(&p->filter)) {
        return 0;
    }
    int rc = view_fold(q, p, true, e);
    if (rc < 0) {
        return rc;
    }
    *sums = mem_new(f->symbols.n + 1, sizeof(**sums));
    for (size_t id = 1; id < f->tree.n_nodes; id++) {
        uint32_t symbol = f->tree.nodes[id].symbol;
        if (symbol < f->symbols.n) {
            (*sums)[symbol] += f->nodes[id].self_ns;
        }
    }
    return 0;
}

static void read_rows(struct query *q, const uint64_t *sums, struct rows *rows)
{
    struct stmt *s = db_stmt(q->db, &sql_unnamed_symbols);
    while (stmt_next(s)) {
        int64_t symbol = stmt_int(s, unnamed_symbols_c_symbol);
        uint64_t ns = (uint64_t)stmt_int(s, unnamed_symbols_c_self_on_cpu_ns);
        if (sums) {
            ns = symbol > 0 && (uint64_t)symbol < q->fold.symbols.n ? sums[symbol] : 0;
        }
        if (ns) {
            struct row *r = row_of(rows, s);
            bool is_unnamed = stmt_int(s, unnamed_symbols_c_is_unnamed) != 0;
            r->on_cpu_ns += ns;
            r->unnamed_ns += is_unnamed ? ns : 0;
            r->poor_ns += !is_unnamed && stmt_int(s, unnamed_symbols_c_is_poor) ? ns : 0;
            r->n_unnamed += is_unnamed;
        }
    }
}

static int by_need(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->unnamed_ns != y->unnamed_ns) {
        return x->unnamed_ns < y->unnamed_ns ? 1 : -1;
    }
    if (x->poor_ns != y->poor_ns) {
        return x->poor_ns < y->poor_ns ? 1 : -1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

static void show(struct rows *rows, int64_t limit, int64_t all_ns, json_t *data)
{
    uint64_t unnamed_ns = 0, poor_ns = 0;
    int64_t n = 0;
    json_t *binaries = json_array();
    if (rows->n) {
        qsort(rows->items, rows->n, sizeof(*rows->items), by_need);
    }
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *r = &rows->items[i];
        unnamed_ns += r->unnamed_ns;
        poor_ns += r->poor_ns;
        if (is_worth_a_row(r) && (n++ < limit || limit <= 0)) {
            json_array_append_new(binaries, document_of(r, all_ns));
        }
    }
    view_set_int(data, "on_cpu_ns", all_ns);
    view_set_int(data, "unnamed_ns", (int64_t)unnamed_ns);
    view_set_int(data, "poor_ns", (int64_t)poor_ns);
    view_set_int(data, "n_binaries", n);
    json_object_set_new(data, "binaries", binaries);
}

int view_symbols(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct rows rows = {0};
    uint64_t *sums;
    int rc = filtered_sums(q, p, &sums, e);
    if (rc < 0) {
        return rc;
    }
    read_rows(q, sums, &rows);
    show(&rows, params_int(p, "limit", 20), sums ? (int64_t)q->fold.ns : q->run.on_cpu_ns, data);
    for (size_t i = 0; i < rows.n; i++) {
        free(rows.items[i].binary);
        free(rows.items[i].kind);
        free(rows.items[i].build_id);
        free(rows.items[i].names_from);
        free(rows.items[i].note);
        free(rows.items[i].package);
        free(rows.items[i].server);
    }
    free(rows.items);
    free(sums);
    return db_status(q->db, e);
}
