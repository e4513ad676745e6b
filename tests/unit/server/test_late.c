/*
 * test_late.c - names and line tables of a stopped run are completed in the background: what its
 * end left out comes, and nothing is begun or goes on while somebody else needs the run.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "ingest/store.h"
#include "ingest/symbolize.h"
#include "server/late.h"

#include "ingest/world.h"

enum { PAGE = 4096, BASE = 0x500000, N_FUNCTIONS = 40, RUN = 1, PATIENCE_MS = 30000 };

struct fixture {
    struct world w;
    char folder[32], lib[64];
    int dir_fd;
    pthread_mutex_t lock;
    struct runs runs;
    struct late late;
    int n_changes; /* with the lock */
};

static void build(struct fixture *f)
{
    char command[500];
    snprintf(command, sizeof(command),
             "cd %s && for i in $(seq %d); do printf 'int late_%%d(int x)\\n{\\n    x += 3;\\n    "
             "return x * %%d;\\n}\\n' $i $i; done >l.c && gcc -O1 -g -shared -fPIC "
             "-falign-functions=16 -Wl,--build-id -Wl,-z,noseparate-code -o liblate.so l.c",
             f->folder, N_FUNCTIONS);
    assert_int_equal(system(command), 0);
}

static void play_samples(struct fixture *f)
{
    struct stat st;
    assert_int_equal(stat(f->lib, &st), 0);
    struct event_mapping m = {
        .pid = getpid(), .start = BASE, .size = 4 * PAGE, .inode = st.st_ino, .head.ts = f->w.ts};
    event_add_mapping(&f->w.batch, &m, f->lib, strlen(f->lib));
    for (unsigned offset = 0; offset < 4 * PAGE; offset += 8) {
        struct event_sample s = {.pid = getpid(),
                                 .tid = getpid(),
                                 .n_addresses = 1,
                                 .stack_end = EVENT_STACK_END_ROOT,
                                 .on_cpu_ns = 1000,
                                 .head.ts = f->w.ts += 1000};
        *event_add_sample(&f->w.batch, &s) = BASE + offset;
    }
    feed(&f->w);
}

/* A run whose end had no time for anything. */
static void record(struct fixture *f)
{
    struct world *w = &f->w;
    *w = (struct world){.ts = 1000000000000};
    snprintf(w->path, sizeof(w->path), "%s/run-1.stax", f->folder);
    struct ingest_options options = {.path = w->path, .kallsyms = ""};
    struct ingest_run run = {.id = RUN,
                             .pid = getpid(),
                             .command = "test",
                             .start_ts = w->ts,
                             .start_wall_ns = 1,
                             .frequency_hz = 900,
                             .period_ns = 1000,
                             .stax_version = "test"};
    assert_int_equal(ingest_open(&w->in, &options, &run, NULL, 0, NULL), 0);
    play_samples(f);
    assert_int_equal(ingest_finish(w->in, "stopped", w->ts, NULL), 0);
    ingest_close(w->in);
}

