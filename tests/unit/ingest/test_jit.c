/* Code made at run time: what lay at an address at a time, and frames that learn it later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ingest/jit.h"
#include "base/jit_table.h"
#include "ingest/perf_map.h"

/* ---- the table, against a model that remembers every byte of memory at every time ---- */

enum { N_BYTES = 300, N_TIMES = 200 };

static void equals_a_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        static uint32_t model[N_TIMES][N_BYTES];
        struct jit_table t = {0};
        unsigned random = seed;
        memset(model, 0, sizeof(model));
        uint32_t at_address[N_BYTES] = {0}; /* the load that holds a byte now */
        uint32_t n = 0;
        for (int ts = 1; ts < N_TIMES; ts++) {
            uint64_t start = (unsigned)rand_r(&random) % 250,
                     size = 1 + (unsigned)rand_r(&random) % 40;
            struct jit_load l = {.start = 0xff80 + start, .size = size, .from_ts = ts, .name = ++n};
            assert_int_equal(jit_table_load(&t, &l), n);
            for (uint64_t b = start; b < start + size; b++) {
                uint32_t old = at_address[b];
                for (int i = 0; old && i < N_BYTES; i++) { /* what is overlapped ends */
                    at_address[i] = at_address[i] == old ? 0 : at_address[i];
                }
                at_address[b] = n;
            }
            memcpy(model[ts], at_address, sizeof(at_address));
        }
        for (int ts = 0; ts < N_TIMES; ts++) {
            for (unsigned b = 0; b < N_BYTES; b++) {
                const struct jit_load *l = jit_table_find(&t, 0xff80 + b, ts);
                assert_int_equal(l ? l->name : 0, model[ts][b]);
            }
        }
        jit_table_fini(&t);
    }
}

static size_t name_at(const struct jit_table *t, uint64_t address, int64_t ts)
{
    const struct jit_load *l = jit_table_find(t, address, ts);
    return l ? l->name : 0;
}

static void moves_end_where_they_were(void **state)
{
    (void)state;
    struct jit_table t = {0};
    struct jit_load l = {
        .start = 0x1000, .size = 0x100, .from_ts = 10, .rel_address = 77, .name = 1};
    jit_table_load(&t, &l);
    uint32_t id = jit_table_move(&t, 0x1000, 0x9000, 0x100, 20);
    assert_int_equal(id, 2);
    assert_int_equal(t.loads[1].origin, 1);
    assert_int_equal(t.loads[1].rel_address, 77);
    assert_int_equal(name_at(&t, 0x1050, 19), 1);
    assert_int_equal(name_at(&t, 0x1050, 20), 0);
    assert_int_equal(name_at(&t, 0x9050, 19), 0);
    assert_int_equal(name_at(&t, 0x9050, 20), 1);
    /* onto itself, and from nowhere */
    assert_int_equal(jit_table_move(&t, 0x9000, 0x9080, 0x100, 30), 3);
    assert_int_equal(name_at(&t, 0x9050, 31), 0);
    assert_int_equal(name_at(&t, 0x9150, 31), 1);
    assert_int_equal(jit_table_move(&t, 0x5000, 0x6000, 0x10, 40), 0);
    jit_table_fini(&t);
}

static void late_loads_do_not_hide_newer_ones(void **state)
{
    (void)state;
    struct jit_table t = {0};
    jit_table_load(&t, &(struct jit_load){.start = 0x1000, .size = 16, .from_ts = 50, .name = 2});
    jit_table_load(&t, &(struct jit_load){.start = 0x1008, .size = 16, .from_ts = 20, .name = 1});
    assert_int_equal(name_at(&t, 0x1010, 30), 1);
    assert_int_equal(name_at(&t, 0x1010, 50), 0);
    assert_int_equal(name_at(&t, 0x1008, 50), 2);
    int64_t from = 0, to = 1000;
    jit_table_segment(&t, 30, &from, &to);
    assert_int_equal(from, 20);
    assert_int_equal(to, 50);
    jit_table_fini(&t);
}

