/*
 * test_binaries.c - symbol tables are given back when they are too large together, and read again:
 * every address gets the symbol that a table of its own gives it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ingest/binaries.h"
#include "ingest/binaries_internal.h"
#include "ingest/naming.h"

enum { N_FILES = 3, N_STEPS = 100 };

struct files {
    char folder[32];
    char paths[N_FILES][64];
    uint32_t ids[N_FILES];
    struct names *names[N_FILES]; /* of our own */
    uint64_t first;               /* offset of a function in all of them */
    struct binaries binaries;
    struct intern intern;
};

/* Programs with 300 functions each; of the last one the file goes. */
static void make_files(struct files *f)
{
    char command[1024];
    snprintf(f->folder, sizeof(f->folder), "/tmp/stax-binaries-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    for (int i = 0; i < N_FILES; i++) {
        snprintf(f->paths[i], sizeof(f->paths[i]), "%s/lib%d.so", f->folder, i);
        snprintf(
            command, sizeof(command),
            "for ((k = 0; k < 300; k++)); do echo \"int file%d_function_$k(int x) { return x "
            "* $k + x / (x | $k); }\"; ((k < 40)) && echo \"__attribute__((used)) static int "
            "local_function_$k(int x) { return x / ($k + 1); }\"; done | gcc -O1 -shared -fPIC "
            "-Wl,-z,noseparate-code "
            "-Wl,-Ttext=0x7000 -x c -o %s -",
            i, f->paths[i]);
        char *argv[] = {"bash", "-c", command, NULL};
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            execvp(argv[0], argv);
            _exit(127);
        }
        assert_true(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

static void map_files(struct files *f)
{
    struct stat st;
    binaries_init(&f->binaries, &f->intern, "", false);
    for (int i = 0; i < N_FILES; i++) {
        assert_int_equal(stat(f->paths[i], &st), 0);
        struct event_mapping m = {
            .pid = getpid(), .start = 0x10000, .size = (uint64_t)st.st_size, .inode = st.st_ino};
        struct buf batch = {0};
        size_t at = 0;
        bool is_bad = false;
        event_add_mapping(&batch, &m, f->paths[i], strlen(f->paths[i]));
        const struct event_head *head = event_next(batch.data, batch.len, &at, &is_bad);
        f->ids[i] = binaries_of_mapping(&f->binaries, (const struct event_mapping *)head, 1, false);
        buf_free(&batch);
        int fd = open(f->paths[i], O_RDONLY | O_CLOEXEC);
        assert_int_equal(names_open_elf(&f->names[i], fd, NULL), 0);
        close(fd);
    }
}

/* The files are laid out alike. */
static void find_first(struct files *f)
{
    struct names_symbol found;
    uint64_t address;
    for (f->first = 0; f->first < 1 << 20; f->first += 16) {
        if (names_address_of_offset(f->names[0], f->first, &address) &&
            names_find(f->names[0], address, &found) && found.linkage_name &&
            strcmp(found.linkage_name, "file0_function_20") == 0) {
            return;
        }
    }
    fail_msg("the function is nowhere");
}

static int set_up(void **state)
{
    struct files *f = calloc(1, sizeof(*f));
    *state = f;
    make_files(f);
    map_files(f);
    find_first(f);
    return 0;
}

static int tear_down(void **state)
{
    struct files *f = *state;
    char command[128];
    binaries_fini(&f->binaries);
    intern_free(&f->intern);
    for (int i = 0; i < N_FILES; i++) {
        names_close(f->names[i]);
    }
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    free(f);
    return system(command);
}

/* The frame of an offset has the name that the file's own table gives. */
static size_t check_frame(struct files *f, int i, uint64_t offset)
{
    struct names_symbol found;
    uint64_t address;
    if (!names_address_of_offset(f->names[i], offset, &address) ||
        !names_find(f->names[i], address, &found) || !found.linkage_name) {
        return 0;
    }
    uint32_t id = binaries_frame(&f->binaries, f->ids[i], offset);
    const struct frame *frame = &f->intern.frames[id - 1];
    const struct symbol_text *text = &f->intern.new_symbols[frame->symbol - 1];
    assert_int_equal(frame->rel_address, address);
    assert_int_equal(text->rel_address, found.start);
    assert_string_equal(text->linkage_name ? text->linkage_name : text->name, found.linkage_name);
    return 1;
}

static void test_tables_come_back(void **state)
{
    struct files *f = *state;
    size_t n = 0;
    /* room for one and a half */
    f->binaries.max_table_bytes = names_bytes(f->names[0]) * 3 / 2;
    for (uint64_t step = 0; step < N_STEPS; step++) {
        for (int i = 0; i < N_FILES; i++) {
            n += check_frame(f, i, f->first + step * 0x20);
            assert_true(binaries_table_bytes(&f->binaries) <=
                        f->binaries.max_table_bytes + 8 * 1024);
        }
    }
    assert_true(n > N_STEPS);
    assert_true(f->binaries.n_dropped > N_STEPS);
}

/* With room for all nothing is given back. */
static void test_room_for_all(void **state)
{
    struct files *f = *state;
    for (uint64_t step = 0; step < N_STEPS; step++) {
        for (int i = 0; i < N_FILES; i++) {
            check_frame(f, i, f->first + step * 0x20);
        }
    }
    assert_int_equal(f->binaries.n_dropped, 0);
}

/* A file that was written to meanwhile names nothing any more; addresses stay right. */
static void test_changed_file(void **state)
{
    struct files *f = *state;
    assert_int_equal(check_frame(f, 0, f->first), 1);
    f->binaries.max_table_bytes = 1;
    assert_int_equal(check_frame(f, 1, f->first), 1); /* the first is given back */
    assert_int_equal(f->binaries.n_dropped, 1);
    int fd = open(f->paths[0], O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    uint64_t address;
    assert_true(names_address_of_offset(f->names[0], f->first + 0x800, &address));
    uint32_t id = binaries_frame(&f->binaries, f->ids[0], f->first + 0x800);
    const struct frame *frame = &f->intern.frames[id - 1];
    assert_int_equal(frame->rel_address, address);
    assert_int_equal(f->intern.symbol_kinds[frame->symbol - 1], SYMBOL_UNNAMED);
}

static const struct binary *map_file(struct binaries *b, const char *path)
{
    struct stat st;
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(stat(path, &st), 0);
    struct event_mapping m = {.pid = getpid(), .start = 0x10000, .size = 1, .inode = st.st_ino};
    struct buf batch = {0};
    size_t at = 0;
    bool is_bad = false;
    event_add_mapping(&batch, &m, path, strlen(path));
    const struct event_head *head = event_next(batch.data, batch.len, &at, &is_bad);
    uint32_t id = binaries_of_mapping(b, (const struct event_mapping *)head, 1, false);
    buf_free(&batch);
    return binaries_item(b, id);
}

/* However many files wait to be read. */
static void jitdumps_stay_open(void **state)
{
    enum { MORE_THAN_ARE_KEPT = 300 };
    struct files *f = *state;
    struct binaries b;
    struct intern intern = {0};
    char path[96];
    const struct binary *bin = NULL;
    binaries_init(&b, &intern, "", false);
    for (int i = 0; i < MORE_THAN_ARE_KEPT; i++) {
        snprintf(path, sizeof(path), "%s/many%d.so", f->folder, i);
        bin = map_file(&b, path);
    }
    assert_int_equal(bin->fd, -1);
    snprintf(path, sizeof(path), "%s/jit-1.dump", f->folder);
    bin = map_file(&b, path);
    assert_true(bin->is_dump);
    assert_true(bin->fd >= 0);
    assert_null(bin->note);
    binaries_fini(&b);
    intern_free(&intern);
}

/* The start of a function of file 0; its table must be read. */
static uint64_t start_of(struct files *f, const char *name)
{
    for (uint64_t i = 0; i < 0x1000; i++) {
        struct names_symbol found;
        uint64_t address;
        if (names_address_of_offset(f->names[0], f->first + i, &address) &&
            names_find(f->names[0], address, &found) && found.linkage_name &&
            strcmp(found.linkage_name, name) == 0) {
            return found.start;
        }
    }
    fail_msg("no %s", name);
    return 0;
}

static uint32_t called(struct files *f, uint64_t start)
{
    binaries_name_start(&f->binaries, f->ids[0], start);
    return map_get(&binaries_item(&f->binaries, f->ids[0])->symbols, start);
}

/* A function that is only inlined is the called one of its name, unless it is static and that is
 * global: then it is another file's. */
static void static_functions_are_not_global_ones(void **state)
{
    struct files *f = *state;
    static const char name[] = "file0_function_20", other[] = "file0_function_21";
    const struct inlined_function is_static = {name, true, "a.c:1:1", 0};
    const struct inlined_function external = {name, false, "", 0}, second = {other, false, "", 0};
    struct binaries *b = &f->binaries;
    assert_int_equal(check_frame(f, 0, f->first + 0x800), 1); /* the tables are read */
    b->naming = naming_new(NULL);
    uint32_t static_id = binaries_inlined(b, f->ids[0], &is_static);
    uint32_t second_id = binaries_inlined(b, f->ids[0], &second);
    assert_int_not_equal(static_id, second_id);
    uint32_t called_id = called(f, start_of(f, name));
    assert_int_not_equal(called_id, 0);
    assert_int_not_equal(called_id, static_id);
    assert_int_equal(called(f, start_of(f, other)), second_id);
    /* and the other way round: what is inlined after a function was called */
    assert_int_equal(binaries_inlined(b, f->ids[0], &is_static), static_id);
    assert_int_equal(binaries_inlined(b, f->ids[0], &external), called_id);
    naming_free(b->naming);
    b->naming = NULL;
}

/* Static functions of one name are apart by where they are declared, and only the one that begins
 * at a symbol's address is that symbol, whichever is known first. */
static void static_functions_are_told_apart(void **state)
{
    struct files *f = *state;
    static const char name[] = "local_function_30", other[] = "local_function_31";
    struct binaries *b = &f->binaries;
    assert_int_equal(check_frame(f, 0, f->first + 0x800), 1);
    b->naming = naming_new(NULL);
    const struct inlined_function apart[] = {
        {name, true, "a.c:1:1", 0},
        {name, true, "b.c:1:1", 0},
        {name, true, "a.c:1:9", 0},
        {name, true, "c.c:1:1", start_of(f, name)},
        {"named otherwise in its lines", true, "c.c:2:1", start_of(f, other)},
    };
    enum { N = sizeof(apart) / sizeof(apart[0]) };
    uint32_t ids[N];
    uint32_t called_first = called(f, start_of(f, other));
    for (size_t i = 0; i < N; i++) {
        ids[i] = binaries_inlined(b, f->ids[0], &apart[i]);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(ids[i], ids[k]);
        }
    }
    assert_int_equal(ids[4], called_first);
    assert_int_equal(called(f, start_of(f, name)), ids[3]);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(binaries_inlined(b, f->ids[0], &apart[i]), ids[i]);
    }
    /* one of a header, of which some files have it out of line */
    const struct inlined_function same[] = {
        {"local_function_32", true, "d.h:1:1", start_of(f, "local_function_32")},
        {"local_function_32", true, "d.h:1:1", start_of(f, "local_function_33")},
        {"local_function_32", true, "d.h:1:1", 0},
    };
    uint32_t id = binaries_inlined(b, f->ids[0], &same[0]);
    assert_int_equal(binaries_inlined(b, f->ids[0], &same[1]), id);
    assert_int_equal(binaries_inlined(b, f->ids[0], &same[2]), id);
    assert_int_equal(called(f, start_of(f, "local_function_32")), id);
    assert_int_not_equal(called(f, start_of(f, "local_function_33")), id);
    naming_free(b->naming);
    b->naming = NULL;
}

/* A run that is named again: its rows tell the name of what is inlined, no more. */
static void symbols_of_an_earlier_run_are_taken_up(void **state)
{
    struct files *f = *state;
    struct binaries *b = &f->binaries;
    b->naming = naming_new(NULL);
    binaries_adopt_symbol(b, f->ids[1], 1001, 0, "step");
    binaries_adopt_symbol(b, f->ids[1], 1002, 0, "step");
    const struct inlined_function first = {"step", true, "a.c:1:1", 0};
    const struct inlined_function second = {"step", true, "b.c:1:1", 0};
    const struct inlined_function third = {"step", true, "c.c:1:1", 0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(binaries_inlined(b, f->ids[1], &second), 1001);
        assert_int_equal(binaries_inlined(b, f->ids[1], &first), 1002);
    }
    uint32_t id = binaries_inlined(b, f->ids[1], &third);
    assert_true(id != 1001 && id != 1002 && id);
    naming_free(b->naming);
    b->naming = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jitdumps_stay_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tables_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(static_functions_are_not_global_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(static_functions_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(symbols_of_an_earlier_run_are_taken_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