static void changed(void *ctx)
{
    struct fixture *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->n_changes++;
    pthread_mutex_unlock(&f->lock);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    snprintf(f->folder, sizeof(f->folder), "/tmp/stax-late-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->lib, sizeof(f->lib), "%s/liblate.so", f->folder);
    build(f);
    record(f);
    f->dir_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pthread_mutex_init(&f->lock, NULL);
    runs_add(&f->runs, RUN, f->w.path, RUN_STOPPED);
    f->late = (struct late){.lock = &f->lock,
                            .runs = &f->runs,
                            .max_run_bytes = INT64_MAX,
                            .dir_fd = f->dir_fd,
                            .changed = changed,
                            .ctx = f};
    late_init(&f->late);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[64];
    late_fini(&f->late);
    runs_fini(&f->runs);
    close(f->dir_fd);
    pthread_mutex_destroy(&f->lock);
    buf_free(&f->w.batch);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    free(f);
    return system(command);
}

static void sql(struct fixture *f, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(f->w.path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_rows(struct fixture *f, const char *a, const char *b)
{
    sqlite3 *db = open_file(&f->w);
    assert_same_query(db, a, b);
    sqlite3_close(db);
}

static enum run_names names_now(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    enum run_names names = runs_find(&f->runs, RUN)->names;
    pthread_mutex_unlock(&f->lock);
    return names;
}

static enum run_names wait_for_names(struct fixture *f)
{
    for (int ms = 0; ms < PATIENCE_MS && names_now(f) == RUN_NAMES_PENDING; ms += 5) {
        usleep(5000);
    }
    return names_now(f);
}

static void hold(struct fixture *f, bool is_held)
{
    pthread_mutex_lock(&f->lock);
    if (is_held) {
        late_hold_locked(&f->late);
        assert_true(late_wait_locked(&f->late));
    } else {
        late_release_locked(&f->late);
    }
    pthread_mutex_unlock(&f->lock);
}

#define N_WITH_LINES                                                                               \
    "SELECT count(DISTINCT s.id) FROM symbol AS s JOIN code_line AS l ON l.symbol = s.id "         \
    "WHERE s.name LIKE 'late\\_%' ESCAPE '\\' AND l.line > 0"
#define IS_WHOLE "SELECT integrity_check FROM pragma_integrity_check"

static void line_tables_come(void **state)
{
    struct fixture *f = *state;
    assert_rows(f, "SELECT count(*) FROM code_line", "SELECT 0");
    late_begin(&f->late);
    assert_int_equal(wait_for_names(f), RUN_NAMES_COMPLETE);
    assert_rows(f, N_WITH_LINES, "SELECT 40");
    assert_rows(f, "SELECT n_renames FROM run", "SELECT 0"); /* nothing was named again */
    assert_rows(f, IS_WHOLE, "SELECT 'ok'");
}

static void names_that_were_cut_off_come(void **state)
{
    struct fixture *f = *state;
    char text[300];
    snprintf(text, sizeof(text),
             "INSERT INTO ability (name, is_available, reason, unlock) "
             "VALUES ('late_names', 0, '%s', '')",
             store_names_cut_off);
    sql(f, text);
    late_begin(&f->late);
    assert_int_equal(wait_for_names(f), RUN_NAMES_COMPLETE);
    assert_rows(f, N_WITH_LINES, "SELECT 40");
    assert_rows(f, "SELECT count(*) > 39 FROM frame_line WHERE line > 0", "SELECT 1");
    assert_rows(f, "SELECT n_renames > 0 FROM run", "SELECT 1");
    assert_rows(f, "SELECT count(*) FROM ability WHERE name = 'late_names'", "SELECT 0");
}

static void nothing_is_begun_while_it_is_held(void **state)
{
    struct fixture *f = *state;
    hold(f, true);
    late_begin(&f->late);
    usleep(300000);
    assert_int_equal(names_now(f), RUN_NAMES_PENDING);
    assert_rows(f, "SELECT count(*) FROM code_line", "SELECT 0");
    pthread_mutex_lock(&f->lock);
    assert_int_equal(f->n_changes, 0);
    runs_find(&f->runs, RUN)->n_holds = 1; /* it is being copied */
    pthread_mutex_unlock(&f->lock);
    hold(f, false);
    usleep(300000);
    assert_int_equal(names_now(f), RUN_NAMES_PENDING);
    pthread_mutex_lock(&f->lock);
    runs_find(&f->runs, RUN)->n_holds = 0;
    late_look(&f->late);
    pthread_mutex_unlock(&f->lock);
    assert_int_equal(wait_for_names(f), RUN_NAMES_COMPLETE);
}

static void holds_interrupt(void **state)
{
    struct fixture *f = *state;
    late_begin(&f->late);
    for (unsigned i = 0; i < 20; i++) {
        hold(f, true);
        pthread_mutex_lock(&f->lock);
        runs_find(&f->runs, RUN)->names = RUN_NAMES_PENDING;
        pthread_mutex_unlock(&f->lock);
        sql(f, "DELETE FROM code_line"); /* the file is ours now */
        hold(f, false);
        usleep(i * 1000);
    }
    assert_int_equal(wait_for_names(f), RUN_NAMES_COMPLETE);
    assert_rows(f, N_WITH_LINES, "SELECT 40");
    assert_rows(f, IS_WHOLE, "SELECT 'ok'");
}

static void no_room(void **state)
{
    struct fixture *f = *state;
    f->late.max_run_bytes = 1 << 20;
    late_begin(&f->late);
    assert_int_equal(wait_for_names(f), RUN_NAMES_INCOMPLETE);
    assert_rows(f, "SELECT count(*) FROM code_line", "SELECT 0");
}

static void a_removed_run_is_forgotten(void **state)
{
    struct fixture *f = *state;
    hold(f, true);
    late_begin(&f->late);
    pthread_mutex_lock(&f->lock);
    runs_remove(&f->runs, RUN);
    pthread_mutex_unlock(&f->lock);
    hold(f, false);
    usleep(100000);
    pthread_mutex_lock(&f->lock);
    assert_int_equal(f->n_changes, 0);
    pthread_mutex_unlock(&f->lock);
}

struct budget {
    int n_left;
    bool is_over;
};

static bool goes_on(void *ctx)
{
    struct budget *b = ctx;
    b->is_over |= b->n_left-- <= 0;
    return !b->is_over;
}

/* Whenever it is interrupted the run stays whole and can be completed. */
static void interrupted_at_any_point(void **state)
{
    struct fixture *f = *state;
    bool is_complete = false;
    late_begin(&f->late);
    assert_int_equal(wait_for_names(f), RUN_NAMES_COMPLETE);
    for (int n = 0; n < 12; n++) {
        struct budget budget = {.n_left = n};
        const struct symbolize_options options = {
            .timeout_ms = PATIENCE_MS, .goes_on = goes_on, .ctx = &budget};
        sql(f, "DELETE FROM code_line");
        assert_int_equal(ingest_complete(f->w.path, &options, &is_complete, NULL), 0);
        assert_int_equal(is_complete, !budget.is_over);
        assert_rows(f, IS_WHOLE, "SELECT 'ok'");
    }
    assert_true(is_complete);
    assert_rows(f, N_WITH_LINES, "SELECT 40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_tables_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_were_cut_off_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_begun_while_it_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holds_interrupt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_run_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(interrupted_at_any_point, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