/* What lies under code that is not kept is not there any more either. */
static void a_full_table_names_nothing_wrong(void **state)
{
    (void)state;
    struct jit_table t = {0};
    for (int i = 0; i < JIT_TABLE_LOADS_MAX; i++) {
        struct jit_load l = {
            .start = 0x100000 + 16 * (uint64_t)i, .size = 16, .from_ts = i, .name = 1};
        assert_int_not_equal(jit_table_load(&t, &l), 0);
    }
    struct jit_load more = {.start = 0x100000, .size = 16, .from_ts = 1 << 21, .name = 2};
    uint32_t version = t.version;
    assert_int_equal(jit_table_load(&t, &more), 0);
    assert_int_equal(name_at(&t, 0x100004, (1 << 21) - 1), 1);
    assert_int_equal(name_at(&t, 0x100004, 1 << 21), 0);
    assert_int_not_equal(t.version, version);
    jit_table_fini(&t);
}

/* Times that fall: bounded work, and nothing is said to hold longer than it does. */
static void falling_times(void **state)
{
    (void)state;
    struct jit_table t = {0};
    for (int i = 200000; i > 0; i--) {
        struct jit_load l = {.start = 16 * (uint64_t)i, .size = 16, .from_ts = i, .name = 1};
        jit_table_load(&t, &l);
    }
    int64_t from = 0, to = INT64_MAX;
    jit_table_segment(&t, 77, &from, &to);
    assert_int_equal(from, 77);
    assert_int_equal(to, 78);
    assert_int_equal(name_at(&t, 16 * 77, 77), 1);
    assert_int_equal(name_at(&t, 16 * 77, 76), 0);
    jit_table_fini(&t);
}

/* ---- frames ---- */

struct fixture {
    struct intern intern;
    struct binaries binaries;
    struct store store;
    struct tasks tasks;
    struct jit jit;
    uint32_t upid;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    binaries_init(&f->binaries, &f->intern, "", true);
    jit_init(&f->jit, &f->binaries, &f->store, 0, false);
    f->upid = tasks_start_process(&f->tasks, 0, 100, 0, "p", 1, NULL, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    jit_fini(&f->jit);
    for (size_t i = 0; i < f->store.n_lines; i++) {
        free(f->store.lines[i].file);
    }
    free(f->store.lines);
    free(f->store.moved_frames);
    tasks_free(&f->tasks);
    binaries_fini(&f->binaries);
    intern_free(&f->intern);
    free(f);
    return 0;
}

static struct process *process(struct fixture *f)
{
    return tasks_process(&f->tasks, f->upid);
}

static uint32_t frame_at(struct fixture *f, uint64_t address, int64_t ts)
{
    jit_enter(&f->jit, process(f), ts);
    return jit_frame(&f->jit, process(f), address, false, true);
}

static const char *name_of(struct fixture *f, uint32_t frame)
{
    return f->intern.new_symbols[f->intern.frames[frame - 1].symbol - 1].name;
}

static uint64_t address_of(struct fixture *f, uint32_t frame)
{
    return f->intern.new_symbols[f->intern.frames[frame - 1].symbol - 1].address;
}

static void relayout(struct fixture *f)
{
    intern_relayout(&f->intern);
    jit_settle(&f->jit);
}

static void tell(struct fixture *f, uint32_t source, const struct jit_item *items, size_t n,
                 const char *const *names)
{
    struct jit_batch b = {.source = source};
    for (size_t i = 0; i < n; i++) {
        struct jit_item item = items[i];
        item.name = names[i] ? jit_batch_text(&b, names[i], strlen(names[i])) : 0;
        jit_batch_add(&b, &item);
    }
    jit_take_batch(&f->jit, &b);
    jit_batch_fini(&b);
    relayout(f);
}

static uint32_t add_dump(struct fixture *f)
{
    return jit_add_source(&f->jit, process(f),
                          binaries_of_process(&f->binaries, f->upid, "/d.dump"), false);
}

static uint32_t add_map(struct fixture *f)
{
    uint32_t source = jit_add_source(&f->jit, process(f), 0, true);
    struct jit_batch b = {.source = source, .path = strdup("/tmp/perf-1.map")};
    jit_take_batch(&f->jit, &b);
    jit_batch_fini(&b);
    return source;
}

static void replaced_code_keeps_its_name(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f);
    tell(f, source,
         (struct jit_item[]){
             {.ts = 10, .address = 0x1000, .size = 16, .offset = 100},
             {.ts = 20, .address = 0x1000, .size = 16, .offset = 200},
             {.what = JIT_MOVE, .ts = 30, .from = 0x1000, .address = 0x2000, .size = 16}},
         3, (const char *[]){"one", "two", NULL});
    uint32_t one = frame_at(f, 0x1004, 12), two = frame_at(f, 0x1004, 25);
    assert_string_equal(name_of(f, one), "one");
    assert_string_equal(name_of(f, two), "two");
    assert_int_equal(f->intern.frames[one - 1].rel_address, 104);
    assert_int_equal(f->intern.frames[two - 1].rel_address, 204);
    assert_int_equal(frame_at(f, 0x2004, 35), two); /* the same code elsewhere */
    assert_int_equal(address_of(f, one), 0x1000);
    assert_int_equal(address_of(f, two), 0x1000);   /* where its bytes belong */
    assert_int_equal(frame_at(f, 0x1004, 11), one); /* a sample that comes late */
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 35)), "[anon]+0x1004");
}

