/* code.c - see code.h. */
#include "ingest/code.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/mem.h"
#include "ingest/code.sql.h"
#include "schema/code.h"

enum { MAX_TARGETS = 100000 };

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
    }
    if (db_status(s->db, NULL) < 0) { /* the run itself is complete without */
        db_clear_error(s->db);
        db_rollback(s->db);
    }
}
