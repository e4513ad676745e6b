/*
 * Tables of .eh_frame: rows of hand-made sections, damaged ones, real binaries against readelf, and
 * what a large binary costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/fd.h"
#include "capture/frame_bytes.h"

/* "rsp+8 rbx@-16 ra@-8", "none" where there is no CFI. */
static const char *rule_text(const struct cfi_table *t, uint64_t address)
{
    static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi",
                                        "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                        "r12", "r13", "r14", "r15", "ra"};
    static char text[512];
    const uint32_t *rule = cfi_table_find(t, address);
    if (!rule) {
        return "none";
    }
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", rule[0] & CFI_IS_SIGNAL ? "signal " : "");
    if (cfi_rule_cfa(rule) == CFI_CFA_EXPRESSION) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "exp");
    } else {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%+d", names[cfi_rule_cfa_reg(rule)],
                              cfi_rule_cfa_offset(rule));
    }
    for (unsigned i = 0; i < cfi_rule_n_saves(rule); i++) {
        static const char kinds[] = "=?@vr*!";
        uint32_t save = rule[2 + i];
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %s%c%d", names[cfi_save_reg(save)],
                              kinds[cfi_save_kind(save)], cfi_save_value(save));
    }
    return text;
}

static void expect(const struct cfi_table *t, uint64_t address, const char *want)
{
    assert_string_equal(rule_text(t, address), want);
}

static void test_rows(void **state)
{
    (void)state;
    struct frame_bytes f = {0};
    /* push rbx; remember; push rbp; restore; CFA by rbp; rbx restored */
    static const uint8_t first[] = {0x41, 0x0e, 16,   0x83, 2,    0x42, 0x0a, 0x0e, 24,   0x86, 3,
                                    0x44, 0x0b, 0x44, 0x0d, 0x06, 0x44, 0xc3, 0x44, 0x07, 0x10};
    static const uint8_t second[] = {0x0f, 2, 0x77, 8, 0x10, 3, 2, 0x77, 0, 0x16, 6, 2, 0x77, 4};
    frame_cie(&f, "zR");
    frame_fde(&f, 0x2000, 0x40, first, sizeof(first));
    frame_fde(&f, 0x1000, 0x10, second, sizeof(second)); /* sections need not be in order */
    frame_cie(&f, "zRS");
    frame_fde(&f, 0x1010, 0x10, "", 0);
    struct cfi_table *t = frame_table(&f);
    expect(t, 0xfff, "none");
    expect(t, 0x1000, "exp rbx*4 rbp!8 ra@-8");
    expect(t, 0x100f, "exp rbx*4 rbp!8 ra@-8");
    expect(t, 0x1010, "signal rsp+8 ra@-8");
    expect(t, 0x101f, "signal rsp+8 ra@-8");
    expect(t, 0x1020, "none");
    expect(t, 0x1fff, "none");
    expect(t, 0x2000, "rsp+8 ra@-8");
    expect(t, 0x2001, "rsp+16 rbx@-16 ra@-8");
    expect(t, 0x2003, "rsp+24 rbx@-16 rbp@-24 ra@-8");
    expect(t, 0x2007, "rsp+16 rbx@-16 ra@-8");
    expect(t, 0x200b, "rbp+16 rbx@-16 ra@-8");
    expect(t, 0x200f, "rbp+16 ra@-8");
    expect(t, 0x2013, "rbp+16 ra?0");
    assert_true(cfi_table_find(t, 0x2013)[0] & CFI_IS_ROOT);
    expect(t, 0x2040, "none");
    expect(t, UINT64_MAX, "none");
    cfi_table_free(t);
}

