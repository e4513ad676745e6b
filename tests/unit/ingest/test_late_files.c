/*
 * test_late_files.c - files and memory that do not answer: nobody waits for them, addresses are
 * offsets until they do, and the run is then what it would be if they had answered at once.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "ingest/binaries_internal.h"
#include "ingest/file_reader.h"

#include "world.h"

enum { PAGE = 4096, BASE = 0x500000 };
static const int64_t SECOND = 1000000000;

struct fixture {
    struct world w;
    char folder[32], lib[64];
    uint64_t inode, address, offset; /* of a function */
    int pipes[2];                    /* what a mount that hangs waits for */
};

struct hanging {
    struct aside_job job;
    int fd;
};

static void hang(struct aside_job *job)
{
    char byte;
    (void)!read(((struct hanging *)job)->fd, &byte, 1);
}

static void free_hanging(struct aside_job *job)
{
    close(((struct hanging *)job)->fd);
    free(job);
}

/* Everything of the mount waits behind this, as behind a file of it that does not answer. */
static void hang_key(struct fixture *f, uint64_t key)
{
    struct hanging *h = calloc(1, sizeof(*h));
    *h = (struct hanging){{.run = hang, .free = free_hanging, .key = key}, dup(f->pipes[0])};
    assert_int_equal(aside_do(f->w.in->binaries.aside, &h->job, 1, false), ASIDE_REFUSED);
}

static void hang_mount(struct fixture *f)
{
    hang_key(f, 0); /* the device of the mappings below */
}

static void find_function(struct fixture *f)
{
    struct names *names;
    struct names_symbol found;
    int fd = open(f->lib, O_RDONLY | O_CLOEXEC);
    assert_int_equal(names_open_elf(&names, fd, NULL), 0);
    close(fd);
    for (f->offset = 0x1000; f->offset < 0x2000; f->offset++) {
        if (names_address_of_offset(names, f->offset, &f->address) &&
            names_find(names, f->address, &found) && found.linkage_name &&
            strcmp(found.linkage_name, "late_one") == 0) {
            break;
        }
    }
    names_close(names);
    assert_true(f->offset < 0x2000);
    assert_true(f->address != f->offset);
}