/* Whatever was remembered of a stack is of no use once addresses mean something else. */
static void versions_rise_where_meaning_changes(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f);
    tell(f, source,
         (struct jit_item[]){{.ts = 10, .address = 0x1000, .size = 16, .offset = 100},
                             {.ts = 20, .address = 0x1000, .size = 16, .offset = 200}},
         2, (const char *[]){"one", "two"});
    frame_at(f, 0x1004, 12);
    uint32_t version = process(f)->version;
    frame_at(f, 0x1004, 13);
    assert_int_equal(process(f)->version, version);
    frame_at(f, 0x1004, 21);
    assert_int_not_equal(process(f)->version, version);
    version = process(f)->version;
    tell(f, source, (struct jit_item[]){{.ts = 22, .address = 0x5000, .size = 16, .offset = 300}},
         1, (const char *[]){"three"});
    frame_at(f, 0x1004, 21);
    assert_int_not_equal(process(f)->version, version);
}

static void late_news_move_frames(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f);
    uint32_t early = frame_at(f, 0x1004, 12), other = frame_at(f, 0x9000, 12);
    assert_string_equal(name_of(f, early), "[anon]+0x1004");
    tell(f, source, (struct jit_item[]){{.ts = 10, .address = 0x1000, .size = 16, .offset = 100}},
         1, (const char *[]){"one"});
    assert_string_equal(name_of(f, early), "one");
    assert_int_equal(f->intern.frames[early - 1].rel_address, 104);
    assert_string_equal(name_of(f, other), "[anon]+0x9000");
    assert_int_equal(f->store.n_moved_frames, 1);
    assert_int_equal(f->jit.n_moved, 1);
    assert_int_equal(f->jit.n_guessed, 0);
    assert_int_equal(frame_at(f, 0x1004, 13), early);
    /* before it was there, the address is not its own */
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 9)), "[anon]+0x1004");
}

/* Nothing is half moved, neither while a relayout is due nor when none can come any more. */
static void moves_wait_for_the_call_tree(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f), frame = frame_at(f, 0x1004, 12);
    struct jit_batch b = {.source = source};
    jit_batch_add(&b, &(struct jit_item){.ts = 10,
                                         .address = 0x1000,
                                         .size = 16,
                                         .offset = 100,
                                         .name = jit_batch_text(&b, "one", 3)});
    jit_take_batch(&f->jit, &b);
    jit_batch_fini(&b);
    assert_false(jit_settle(&f->jit));
    assert_string_equal(name_of(f, frame), "[anon]+0x1004");
    assert_int_equal(f->intern.frames[frame - 1].rel_address, 0x1004);
    uint32_t now = frame_at(f, 0x1004, 13);
    assert_int_not_equal(now, frame);
    assert_string_equal(name_of(f, now), "one");
    intern_freeze(&f->intern);
    jit_settle(&f->jit);
    assert_string_equal(name_of(f, frame), "[anon]+0x1004");
    assert_int_equal(f->intern.frames[frame - 1].rel_address, 0x1004);
    assert_true(f->jit.is_left_out);
}

/* Two loads in the time that one frame stands for: the first sample decides, and that is counted.
 */
