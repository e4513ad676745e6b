/*
 * bench_archive.c - saving a run, and opening the archive to its first flame graph.
 *
 *   bench_archive RUN.stax ARCHIVE.stax
 *
 * Prints {"save_ms":...,"n_bytes":...,"open_ms":...,"first_flame_ms":...,"open_to_flame_ms":...}.
 */
#include "query/query.h"
#include "schema/archive.h"
#include "tests/bench/bench.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_archive RUN.stax ARCHIVE.stax\n");
        return 2;
    }
    struct err e = {0};
    int64_t n_bytes = 0, start = clock_ns(CLOCK_MONOTONIC);
    if (archive_save(argv[1], argv[2], NULL, NULL, &n_bytes, &e) != 0) {
        die("save", &e);
    }
    int64_t saved = clock_ns(CLOCK_MONOTONIC);
    struct query *query = NULL;
    if (query_open(&query, argv[2], true, &e) != 0) {
        die("open", &e);
    }
    int64_t opened = clock_ns(CLOCK_MONOTONIC);
    json_t *document = NULL;
    if (query_view(query, "flamegraph", NULL, &document, &e) != 0) {
        die("flamegraph", &e);
    }
    char *text = json_dumps(document, JSON_COMPACT);
    int64_t done = clock_ns(CLOCK_MONOTONIC);
    printf("{\"save_ms\":%.1f,\"n_bytes\":%lld,\"open_ms\":%.1f,\"first_flame_ms\":%.1f,"
           "\"open_to_flame_ms\":%.1f}\n",
           (double)(saved - start) / 1e6, (long long)n_bytes, (double)(opened - saved) / 1e6,
           (double)(done - opened) / 1e6, (double)(done - saved) / 1e6);
    free(text);
    json_decref(document);
    query_close(query);
    return 0;
}
