/* code.c - see code.h. */
#include "ingest/code.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/map.h"
#include "base/mem.h"
#include "ingest/code.sql.h"
#include "schema/code.h"

enum { MAX_TARGETS = 100000 };
/* Mappings that are looked at for what generated code calls: any byte of it may look like a call.
 */
static const uint64_t MAX_STEPS = 20000000;

struct target {
    uint64_t address;
    uint32_t binary;
};

struct targets {
    struct target *items;
    size_t n, cap;
    uint32_t binary;
};

static int32_t read_i32(const uint8_t *p)
{
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24);
}

void code_targets(const char *arch, const uint8_t *bytes, size_t n, uint64_t address,
                  void (*take)(void *ctx, uint64_t target), void *ctx)
{
    if (strcmp(arch, "x86_64") == 0) {
        for (size_t i = 0; i + 5 <= n; i++) {
            if (bytes[i] == 0xe8 || bytes[i] == 0xe9) { /* CALL rel32, JMP rel32 */
                take(ctx, address + i + 5 + (uint64_t)(int64_t)read_i32(bytes + i + 1));
            }
        }
    } else if (strcmp(arch, "aarch64") == 0) {
        for (size_t i = 0; i + 4 <= n; i += 4) {
            uint32_t word = (uint32_t)read_i32(bytes + i);
            if ((word & 0x7c000000) == 0x14000000) { /* B, BL: 26 bits of words */
                int64_t offset = ((int64_t)(word & 0x3ffffff) ^ 0x2000000) - 0x2000000;
                take(ctx, address + i + (uint64_t)(offset * 4));
            }
        }
    }
}

static void add_target(void *ctx, uint64_t address)
{
    struct targets *t = ctx;

    if (t->n < MAX_TARGETS) {
        mem_reserve(&t->items, &t->cap, t->n + 1, sizeof(*t->items));
        t->items[t->n++] = (struct target){address, t->binary};
    }
}

/* What looks like a call into the middle of a function is none: only starts get names. */
static void name_targets(struct store *s, struct intern *in, struct binaries *b)
{
    struct stmt *st = db_stmt(s->db, &sql_code_of_files);
    struct targets t = {0};
    struct utsname host;
    size_t n;

    uname(&host);
    while (stmt_next(st)) {
        const uint8_t *bytes = stmt_blob(st, code_of_files_c_bytes, &n);
        t.binary = (uint32_t)stmt_int(st, code_of_files_c_binary);
        code_targets(host.machine, bytes, n, (uint64_t)stmt_int(st, code_of_files_c_rel_address),
                     add_target, &t);
        for (size_t i = 0; i < t.n && t.binary && t.binary <= b->n_items; i++) {
            binaries_name_start(b, t.items[i].binary, t.items[i].address);
        }
        t.n = 0;
    }
    free(t.items);
    db_begin(s->db);
    store_identities(s, in);
    db_commit(s->db);
}

/* ---- what code made at run time calls in files ---- */

struct mapped {
    uint32_t binary;
    uint64_t start, size, file_offset;
};

struct callee {
    uint32_t binary;
    uint64_t rel_address, address;
};

struct callees {
    struct binaries *binaries;
    int64_t upid; /* whose files */
    struct mapped *files;
    size_t n_files, cap_files;
    struct map seen; /* addresses in that process */
    struct callee *items;
    size_t n, cap;
    struct map by_place; /* place() -> index + 1 */
    uint64_t n_steps;
};

static uint64_t place(uint32_t binary, uint64_t rel_address)
{
    return rel_address ^ (uint64_t)binary << 44;
}

static void read_files(struct callees *c, struct store *s, int64_t upid)
{
    struct stmt *st = db_stmt(s->db, &sql_files_of_process);

    c->upid = upid;
    c->n_files = 0;
    map_clear(&c->seen);
    stmt_bind_int(st, files_of_process_p_upid, upid);
    while (stmt_next(st)) {
        mem_reserve(&c->files, &c->cap_files, c->n_files + 1, sizeof(*c->files));
        c->files[c->n_files++] =
            (struct mapped){.binary = (uint32_t)stmt_int(st, files_of_process_c_binary),
                            .start = (uint64_t)stmt_int(st, files_of_process_c_start),
                            .size = (uint64_t)stmt_int(st, files_of_process_c_size),
                            .file_offset = (uint64_t)stmt_int(st, files_of_process_c_file_offset)};
    }
}