static void ambiguous_news_are_guesses(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f);
    uint32_t frame = frame_at(f, 0x1004, 12);
    assert_int_equal(frame_at(f, 0x1004, 25), frame);
    tell(f, source,
         (struct jit_item[]){{.ts = 10, .address = 0x1000, .size = 16, .offset = 100},
                             {.ts = 20, .address = 0x1000, .size = 16, .offset = 200}},
         2, (const char *[]){"one", "two"});
    assert_string_equal(name_of(f, frame), "one");
    assert_int_equal(f->jit.n_guessed, 1);
    /* sampled before the only load there is: at the end, the best there is */
    frame = frame_at(f, 0x5000, 30);
    assert_int_equal(frame_at(f, 0x5000, 40), frame);
    tell(f, source, (struct jit_item[]){{.ts = 35, .address = 0x5000, .size = 16, .offset = 300}},
         1, (const char *[]){"three"});
    assert_string_equal(name_of(f, frame), "[anon]+0x5000");
    jit_finish(&f->jit, 0);
    relayout(f);
    assert_string_equal(name_of(f, frame), "three");
    assert_int_equal(f->jit.n_guessed, 2);
}

static const char *note_of(struct fixture *f, uint32_t upid, const char *path)
{
    uint32_t id = binaries_of_process(&f->binaries, upid, path);
    const char *note = f->binaries.items[id - 1].note;
    return note ? note : "";
}

static void say(struct fixture *f, uint32_t source, const char *note, int64_t at)
{
    struct jit_batch b = {.source = source, .note = note, .note_at = at};
    jit_take_batch(&f->jit, &b);
    jit_batch_fini(&b);
}

/* What is wrong with a file is said of it, and of the code without names of its process and forks.
 */
static void faults_are_said_where_names_are_missing(void **state)
{
    struct fixture *f = *state;
    frame_at(f, 0x1004, 5);
    uint32_t source = add_dump(f);
    uint32_t early = tasks_start_process(&f->tasks, 50, 101, 100, "c", 1, NULL, 0);
    uint32_t parent = f->upid, other = tasks_start_process(&f->tasks, 0, 7, 0, "o", 1, NULL, 0);
    f->upid = early;
    frame_at(f, 0x1004, 60);
    say(f, source, "first", 40);
    say(f, source, "second", -1);
    uint32_t late = tasks_start_process(&f->tasks, 70, 102, 100, "c", 1, NULL, 0);
    f->upid = late;
    frame_at(f, 0x1004, 80);
    f->upid = other;
    frame_at(f, 0x1004, 80);
    assert_string_equal(note_of(f, parent, "/d.dump"), "first (at byte 40); second");
    static const char all[] = "its jitdump d.dump: first (at byte 40); second";
    assert_string_equal(note_of(f, parent, "[anon]"), all);
    assert_string_equal(note_of(f, early, "[anon]"), all);
    assert_string_equal(note_of(f, late, "[anon]"), all);
    assert_string_equal(note_of(f, other, "[anon]"), "");
    f->upid = parent;
    uint32_t second = jit_add_source(&f->jit, process(f),
                                     binaries_of_process(&f->binaries, parent, "/e.dump"), false);
    say(f, second, "third", 1);
    assert_string_equal(note_of(f, parent, "/e.dump"), "third (at byte 1)");
    assert_string_equal(note_of(f, parent, "[anon]"), all);
}

/* Where files tell of code, frames of two periods are two, so that each may become another's. */
static void periods_tell_generations_apart(void **state)
{
    struct fixture *f = *state;
    const int64_t s = 1000000000;
    uint32_t before = frame_at(f, 0x1004, 1 * s);
    assert_int_equal(frame_at(f, 0x1004, 25 * s), before); /* nobody tells of code */
    uint32_t source = add_map(f);
    uint32_t first = frame_at(f, 0x1004, 26 * s), second = frame_at(f, 0x1004, 31 * s);
    assert_int_not_equal(first, second);
    tell(f, source, (struct jit_item[]){{.ts = 25 * s + 1, .address = 0x1000, .size = 16}}, 1,
         (const char *[]){"one"});
    tell(f, source, (struct jit_item[]){{.ts = 30 * s, .address = 0x1000, .size = 16}}, 1,
         (const char *[]){"two"});
    assert_string_equal(name_of(f, first), "one");
    assert_string_equal(name_of(f, before), "[anon]+0x1004");
    uint32_t now = frame_at(f, 0x1004, 32 * s);
    assert_string_equal(name_of(f, now), "two");
    assert_int_equal(f->intern.frames[now - 1].rel_address, 0x1004 | 1ull << 48);
}

