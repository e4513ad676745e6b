/* Line tables of code made at run time: what a jitdump says of a function, as the run has it. */
#include "world.h"

#include "base/fd.h"
#include "base/jit_batch.h"
#include "ingest/jit.h"

struct told {
    uint64_t delta;
    const char *file;
    uint32_t line;
};

/* One function of one process, sampled in the middle of it. */
struct lines_run {
    struct world w;
    struct process *process;
    uint32_t source;
    struct jit_batch batch;
};

static void open_lines(struct lines_run *r, unsigned seed)
{
    *r = (struct lines_run){0};
    open_run(&r->w, seed, 0);
    struct ingest *in = r->w.in;
    uint32_t upid = tasks_start_process(&in->tasks, 0, 4711, 0, "p", 1, NULL, 0);
    r->process = tasks_process(&in->tasks, upid);
    r->source = jit_add_source(&in->jit, r->process,
                               binaries_of_process(&in->binaries, upid, "/d.dump"), false);
    r->batch.source = r->source;
}

static void add_load(struct lines_run *r, uint64_t address, uint64_t offset, const char *name,
                     const struct told *told, size_t n)
{
    struct jit_batch *b = &r->batch;
    struct jit_item item = {.what = JIT_LOAD,
                            .ts = 10,
                            .address = address,
                            .size = 0x100,
                            .offset = offset,
                            .name = jit_batch_text(b, name, strlen(name)),
                            .first_line = b->n_lines,
                            .n_lines = n};
    for (size_t i = 0; i < n; i++) {
        size_t file = jit_batch_text(b, told[i].file, strlen(told[i].file));
        jit_batch_add_line(b, &(struct jit_line){told[i].delta, file, told[i].line});
    }
    jit_batch_add(b, &item);
}

static void take(struct lines_run *r)
{
    jit_take_batch(&r->w.in->jit, &r->batch);
    jit_batch_fini(&r->batch);
    r->batch = (struct jit_batch){.source = r->source};
}

static void sample(struct lines_run *r, uint64_t address, int64_t ts)
{
    struct jit *j = &r->w.in->jit;
    jit_enter(j, r->process, ts);
    assert_int_not_equal(jit_frame(j, r->process, address, false, true), 0);
}

static void expect_rows(const struct lines_run *r, const char *want)
{
    static const char rows[] =
        "SELECT s.name, l.rel_address, f.path, l.line FROM code_line l JOIN symbol s ON s.id = "
        "l.symbol LEFT JOIN source_file f ON f.id = l.file ORDER BY l.rel_address";
    sqlite3 *db = open_file(&r->w);
    char *got = dump(db, rows);
    assert_string_equal(got, want);
    free(got);
    sqlite3_close(db);
}

static void commit(struct lines_run *r)
{
    assert_int_equal(ingest_commit(r->w.in, NULL), 0);
}

static void close_lines(struct lines_run *r)
{
    assert_int_equal(ingest_finish(r->w.in, "stopped", r->w.ts, NULL), 0);
    ingest_close(r->w.in);
    remove_run(&r->w);
}

/* In no order, twice of one place, outside of the function, of a file without a name; the range
 * before the first line is where the function's name says. While the run goes on. */
static void the_whole_function(void **state)
{
    static const struct told told[] = {
        {0x40, "/src/b.js", 7}, {0x10, "/src/a.js", 3}, {0x20, "\x01\x02", 4},  {0x100, "/no", 9},
        {0x40, "/src/b.js", 8}, {0x48, "/src/b.js", 8}, {1ull << 40, "/no", 9},
    };
    struct lines_run r;
    (void)state;
    open_lines(&r, 1);
    add_load(&r, 0x1000, 1000, "JS:*hot /src/a.js:2:5", told, sizeof(told) / sizeof(told[0]));
    add_load(&r, 0x5000, 5000, "without samples", told, 1);
    add_load(&r, 0x6000, 6000, "without lines", NULL, 0);
    take(&r);
    sample(&r, 0x1030, 20);
    sample(&r, 0x6000, 20);
    commit(&r);
    expect_rows(&r, "hot a.js:2|1000|/src/a.js|2|\n"
                    "hot a.js:2|1016|/src/a.js|3|\n"
                    "hot a.js:2|1032|/src/a.js|4|\n"
                    "hot a.js:2|1064|/src/b.js|8|\n"
                    "without lines|6000|NULL|NULL|\n");
    close_lines(&r);
}

/* Code that moved has one table, code that replaced it another. */
static void moved_and_replaced(void **state)
{
    static const struct told one[] = {{0, "/a", 1}, {8, "/a", 2}}, two[] = {{0, "/a", 5}};
    struct lines_run r;
    (void)state;
    open_lines(&r, 2);
    add_load(&r, 0x1000, 1000, "one", one, 2);
    jit_batch_add(
        &r.batch,
        &(struct jit_item){
            .what = JIT_MOVE, .ts = 20, .from = 0x1000, .address = 0x3000, .size = 0x100});
    take(&r);
    add_load(&r, 0x1000, 2000, "two", two, 1);
    r.batch.items[0].ts = 30;
    take(&r);
    sample(&r, 0x3010, 25);
    sample(&r, 0x1010, 12);
    sample(&r, 0x1010, 40);
    commit(&r);
    expect_rows(&r, "one|1000|/a|1|\none|1008|/a|2|\ntwo|2000|/a|5|\n");
    close_lines(&r);
}

/* As much as a dump may say of one function, each entry another line: bounded, and quick. */
static void very_many_lines(void **state)
{
    enum { N = 200000, ROOM_MS = 3000 };
    struct told *told = mem_new(N, sizeof(*told));
    struct lines_run r;
    (void)state;
    open_lines(&r, 4);
    for (uint32_t i = 0; i < N; i++) {
        told[i] = (struct told){N - i, "/a", i + 1};
    }
    add_load(&r, 0x100000, 1000, "large", told, N);
    r.batch.items[0].size = N + 1;
    take(&r);
    int64_t began = clock_monotonic_ns();
    for (uint64_t i = 0; i < 5000; i++) {
        sample(&r, 0x100000 + i * 30, 20);
    }
    commit(&r);
    assert_true(clock_monotonic_ns() - began < ROOM_MS * INT64_C(1000000));
    sqlite3 *db = open_file(&r.w);
    assert_same_query(db, "SELECT count(*) FROM code_line", "SELECT 16384");
    assert_same_query(db, "SELECT line FROM code_line ORDER BY rel_address DESC LIMIT 1",
                      "SELECT NULL");
    sqlite3_close(db);
    close_lines(&r);
    free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_function),
        cmocka_unit_test(moved_and_replaced),
        cmocka_unit_test(very_many_lines),
    };
    return cmocka_run_group_tests_name("jit_lines", tests, NULL, NULL);
}
