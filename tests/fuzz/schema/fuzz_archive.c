/*
 * fuzz_archive.c - opens hostile archives and queries what opens. Run it in the root of the tree.
 *
 * Input: byte 0 even: the rest is the file itself. Odd: changes to a good archive, four bytes each:
 * three of offset (past the end: cut the file there, within its size), one to XOR.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/fd.h"
#include "schema/archive.h"
#include "schema/sandbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_good, const char *what)
{
    if (!is_good) {
        perror(what);
        abort();
    }
}

/* The archive that changes start from. */
static void make_good(struct buf *good, const char *path)
{
    struct buf sql = {0};
    struct db *db = NULL;
    sqlite3 *handle = NULL;
    unlink(path);
    must(db_open(&db, path, DB_CREATE, NULL) == 0, path);
    db_close(db);
    must(fd_read_file("tests/unit/schema/run.sql", 1 << 20, &sql) == 0,
         "tests/unit/schema/run.sql");
    must(sqlite3_open(path, &handle) == SQLITE_OK, path);
    must(sqlite3_exec(handle, buf_str(&sql), NULL, NULL, NULL) == SQLITE_OK, "run.sql");
    must(sqlite3_exec(handle, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK, path);
    sqlite3_close(handle);
    must(fd_read_file(path, 1 << 24, good) == 0, path);
    buf_free(&sql);
}

static void change(struct buf *file, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        size_t at = (size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2];
        if (at < file->len) {
            file->data[at] = (char)(file->data[at] ^ data[i + 3]);
        } else if (at % 16 == 0) {
            file->len = at % (file->len + 1);
        }
    }
}

static void ask(struct sandbox *s, const char *sql)
{
    const struct sandbox_limits limits = {1000, 1 << 20, 200};
    json_t *result = NULL;
    struct err e = {0};
    if (sandbox_query(s, sql, &limits, &result, &e) == 0) {
        must(json_is_array(json_object_get(result, "rows")), "rows");
    } else {
        must(e.code < 0 && e.msg[0], "an error without a message");
    }
    json_decref(result);
}

/* What opens has sums that agree: no function has more time of its own than in all. */
static void must_agree(struct sandbox *s)
{
    const struct sandbox_limits limits = {1000, 1 << 20, 200};
    json_t *result = NULL;
    if (sandbox_query(
            s,
            "SELECT 1 FROM symbol_sum JOIN run WHERE self_on_cpu_ns < 0 OR self_on_cpu_ns > "
            "total_on_cpu_ns OR total_on_cpu_ns > run.on_cpu_ns",
            &limits, &result, NULL) == 0) {
        must(json_array_size(json_object_get(result, "rows")) == 0, "sums that do not agree");
    }
    json_decref(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf good;
    char path[64];
    struct sandbox *s = NULL;
    struct buf file = {0};
    snprintf(path, sizeof(path), "/tmp/stax-fuzz-%d.stax", (int)getpid());
    if (!good.len) {
        make_good(&good, path);
    }
    if (size < 1) {
        return 0;
    }
    if (data[0] & 1) {
        buf_add(&file, good.data, good.len);
        change(&file, data + 1, size - 1);
    } else {
        buf_add(&file, data + 1, size - 1);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && fd_write_all(fd, buf_str(&file), file.len) == 0, path);
    close(fd);
    if (sandbox_open(&s, path, true, NULL) == 0) {
        ask(s, "SELECT * FROM v_samples");
        ask(s, "SELECT * FROM v_flame");
        ask(s, "SELECT * FROM v_top");
        ask(s, "SELECT * FROM v_threads");
        must_agree(s);
        sandbox_close(s);
    }
    unlink(path);
    buf_free(&file);
    return 0;
}