static void open_real_run(struct fixture *f)
{
    struct world *w = &f->w;
    *w = (struct world){.ts = 1000 * SECOND};
    snprintf(w->path, sizeof(w->path), "%s/run.stax", f->folder);
    struct ingest_options options = {.path = w->path, .kallsyms = "", .with_debug_info = true};
    struct ingest_run run = {.id = 1,
                             .pid = getpid(),
                             .command = "test",
                             .start_ts = w->ts,
                             .start_wall_ns = 1,
                             .frequency_hz = 900,
                             .period_ns = 1000,
                             .stax_version = "test"};
    assert_int_equal(ingest_open(&w->in, &options, &run, NULL, 0, NULL), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char command[400];
    struct stat st;
    *state = f;
    snprintf(f->folder, sizeof(f->folder), "/tmp/stax-late-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->lib, sizeof(f->lib), "%s/liblate.so", f->folder);
    snprintf(
        command, sizeof(command),
        "cd %s && printf 'int late_one(int x) { return x * 3; }\\nint late_two(int x) { return "
        "x / (x | 5); }\\n' >l.c && gcc -O1 -g -shared -fPIC -Wl,-z,noseparate-code "
        "-Wl,-Ttext=0x107000 -o liblate.so l.c",
        f->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(stat(f->lib, &st), 0);
    f->inode = st.st_ino;
    find_function(f);
    open_real_run(f);
    return pipe(f->pipes);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[64];
    close(f->pipes[0]);
    close(f->pipes[1]);
    buf_free(&f->w.batch);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    free(f);
    return system(command);
}

static void map_lib(struct fixture *f, int32_t pid)
{
    struct event_mapping m = {
        .pid = pid, .start = BASE, .size = 4 * PAGE, .inode = f->inode, .head.ts = f->w.ts};
    event_add_mapping(&f->w.batch, &m, f->lib, strlen(f->lib));
    feed(&f->w);
}

static void sample(struct fixture *f, int32_t pid, uint64_t offset)
{
    struct event_sample s = {.pid = pid,
                             .tid = pid,
                             .n_addresses = 2,
                             .stack_end = EVENT_STACK_END_ROOT,
                             .on_cpu_ns = 1000,
                             .head.ts = f->w.ts += 1000};
    uint64_t *at = event_add_sample(&f->w.batch, &s);
    at[0] = BASE + offset;
    at[1] = BASE + f->offset + 1; /* called from its first byte */
    feed(&f->w);
}

static void wait_for_file(struct fixture *f)
{
    struct ingest *in = f->w.in;
    for (int i = 0; i < 1000 && aside_n_late(in->binaries.aside); i++) {
        late_names_step(&in->late_names);
        usleep(2000);
    }
    assert_int_equal(aside_n_late(in->binaries.aside), 0);
}

static void finish(struct fixture *f)
{
    assert_int_equal(ingest_finish(f->w.in, "stopped", f->w.ts, NULL), 0);
    ingest_close(f->w.in);
}

#define NAMES_OF_SAMPLES                                                                           \
    "SELECT s.name, s.kind, f.rel_address FROM sample AS x JOIN frame AS f ON f.id = x.frame "     \
    "JOIN symbol AS s ON s.id = f.symbol ORDER BY x.ts"

static void a_file_that_answers_late_names_what_was(void **state)
{
    struct fixture *f = *state;
    char expected[300];
    hang_mount(f);
    int64_t began = clock_monotonic_ns();
    map_lib(f, getpid());
    sample(f, getpid(), f->offset);
    sample(f, getpid(), f->offset + 1);
    map_lib(f, getpid() + 1); /* another process has it too */
    assert_int_equal(ingest_commit(f->w.in, NULL), 0);
    assert_true(clock_monotonic_ns() - began < SECOND);
    sqlite3 *db = open_file(&f->w);
    snprintf(
        expected, sizeof(expected),
        "VALUES ('liblate.so+0x%llx', 'unnamed', %llu), ('liblate.so+0x%llx', 'unnamed', %llu)",
        (unsigned long long)f->offset, (unsigned long long)f->offset,
        (unsigned long long)f->offset + 1, (unsigned long long)f->offset + 1);
    assert_same_query(db, NAMES_OF_SAMPLES, expected);
    assert_same_query(db, "SELECT note FROM binary WHERE path LIKE '%liblate.so'",
                      "SELECT 'file could not be read: the mount does not answer'");
    sqlite3_close(db);
    assert_int_equal(write(f->pipes[1], "x", 1), 1);
    wait_for_file(f);
    sample(f, getpid(), f->offset);
    sample(f, getpid() + 1, f->offset);
    finish(f);
    db = open_file(&f->w);
    snprintf(expected, sizeof(expected),
             "VALUES ('late_one', 'function', %llu), ('late_one', 'function', %llu), ('late_one', "
             "'function', %llu), ('late_one', 'function', %llu)",
             (unsigned long long)f->address, (unsigned long long)f->address + 1,
             (unsigned long long)f->address, (unsigned long long)f->address);
    assert_same_query(db, NAMES_OF_SAMPLES, expected);
    assert_same_query(db, "SELECT count(*), max(note) FROM binary WHERE path LIKE '%liblate.so'",
                      "SELECT 1, NULL");
    assert_same_query(db, "SELECT count(*) > 0 FROM frame_line WHERE file LIKE '%/l.c'",
                      "SELECT 1");
    assert_same_query(db, "SELECT n_unnamed FROM run", "SELECT 0");
    sqlite3_close(db);
    check_against_rebuild(&f->w);
}

/* The end waits no longer than it does for names, and says what is missing. */
static void a_file_that_never_answers_is_said(void **state)
{
    struct fixture *f = *state;
    hang_mount(f);
    map_lib(f, getpid());
    sample(f, getpid(), f->offset);
    int64_t began = clock_monotonic_ns();
    finish(f);
    assert_true(clock_monotonic_ns() - began < SECOND);
    sqlite3 *db = open_file(&f->w);
    assert_same_query(db, "SELECT note FROM binary WHERE path LIKE '%liblate.so'",
                      "SELECT 'file could not be read: the mount does not answer'");
    assert_same_query(db, "SELECT is_available, unlock FROM ability WHERE name = 'late_names'",
                      "SELECT 0, 'stax symbolize'");
    sqlite3_close(db);
    check_against_rebuild(&f->w);
    assert_int_equal(write(f->pipes[1], "x", 1), 1); /* what was left behind ends */
    usleep(20000);
}

/* Asked at once, the file's second mapping is the same binary; so is one after a late answer. */
static void the_file_is_one_binary(void **state)
{
    struct fixture *f = *state;
    struct binaries *b = &f->w.in->binaries;
    hang_mount(f);
    map_lib(f, getpid());
    assert_int_equal(b->n_items, 1);
    assert_true(b->items[0].is_late);
    assert_int_equal(write(f->pipes[1], "x", 1), 1);
    wait_for_file(f);
    assert_false(b->items[0].is_late);
    map_lib(f, getpid());
    assert_int_equal(b->n_items, 1);
    finish(f);
}

/* Of a file that is gone, with its process's memory not answering (as pages of a dead mount). */
static void memory_that_answers_late_tells_addresses(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->lib, O_RDONLY | O_CLOEXEC);
    uint8_t *at = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    unlink(f->lib);
    hang_key(f, (uint64_t)1 << 63 | (uint32_t)getpid());
    struct event_mapping m = {.pid = getpid(),
                              .start = (uintptr_t)at,
                              .size = 3 * PAGE, /* as nothing in map_files is called */
                              .inode = f->inode,
                              .head.ts = f->w.ts};
    event_add_mapping(&f->w.batch, &m, f->lib, strlen(f->lib));
    int64_t began = clock_monotonic_ns();
    feed(&f->w);
    assert_true(clock_monotonic_ns() - began < SECOND);
    const struct binary *bin = &f->w.in->binaries.items[0];
    assert_true(bin->is_late);
    assert_string_equal(bin->note, file_reader_memory_hangs);
    uint32_t frame = binaries_frame(&f->w.in->binaries, 1, f->offset);
    assert_int_equal(f->w.in->intern.frames[frame - 1].rel_address, f->offset);
    assert_int_equal(write(f->pipes[1], "x", 1), 1);
    wait_for_file(f);
    assert_string_equal(bin->note, "deleted");
    assert_true(bin->has_addresses);
    assert_int_equal(f->w.in->intern.frames[frame - 1].rel_address, f->address);
    assert_int_equal(binaries_frame(&f->w.in->binaries, 1, f->offset), frame);
    finish(f);
    munmap(at, 2 * PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_answers_late_names_what_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_never_answers_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_is_one_binary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_that_answers_late_tells_addresses, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
