/*
 * bench_views.c - how long each view takes, where the server answers it: query_view() and the text.
 *
 *   bench_views RUN.stax [--rounds 100]
 *
 * Unfiltered (three times the rounds), by time range (random, the same in every run of this
 * program), by thread, and with the function excluded that has the tenth largest self time. Prints
 * one JSON document a line:
 * {"view","filter","n","first_ms","median_ms","p99_ms","max_ms"}.
 */
#include "query/query.h"
#include "tests/bench/bench.h"

enum filter { NONE, RANGE, THREAD, EXCLUDE, N_FILTERS };
static const char *const filter_names[N_FILTERS] = {"none", "time", "tid", "exclude"};
static const char *const views[] = {"top", "flamegraph", "threads", "intervals"};

struct run {
    struct query *query;
    int64_t elapsed_ns;
    int64_t tid;
    char symbol[4096];
};

static json_t *ask(struct run *run, const char *view, json_t *parameters)
{
    json_t *document = NULL;
    struct err e = {0};
    if (query_view(run->query, view, parameters, &document, &e) != 0) {
        die(view, &e);
    }
    json_decref(parameters);
    return document;
}

/* Length of the run, its busiest thread, and a function to exclude. */
static void look_around(struct run *run)
{
    json_t *top = ask(run, "top", json_pack("{s:i}", "limit", 10));
    run->elapsed_ns = json_int_at(json_object_get(top, "run"), "elapsed_ns", 0);
    json_t *functions = json_object_get(json_object_get(top, "data"), "functions");
    json_t *last = json_array_get(functions, json_array_size(functions) - 1);
    snprintf(run->symbol, sizeof(run->symbol), "%s", json_text_at(last, "name", ""));
    json_decref(top);
    json_t *threads = ask(run, "threads", json_pack("{s:i}", "limit", 1));
    json_t *first = json_array_get(json_object_get(json_object_get(threads, "data"), "threads"), 0);
    run->tid = json_int_at(first, "tid", 0);
    json_decref(threads);
}

static json_t *parameters_of(const struct run *run, enum filter filter, uint64_t *random)
{
    json_t *parameters = json_object();
    if (filter == RANGE) {
        uint64_t length = (uint64_t)run->elapsed_ns;
        int64_t a = (int64_t)(next_random(random) % length);
        int64_t b = (int64_t)(next_random(random) % length);
        json_object_set_new(parameters, "from_ns", json_integer(a < b ? a : b));
        json_object_set_new(parameters, "to_ns", json_integer((a < b ? b : a) + 1));
    } else if (filter == THREAD) {
        json_object_set_new(parameters, "tid", json_integer(run->tid));
    } else if (filter == EXCLUDE) {
        json_object_set_new(parameters, "exclude", json_pack("[s]", run->symbol));
    }
    return parameters;
}

static void time_view(struct run *run, const char *view, enum filter filter, size_t rounds)
{
    int64_t *times = calloc(rounds, sizeof(*times)), first = 0;
    uint64_t random = 7;
    for (size_t i = 0; i < rounds; i++) {
        json_t *parameters = parameters_of(run, filter, &random);
        int64_t start = clock_ns(CLOCK_MONOTONIC);
        json_t *document = ask(run, view, parameters);
        char *text = json_dumps(document, JSON_COMPACT);
        json_decref(document);
        times[i] = clock_ns(CLOCK_MONOTONIC) - start;
        first = i == 0 ? times[0] : first;
        free(text);
        /* Apart from each other, as requests come: commits of the writer fall in between. */
        sleep_until_ns(clock_ns(CLOCK_MONOTONIC) + 3000000);
    }
    printf("{\"view\":\"%s\",\"filter\":\"%s\",\"n\":%zu,\"first_ms\":%.2f,\"median_ms\":%.2f,"
           "\"p99_ms\":%.2f,\"max_ms\":%.2f}\n",
           view, filter_names[filter], rounds, (double)first / 1e6,
           (double)percentile(times, rounds, 50) / 1e6, (double)percentile(times, rounds, 99) / 1e6,
           (double)percentile(times, rounds, 100) / 1e6);
    fflush(stdout);
    free(times);
}

int main(int argc, char **argv)
{
    int64_t rounds = option_int(argc, argv, "--rounds", 100);
    if (argc < 2 || rounds < 1) {
        fprintf(stderr, "usage: bench_views RUN.stax [--rounds N]\n");
        return 2;
    }
    static struct run run; /* large */
    struct err e = {0};
    if (query_open(&run.query, argv[1], false, &e) != 0) {
        die(argv[1], &e);
    }
    look_around(&run);
    for (enum filter filter = NONE; filter < N_FILTERS; filter++) {
        for (size_t v = 0; v < sizeof(views) / sizeof(views[0]); v++) {
            if (filter != THREAD || strcmp(views[v], "threads") != 0) {
                time_view(&run, views[v], filter, (size_t)(filter == NONE ? rounds * 3 : rounds));
            }
        }
    }
    query_close(run.query);
    return 0;
}
