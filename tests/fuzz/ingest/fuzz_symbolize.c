/*
 * fuzz_symbolize.c - stax symbolize of hostile archives. Run it in the root of the tree.
 *
 * Input: changes to a good archive, four bytes each: three of offset, one to XOR. It is named
 * again, with code and source; the server would refuse many of them before (archive_open()).
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "ingest/symbolize.h"
#include "schema/db.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void must(bool is_good, const char *what)
{
    if (!is_good) {
        perror(what);
        abort();
    }
}

static void make_good(struct buf *good, const char *path)
{
    struct buf sql = {0};
    struct db *db = NULL;
    sqlite3 *handle = NULL;
    unlink(path);
    must(db_open(&db, path, DB_CREATE, NULL) == 0, path);
    db_close(db);
    must(fd_read_file("tests/unit/schema/run.sql", 1 << 20, &sql) == 0, "run.sql");
    buf_addstr(&sql, "UPDATE run SET state = 'stopped', stop_reason = 'stopped', end_ts = data_ts;"
                     "UPDATE binary SET path = '/usr/bin/true', build_id = NULL WHERE id = 1;"
                     "PRAGMA journal_mode = DELETE");
    must(sqlite3_open(path, &handle) == SQLITE_OK, path);
    must(sqlite3_exec(handle, buf_str(&sql), NULL, NULL, NULL) == SQLITE_OK, "run.sql");
    sqlite3_close(handle);
    must(fd_read_file(path, 1 << 24, good) == 0, path);
    buf_free(&sql);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static struct buf good;
    char path[64], other[80];
    struct buf file = {0};
    snprintf(path, sizeof(path), "/dev/shm/stax-fuzz-symbolize-%d", (int)getpid());
    if (!good.len) {
        make_good(&good, path);
    }
    buf_add(&file, good.data, good.len);
    for (size_t i = 0; i + 4 <= n_bytes; i += 4) {
        size_t at = ((size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2]) % file.len;
        file.data[at] = (char)(file.data[at] ^ data[i + 3]);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && fd_write_all(fd, file.data, file.len) == 0, path);
    close(fd);
    const struct symbolize_options options = {.timeout_ms = 100, .with_code = true};
    struct symbolize_stats stats;
    ingest_symbolize(path, &options, &stats, NULL);
    static const char *const rest[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(other, sizeof(other), "%s%s", path, rest[i]);
        unlink(other);
    }
    buf_free(&file);
    return 0;
}