static void test_overlap_and_limits(void **state)
{
    (void)state;
    struct frame_bytes f = {0};
    static const uint8_t pushed[] = {0x0e, 16};
    frame_cie(&f, "zR");
    frame_fde(&f, 0x1000, 0x20, "", 0);
    frame_fde(&f, 0x1010, 0x20, pushed, sizeof(pushed)); /* the first one wins */
    frame_fde(&f, 0x0, 0x20, "", 0);                     /* left by a dropped function */
    struct cfi_section section = {.bytes = f.bytes, .n_bytes = f.n, .address = FRAME_ADDRESS};
    struct cfi_range code = {0x1000, 0x2000};
    struct cfi_table *t = cfi_table_from_sections(&unwind_x86_64, &section, 1, &code, 1);
    expect(t, 0x101f, "rsp+8 ra@-8");
    expect(t, 0x1020, "rsp+16 ra@-8");
    expect(t, 0x10, "none");
    struct cfi_table_stats stats;
    cfi_table_get_stats(t, &stats);
    assert_int_equal(stats.n_fdes, 2);
    assert_int_equal(stats.n_rows, 3);
    assert_int_equal(stats.n_bad, 0);
    cfi_table_free(t);
}

static void test_damaged_programs(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } programs[] = {
        {"\x0b", 1},                 /* nothing remembered */
        {"\x3f", 1},                 /* unknown */
        {"\x0c\x20\x08", 3},         /* CFA of a register there is none of */
        {"\x04\xff\xff", 3},         /* cut off: the padding makes it a large step */
        {"\x0f\xff\x7f", 3},         /* an expression longer than its entry */
        {"\x01\x01\x00\xff\xff", 5}, /* set_loc backwards */
        {"\x0f\x01\x96\x0e\x08", 5}, /* an offset to an expression */
        {"\x11\x03\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 12}, /* offset overflows */
    };
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        struct frame_bytes f = {0};
        char program[32] = {0x44, 0x0e, 16, 0x44};
        memcpy(program + 4, programs[i].bytes, programs[i].n);
        frame_cie(&f, "zR");
        frame_fde(&f, 0x1000, 0x40, program, 4 + programs[i].n);
        frame_fde(&f, 0x2000, 0x40, "", 0);
        struct cfi_table *t = frame_table(&f);
        expect(t, 0x1004, "rsp+16 ra@-8");
        if (i != 3) { /* 4 GiB on: nothing is known to be wrong */
            expect(t, 0x1008, "none");
        }
        expect(t, 0x1040, "none");
        expect(t, 0x2000, "rsp+8 ra@-8"); /* damage costs its own entry only */
        cfi_table_free(t);
    }
}

/* Every prefix and every byte changed: no crash, and bounded. */
static void test_damaged_sections(void **state)
{
    (void)state;
    struct frame_bytes f = {0};
    static const uint8_t program[] = {0x41, 0x0e, 16, 0x0f, 2, 0x77, 8, 0x0a, 0x44, 0x0b};
    frame_cie(&f, "zR");
    frame_fde(&f, 0x1000, 0x40, program, sizeof(program));
    frame_cie(&f, "zRS");
    frame_fde(&f, 0x2000, 0x40, program, sizeof(program));
    struct frame_bytes whole = f;
    for (size_t n = 0; n <= whole.n; n++) {
        f.n = n;
        cfi_table_free(frame_table(&f));
    }
    f.n = whole.n;
    for (size_t i = 0; i < whole.n; i++) {
        for (unsigned value = 0; value < 256; value++) {
            f.bytes[i] = (uint8_t)value;
            cfi_table_free(frame_table(&f));
        }
        f.bytes[i] = whole.bytes[i];
    }
}

static struct cfi_table *open_table(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct cfi_table *t = fd >= 0 ? cfi_table_open(&unwind_x86_64, fd, e) : NULL;
    fd_close(&fd);
    return t;
}