/* Summaries have one row for all that V8 makes of a function, and only for that. */
static void versions_of_a_function_are_one(void **state)
{
    static const char *const names[] = {
        "JS:~fib /a/b.js:3:4", "JS:*fib /a/b.js:3:4", "JS:*fib /a/b.js:3:4",
        "JS:*fib /a/b.js:3:9", "Lfoo;::bar",          "Lfoo;::bar",
    };
    static const int same_as[] = {0, 0, 0, 3, 4, 5};
    struct fixture *f = *state;
    struct jit_item items[6] = {0};
    uint32_t source = add_map(f), symbols[6];
    for (int i = 0; i < 6; i++) {
        items[i] = (struct jit_item){.ts = i, .address = 0x1000 + 16 * (uint64_t)i, .size = 16};
    }
    tell(f, source, items, 6, names);
    for (int i = 0; i < 6; i++) {
        uint32_t frame = frame_at(f, 0x1004 + 16 * (uint64_t)i, 10);
        symbols[i] = f->intern.frames[frame - 1].symbol;
        assert_int_equal(intern_whole(&f->intern, symbols[i]), symbols[same_as[i]]);
        const char *language = f->intern.new_symbols[symbols[i] - 1].language;
        assert_string_equal(language ? language : "", i < 4 ? "javascript" : "");
        assert_true(i == 0 || symbols[i] != symbols[i - 1]);
    }
}

static void maps_written_anew_tell_nothing_new(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_map(f);
    for (int i = 0; i < 3; i++) {
        tell(f, source, (struct jit_item[]){{.ts = i * 10, .address = 0x1000, .size = 16}}, 1,
             (const char *[]){"JS:*fib /a/b.js:3:4"});
    }
    uint32_t frame = frame_at(f, 0x1004, 5);
    assert_int_equal(frame_at(f, 0x1004, 25), frame);
    assert_int_equal(f->intern.frames[frame - 1].rel_address, 0x1004);
    assert_string_equal(name_of(f, frame), "fib b.js:3");
    assert_int_equal(f->store.n_lines, 1);
    assert_string_equal(f->store.lines[0].file, "/a/b.js");
    assert_int_equal(f->store.lines[0].line, 3);
}

/* A fork has the code that was there then, and none that its parent makes later. */
static void forks_keep_what_was_there(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f);
    tell(f, source, (struct jit_item[]){{.ts = 10, .address = 0x1000, .size = 16, .offset = 100}},
         1, (const char *[]){"one"});
    uint32_t child = tasks_start_process(&f->tasks, 50, 101, 100, "c", 1, NULL, 0);
    tell(f, source, (struct jit_item[]){{.ts = 60, .address = 0x1000, .size = 16, .offset = 200}},
         1, (const char *[]){"two"});
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 70)), "two");
    f->upid = child;
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 70)), "one");
    tasks_exec(&f->tasks, 80, 101, "d", 1, NULL, 0);
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 90)), "[anon]+0x1004");
}

/* The space of a process is a binary of its own, and to make it may move those that are there. */
static void mappings_are_taken_while_binaries_move(void **state)
{
    struct fixture *f = *state;
    jit_fini(&f->jit);
    jit_init(&f->jit, &f->binaries, &f->store, 0, true);
    assert_non_null(f->jit.follow);
    binaries_unknown(&f->binaries); /* so that it is the space for which there is no room */
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t upid =
            tasks_start_process(&f->tasks, 0, 100000000 + (int32_t)i, 0, "p", 1, NULL, 0);
        uint32_t binary = binaries_of_process(&f->binaries, upid, "/memfd:code");
        struct event_mapping m = {.head = {.ts = 5}};
        jit_take_mapping(&f->jit, tasks_process(&f->tasks, upid), &m, binary);
        assert_int_equal(f->jit.n_sources, i + 1);
    }
}

/* The most work that a file can ask for: each line covers as much as it may, over the same code. */
static void hostile_maps_take_no_step_for_long(void **state)
{
    enum { N = 4000, STEP_MS = 10, ROOM_MS = 200 };
    struct fixture *f = *state;
    uint32_t source = add_map(f);
    struct jit_batch b = {.source = source};
    size_t name = jit_batch_text(&b, "f", 1);
    for (int i = 0; i < N; i++) {
        jit_batch_add(&b, &(struct jit_item){.ts = i,
                                             .address = 0x10000000 + (uint64_t)i % 7,
                                             .size = PERF_MAP_CODE_MAX,
                                             .name = name});
    }
    int64_t longest = 0, began;
    int n_steps = 0;
    for (bool is_done = false; !is_done && n_steps < 50; n_steps++) {
        began = clock_monotonic_ns();
        is_done = jit_take_some(&f->jit, &b, began + STEP_MS * INT64_C(1000000));
        int64_t took = clock_monotonic_ns() - began;
        longest = took > longest ? took : longest;
    }
    assert_true(n_steps > 1);
    assert_true(longest < ROOM_MS * INT64_C(1000000));
    jit_batch_fini(&b);
    /* one larger than any function is counted, not taken */
    struct perf_map m = {0};
    static const char line[] = "1000 10000000 large\n2000 10 small\n";
    assert_int_equal(perf_map_feed(&m, line, sizeof(line) - 1, 0, &b), sizeof(line) - 1);
    assert_int_equal(b.n_items, 1);
    assert_int_equal(m.n_large, 1);
    jit_batch_fini(&b);
}

