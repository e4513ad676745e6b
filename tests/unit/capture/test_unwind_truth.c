/*
 * Every frame against libgcc: a C++ program without frame pointers is built, run one instruction at
 * a time, and each of its moments unwound from the registers and the stack copy alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "capture/unwind_space.h"
#include "capture/unwind_truth.h"

enum { MAX_STACK = 64 << 10, MAX_CASES = 16, MAX_MAPS = 1 << 20, MAX_PRINTED = 5 };

struct tally {
    char name[TRUTH_CASE_BYTES];
    uint64_t root; /* the first function of its thread, by the first moment */
    size_t n, n_frames, n_unknown, n_wrong;
    size_t n_vdso; /* moments in the vDSO */
};

struct fixture {
    char folder[64];
    struct space space;
    struct tally cases[MAX_CASES];
    size_t n_cases;
    uint64_t vdso_start, vdso_end;
};

static char *path_in(const struct fixture *f, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    return path;
}

/* Builds and runs the program; false when there is no C++ compiler. */
static bool run_program(const struct fixture *f, const char *flags)
{
    char command[1024];
    if (system("c++ --version > /dev/null 2>&1") != 0) {
        return false;
    }
    snprintf(command, sizeof(command),
             "c++ -O2 -fomit-frame-pointer %s -Wl,-z,lazy tests/unit/capture/unwind_truth.cpp -o "
             "%s/program -pthread && %s/program %s/out",
             flags, f->folder, f->folder, f->folder);
    assert_int_equal(system(command), 0);
    return true;
}

static struct tally *find_case(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->n_cases; i++) {
        if (strcmp(f->cases[i].name, name) == 0) {
            return &f->cases[i];
        }
    }
    assert_true(f->n_cases < MAX_CASES);
    struct tally *t = &f->cases[f->n_cases++];
    memcpy(t->name, name, sizeof(t->name));
    return t;
}

static void print_difference(const struct truth *t, const struct unwind_stack *out)
{
    printf("%s: at %llx %s after %u frames of %llu\n", t->name, (unsigned long long)t->regs[16],
           unwind_end_name(out->end), out->n, (unsigned long long)t->n_frames);
    for (size_t i = 0; i < t->n_frames && i < out->n; i++) {
        if (t->frames[i] != out->pc[i]) {
            printf("  frame %zu: %llx, libgcc has %llx\n", i, (unsigned long long)out->pc[i],
                   (unsigned long long)t->frames[i]);
            break;
        }
    }
}

static void check(struct fixture *f, const struct truth *t, const uint8_t *stack)
{
    static struct unwind_stack out;
    struct unwind_input in = {
        .arch = &unwind_x86_64,
        .stack_address = t->regs[7],
        .stack = stack,
        .n_stack_bytes = t->n_stack_bytes,
        .find = space_find,
        .ctx = &f->space,
    };
    memcpy(in.regs.value, t->regs, sizeof(t->regs));
    in.regs.known = (1 << TRUTH_N_REGS) - 1;
    unwind(&in, &out);
    struct tally *tally = find_case(f, t->name);
    uint64_t last = t->n_frames ? t->frames[t->n_frames - 1] : 0;
    size_t n = t->n_frames < out.n ? t->n_frames : out.n;
    bool is_same = n == t->n_frames && memcmp(out.pc, t->frames, n * sizeof(*out.pc)) == 0;
    if (!tally->n++) {
        tally->root = last;
    }
    tally->n_frames += out.n;
    tally->n_vdso += t->regs[16] >= f->vdso_start && t->regs[16] < f->vdso_end;
    if (last != tally->root) {
        /* libgcc stopped short of the root, where there is no CFI (a static program's PLT) or wrong
         * CFI (GCC's for the end of a function that realigns its stack). */
        tally->n_unknown++;
    } else if ((!is_same || out.n != n || out.end != UNWIND_ROOT) &&
               tally->n_wrong++ < MAX_PRINTED) {
        print_difference(t, &out);
    }
}

static void check_all(struct fixture *f)
{
    static struct truth t;
    static uint8_t stack[MAX_STACK];
    FILE *file = fopen(path_in(f, "out"), "rb");
    assert_non_null(file);
    while (fread(&t, sizeof(t), 1, file) == 1) {
        assert_true(t.n_stack_bytes <= MAX_STACK);
        assert_int_equal(fread(stack, 1, t.n_stack_bytes, file), t.n_stack_bytes);
        check(f, &t, stack);
    }
    fclose(file);
}

static void load_maps(struct fixture *f)
{
    struct buf maps = {0};
    assert_int_equal(fd_read_file(path_in(f, "out.maps"), MAX_MAPS, &maps), 0);
    space_load(&f->space, buf_str(&maps), maps.len);
    const char *line = strstr(buf_str(&maps), "[vdso]");
    while (line && line > buf_str(&maps) && line[-1] != '\n') {
        line--;
    }
    if (line) {
        char *end;
        f->vdso_start = strtoull(line, &end, 16);
        f->vdso_end = strtoull(end + 1, NULL, 16);
    }
    buf_free(&maps);
}

static void clean(struct fixture *f)
{
    static const char *const names[] = {"program", "out", "out.maps"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        unlink(path_in(f, names[i]));
    }
    rmdir(f->folder);
    space_free(&f->space);
}

static void check_program(const char *flags)
{
    struct fixture f = {.folder = "/tmp/stax-truth-XXXXXX"};
    assert_non_null(mkdtemp(f.folder));
    if (!run_program(&f, flags)) {
        printf("no C++ compiler\n");
        clean(&f);
        skip();
    }
    load_maps(&f);
    check_all(&f);
    clean(&f);
    assert_true(f.n_cases >= 9);
    size_t n_wrong = 0;
    for (size_t i = 0; i < f.n_cases; i++) {
        printf("%s: %zu moments, %zu frames, %zu without truth, %zu wrong\n", f.cases[i].name,
               f.cases[i].n, f.cases[i].n_frames, f.cases[i].n_unknown, f.cases[i].n_wrong);
        n_wrong += f.cases[i].n_wrong;
        assert_true(f.cases[i].n_unknown * 50 < f.cases[i].n);
    }
    assert_int_equal(n_wrong, 0);
    assert_true(find_case(&f, "vdso")->n_vdso > 20);
    assert_true(find_case(&f, "assembly")->n > 30);
}

static void test_every_instruction(void **state)
{
    (void)state;
    check_program("");
}

static void test_static_and_stripped(void **state)
{
    (void)state;
    check_program("-static -s -DWITHOUT_EXCEPTIONS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_instruction),
        cmocka_unit_test(test_static_and_stripped),
    };
    return cmocka_run_group_tests_name("unwind_truth", tests, NULL, NULL);
}