static void test_not_elf(void **state)
{
    (void)state;
    struct err e = {0};
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
                         .e_machine = EM_AARCH64};
    assert_null(open_table("CMakeLists.txt", &e));
    assert_int_equal(e.code, STAX_ECORRUPT);
    assert_null(open_table("/dev/null", &e));
    assert_null(cfi_table_from_image(&unwind_x86_64, &header, sizeof(header), &e));
    assert_int_equal(e.code, STAX_EVERSION);
    header.e_machine = EM_X86_64;
    assert_null(cfi_table_from_image(&unwind_x86_64, &header, sizeof(header) - 1, &e));
    assert_int_equal(e.code, STAX_ECORRUPT);
    struct cfi_table *t = cfi_table_from_image(&unwind_x86_64, &header, sizeof(header), &e);
    assert_non_null(t); /* no sections: no CFI */
    expect(t, 0, "none");
    cfi_table_free(t);
}

/* .eh_frame found by its header alone gives what the section headers give. */
static void test_without_section_headers(void **state)
{
    (void)state;
    enum { VDSO_BYTES = 8192 };
    static uint8_t image[VDSO_BYTES];
    unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
    if (!vdso) {
        skip();
    }
    memcpy(image, (const void *)vdso, sizeof(image));
    struct cfi_table *t = cfi_table_from_image(&unwind_x86_64, image, sizeof(image), NULL);
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    header.e_shoff = 0;
    memcpy(image, &header, sizeof(header));
    struct cfi_table *u = cfi_table_from_image(&unwind_x86_64, image, sizeof(image), NULL);
    assert_non_null(t);
    assert_non_null(u);
    struct cfi_table_stats stats;
    cfi_table_get_stats(u, &stats);
    assert_true(stats.n_fdes > 3);
    for (uint64_t address = 0; address < VDSO_BYTES; address++) {
        char text[512];
        snprintf(text, sizeof(text), "%s", rule_text(t, address));
        expect(u, address, text);
    }
    cfi_table_free(t);
    cfi_table_free(u);
}

/* One row of readelf's interpreted frames: address, CFA, one word a column. */
static void compare_row(const struct cfi_table *t, char *line, char (*columns)[16], size_t n,
                        size_t *n_rows, size_t *n_wrong)
{
    char want[512];
    char *next = NULL;
    char *word = strtok_r(line, " \n", &next);
    uint64_t address = strtoull(word, NULL, 16);
    size_t length = 0;
    char *cfa = strtok_r(NULL, " \n", &next);
    length += (size_t)snprintf(want, sizeof(want), "%s", cfa);
    for (size_t i = 0; i < n; i++) {
        word = strtok_r(NULL, " \n", &next);
        if (!word || (strcmp(word, "u") == 0 && strcmp(columns[i], "ra") != 0) ||
            strcmp(word, "s") == 0) {
            continue;
        }
        bool is_saved = word[0] == 'c';
        bool is_undefined = strcmp(word, "u") == 0;
        length += (size_t)snprintf(want + length, sizeof(want) - length, " %s%s", columns[i],
                                   is_saved       ? "@"
                                   : is_undefined ? "?0"
                                                  : "");
        if (is_saved) {
            length += (size_t)snprintf(want + length, sizeof(want) - length, "%d",
                                       (int)strtol(word + 1, NULL, 10));
        }
    }
    (*n_rows)++;
    char got[512];
    snprintf(got, sizeof(got), "%s", rule_text(t, address));
    if (strstr(line, "exp") || strstr(want, "exp") || strchr(got, '*')) {
        *n_wrong += strncmp(got, "exp", 3) != 0 && !strstr(got, "exp") && !strchr(got, '*');
        return;
    }
    /* Columns of registers run into each other. */
    for (const uint32_t *rule = cfi_table_find(t, address), *save = rule ? rule + 2 : NULL;
         rule && save < rule + 2 + cfi_rule_n_saves(rule); save++) {
        if (cfi_save_kind(*save) == CFI_REGISTER) {
            *n_wrong += strncmp(got, cfa, strlen(cfa)) != 0;
            return;
        }
    }
    char *plain = strncmp(got, "signal ", 7) == 0 ? got + 7 : got;
    if (strcmp(plain, want) != 0 && (*n_wrong)++ < 5) {
        printf("%llx: %s, readelf has %s\n", (unsigned long long)address, got, want);
    }
}

