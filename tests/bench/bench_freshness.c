/*
 * bench_freshness.c - how old the newest sample is that plain SQL sees, on a run that records.
 *
 *   bench_freshness RUN.stax [--seconds 10]
 *
 * Asks every 3 ms or so for MAX(ts) and compares it with the clock. While a program is busy on a
 * CPU its samples are a period apart, so the age is the time from event to visible, plus that
 * period at most. Prints {"n":...,"median_ms":...,"p99_ms":...,"max_ms":...}.
 */
#include <sqlite3.h>

#include "tests/bench/bench.h"

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_freshness RUN.stax [--seconds S]\n");
        return 2;
    }
    sqlite3 *db = NULL;
    sqlite3_stmt *newest = NULL;
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT MAX(ts) FROM sample", -1, &newest, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], sqlite3_errmsg(db));
        return 1;
    }
    sqlite3_busy_timeout(db, 1000);
    enum { MAX_AGES = 100000 };
    int64_t *ages = calloc(MAX_AGES, sizeof(*ages));
    size_t n = 0;
    int64_t end = clock_ns(CLOCK_MONOTONIC) + option_int(argc, argv, "--seconds", 10) * 1000000000;
    while (clock_ns(CLOCK_MONOTONIC) < end && n < MAX_AGES) {
        if (sqlite3_step(newest) == SQLITE_ROW && sqlite3_column_int64(newest, 0) > 0) {
            ages[n++] = clock_ns(CLOCK_MONOTONIC) - sqlite3_column_int64(newest, 0);
        }
        sqlite3_reset(newest);
        sleep_until_ns(clock_ns(CLOCK_MONOTONIC) + 3000000);
    }
    printf("{\"n\":%zu,\"median_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f}\n", n,
           (double)percentile(ages, n, 50) / 1e6, (double)percentile(ages, n, 99) / 1e6,
           (double)percentile(ages, n, 100) / 1e6);
    free(ages);
    sqlite3_finalize(newest);
    sqlite3_close(db);
    return 0;
}