static void add_callee(void *ctx, uint64_t address)
{
    struct callees *c = ctx;
    const struct mapped *m = NULL;
    uint64_t rel_address;

    if (c->n >= MAX_TARGETS || c->n_steps >= MAX_STEPS || map_get(&c->seen, address)) {
        return;
    }
    *map_put(&c->seen, address) = 1;
    for (size_t i = 0; i < c->n_files && !m; i++) {
        const struct mapped *at = &c->files[i];
        m = address - at->start < at->size ? at : NULL;
        c->n_steps++;
    }
    if (m && m->binary && m->binary <= c->binaries->n_items &&
        binaries_name_offset(c->binaries, m->binary, m->file_offset + (address - m->start),
                             &rel_address)) {
        mem_reserve(&c->items, &c->cap, c->n + 1, sizeof(*c->items));
        c->items[c->n++] = (struct callee){m->binary, rel_address, address};
        *map_put(&c->by_place, place(m->binary, rel_address)) = (uint32_t)c->n;
    }
}

/* In one pass over the symbols: they have no index by place. */
static void set_addresses(struct store *s, const struct callees *c)
{
    struct stmt *st = db_stmt(s->db, &sql_functions_without_address);
    struct stmt *set = db_stmt(s->db, &sql_set_symbol_address);

    while (c->n && stmt_next(st)) {
        uint32_t binary = (uint32_t)stmt_int(st, functions_without_address_c_binary);
        uint64_t at = (uint64_t)stmt_int(st, functions_without_address_c_rel_address);
        uint32_t index = map_get(&c->by_place, place(binary, at));
        const struct callee *found = index ? &c->items[index - 1] : NULL;
        if (found && found->binary == binary && found->rel_address == at) {
            stmt_bind_int(set, set_symbol_address_p_id,
                          stmt_int(st, functions_without_address_c_id));
            stmt_bind_int(set, set_symbol_address_p_address, (int64_t)found->address);
            stmt_run(set);
        }
    }
    stmt_reset(st);
}

/* Gives them symbols that know their place: an archive has no file that tells it. */
static void place_callees(struct store *s, struct intern *in, struct binaries *b)
{
    struct stmt *st = db_stmt(s->db, &sql_code_of_generated);
    struct callees c = {.binaries = b, .upid = -1};
    struct utsname host;

    uname(&host);
    while (stmt_next(st)) {
        size_t n;
        const uint8_t *bytes = stmt_blob(st, code_of_generated_c_bytes, &n);
        int64_t upid = stmt_int(st, code_of_generated_c_upid);
        if (upid != c.upid) {
            read_files(&c, s, upid);
        }
        code_targets(host.machine, bytes, n, (uint64_t)stmt_int(st, code_of_generated_c_address),
                     add_callee, &c);
    }
    db_begin(s->db);
    store_identities(s, in);
    set_addresses(s, &c);
    db_commit(s->db);
    map_free(&c.by_place);
    map_free(&c.seen);
    free(c.files);
    free(c.items);
}

static int open_code(void *ctx, int64_t binary)
{
    return binaries_open_code(ctx, (uint32_t)binary);
}

void code_store(struct store *s, struct intern *in, struct binaries *b, int64_t max_bytes)
{
    struct code_fill fill = {0};

    if (b->without_files || max_bytes <= 0) {
        return;
    }
    if (code_fill(s->db, open_code, b, max_bytes, &fill, NULL) == 0) {
        name_targets(s, in, b);
        place_callees(s, in, b);
    }
    if (db_status(s->db, NULL) < 0) { /* the run itself is complete without */
        db_clear_error(s->db);
        db_rollback(s->db);
    }
}