/* Rows of one address are alternatives of which the last counts. */
static void compare_with_readelf(FILE *pipe, const struct cfi_table *t, size_t *n_rows,
                                 size_t *n_wrong)
{
    char columns[32][16];
    size_t n_columns = 0;
    char line[1024];
    char before[1024] = "";
    bool is_fde = false;
    while (fgets(line, sizeof(line), pipe)) {
        bool is_row = line[0] != ' ' && strlen(line) > 17 && line[16] == ' ' && is_fde &&
                      !strstr(line, "FDE") && !strstr(line, "CIE");
        if (before[0] && (!is_row || strncmp(before, line, 16) != 0)) {
            compare_row(t, before, columns, n_columns, n_rows, n_wrong);
        }
        before[0] = '\0';
        if (is_row) {
            memcpy(before, line, sizeof(before));
        } else if (strstr(line, " FDE ")) {
            is_fde = true;
        } else if (strstr(line, " CIE ")) {
            is_fde = false;
        } else if (strncmp(line, "   LOC", 6) == 0) {
            n_columns = 0;
            char *next = NULL;
            strtok_r(line, " \n", &next);
            strtok_r(NULL, " \n", &next);
            for (char *w; n_columns < 32 && (w = strtok_r(NULL, " \n", &next)); n_columns++) {
                snprintf(columns[n_columns], sizeof(columns[0]), "%s", w);
            }
        }
    }
}

static void check_binary(const char *path)
{
    char command[512];
    size_t n_rows = 0;
    size_t n_wrong = 0;
    struct cfi_table *t = open_table(path, NULL);
    snprintf(command, sizeof(command), "readelf -wF %s 2> /dev/null", path);
    FILE *pipe = t ? popen(command, "r") : NULL;
    if (pipe) {
        compare_with_readelf(pipe, t, &n_rows, &n_wrong);
        pclose(pipe);
    }
    cfi_table_free(t);
    if (!n_rows) {
        printf("no readelf, or no %s\n", path);
        skip();
    }
    printf("%s: %zu rows as readelf has them, %zu not\n", path, n_rows - n_wrong, n_wrong);
    assert_int_equal(n_wrong, 0);
}

static void test_libc(void **state)
{
    (void)state;
    check_binary("/lib/x86_64-linux-gnu/libc.so.6");
}

static void test_python(void **state)
{
    (void)state;
    check_binary("/usr/bin/python3");
}

static void test_large_binary(void **state)
{
    (void)state;
    static const char *const paths[] = {"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1",
                                        "/usr/bin/node", "/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
                                        "/lib/x86_64-linux-gnu/libc.so.6"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        int64_t start = clock_monotonic_ns();
        struct cfi_table *t = open_table(paths[i], NULL);
        int64_t ns = clock_monotonic_ns() - start;
        if (t) {
            struct cfi_table_stats s;
            cfi_table_get_stats(t, &s);
            printf("%s: %zu rows, %zu bytes, %.1f ms\n", paths[i], s.n_rows, s.n_bytes,
                   (double)ns / 1e6);
            assert_true(s.n_bytes <= s.n_rows * 16 + 4096);
            assert_false(s.is_cut);
            assert_int_equal(s.n_bad, 0);
            cfi_table_free(t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_overlap_and_limits),
        cmocka_unit_test(test_damaged_programs),
        cmocka_unit_test(test_damaged_sections),
        cmocka_unit_test(test_not_elf),
        cmocka_unit_test(test_without_section_headers),
        cmocka_unit_test(test_libc),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_large_binary),
    };
    return cmocka_run_group_tests_name("cfi_table", tests, NULL, NULL);
}