/* A batch that is taken in pieces tells the same as one that is taken at once. */
static void batches_are_taken_in_pieces(void **state)
{
    struct fixture *f = *state;
    uint32_t source = add_dump(f), one = frame_at(f, 0x1004, 12);
    struct jit_batch b = {.source = source};
    jit_batch_add(&b, &(struct jit_item){.ts = 10,
                                         .address = 0x1000,
                                         .size = 16,
                                         .offset = 100,
                                         .name = jit_batch_text(&b, "one", 3)});
    jit_batch_add(&b, &(struct jit_item){.ts = 20,
                                         .address = 0x1000,
                                         .size = 16,
                                         .offset = 200,
                                         .name = jit_batch_text(&b, "two", 3)});
    int n_steps = 1;
    while (!jit_take_some(&f->jit, &b, 0)) {
        n_steps++;
    }
    assert_int_equal(n_steps, 4); /* two loads, and what waited for each */
    jit_batch_fini(&b);
    relayout(f);
    assert_string_equal(name_of(f, one), "one");
    assert_string_equal(name_of(f, frame_at(f, 0x1004, 25)), "two");
}

/* Very many loads beside very much that waits: not each of them looks at all of that. */
static void hostile_loads_beside_waiting_frames(void **state)
{
    enum { N_WAITING = 4000, N_LOADS = 20000 };
    struct fixture *f = *state;
    uint32_t source =
        jit_add_source(&f->jit, process(f), binaries_of_process(&f->binaries, 1, "/x"), false);
    for (uint64_t i = 0; i < N_WAITING; i++) {
        frame_at(f, 0x1000 + i, 10);
    }
    uint32_t other = frame_at(f, 0x3104, 10);
    struct jit_batch b = {.source = source};
    size_t name = jit_batch_text(&b, "beside", 6), last = jit_batch_text(&b, "last", 4);
    for (int i = 0; i < N_LOADS; i++) {
        jit_batch_add(&b, &(struct jit_item){.what = JIT_LOAD,
                                             .ts = 20 + i,
                                             .address = 0x1ff0,
                                             .size = 8,
                                             .offset = 1,
                                             .name = name});
    }
    jit_batch_add(&b, &(struct jit_item){
                          .what = JIT_LOAD, .ts = 5, .address = 0x3100, .size = 16, .name = last});
    jit_take_batch(&f->jit, &b);
    assert_in_range(f->jit.n_looks, 1, 2 * N_WAITING);
    jit_batch_fini(&b);
    relayout(f);
    assert_string_equal(name_of(f, other), "last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_model),
        cmocka_unit_test(moves_end_where_they_were),
        cmocka_unit_test(late_loads_do_not_hide_newer_ones),
        cmocka_unit_test(a_full_table_names_nothing_wrong),
        cmocka_unit_test(falling_times),
        cmocka_unit_test_setup_teardown(replaced_code_keeps_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_rise_where_meaning_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(late_news_move_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_maps_take_no_step_for_long, setup, teardown),
        cmocka_unit_test_setup_teardown(batches_are_taken_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_loads_beside_waiting_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(mappings_are_taken_while_binaries_move, setup, teardown),
        cmocka_unit_test_setup_teardown(moves_wait_for_the_call_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(ambiguous_news_are_guesses, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_are_said_where_names_are_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(periods_tell_generations_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_of_a_function_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(maps_written_anew_tell_nothing_new, setup, teardown),
        cmocka_unit_test_setup_teardown(forks_keep_what_was_there, setup, teardown),
    };
    return cmocka_run_group_tests_name("jit", tests, NULL, NULL);
}
