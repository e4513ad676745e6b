/* test_kernel_code.c - code of a kernel from a core and from a vmlinux, both made here. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "fixture.h"
#include "schema/code.h"
#include "schema/kernel_code.h"

static const uint64_t base_address = 0xffffffff9a000000, link_address = 0xffffffff81000000;
static const uint8_t notes[] = {6,   0,   0,   0,   1,    0,    0,    0, 0, 1, 0, 0,
                                'L', 'i', 'n', 'u', 'x',  0,    0,    0, 9, 0, 0, 0, /* other */
                                4,   0,   0,   0,   3,    0,    0,    0, 3, 0, 0, 0,
                                'G', 'N', 'U', 0,   0xab, 0xcd, 0xef, 0};
static char folder[] = "/tmp/stax-kernel-XXXXXX";
static char kcore[64], kallsyms[64], notes_path[64], vmlinux[64];
static const char *candidates[] = {vmlinux, NULL};
static struct kernel_files files = {kcore, kallsyms, notes_path, candidates};

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A core or a vmlinux: data, then 0x1000 bytes of code, then notes. */
static void write_elf(const char *path, uint16_t type, uint64_t address, uint8_t seed,
                      const uint8_t *note, size_t n_note)
{
    uint8_t image[0x3000] = {0};
    Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)image;
    Elf64_Phdr *p = (Elf64_Phdr *)(void *)(image + sizeof(*h));

    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_type = type;
    h->e_machine = EM_X86_64;
    h->e_phoff = sizeof(*h);
    h->e_phentsize = sizeof(*p);
    h->e_phnum = 3;
    p[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = n_note};
    p[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_W,
                        .p_offset = 0x2000,
                        .p_vaddr = 0xffff888000000000,
                        .p_filesz = 0x1000};
    p[2] = (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_X,
                        .p_offset = 0x1000,
                        .p_vaddr = address,
                        .p_filesz = 0x1000};
    if (n_note) {
        memcpy(image + 0x800, note, n_note);
    }
    for (size_t i = 0; i < 0x1000; i++) {
        image[0x1000 + i] = (uint8_t)(i + seed);
    }
    write_file(path, image, sizeof(image));
}

static int set_up(void **state)
{
    static const char symbols[] = "0000000000000000 A fixed_percpu_data\n"
                                  "ffffffff9a000000 T _text\nffffffff9a000100 T later\n";
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(kcore, sizeof(kcore), "%s/kcore", folder);
    snprintf(kallsyms, sizeof(kallsyms), "%s/kallsyms", folder);
    snprintf(notes_path, sizeof(notes_path), "%s/notes", folder);
    snprintf(vmlinux, sizeof(vmlinux), "%s/vmlinux-%%s", folder);
    write_file(kallsyms, symbols, sizeof(symbols) - 1);
    write_file(notes_path, notes, sizeof(notes));
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void expect_code(struct kernel_code *k, uint8_t seed)
{
    struct buf out = {0};

    assert_int_equal(kernel_code_read(k, 0x10, 4, &out, NULL), 0);
    assert_int_equal(out.len, 4);
    assert_int_equal((uint8_t)out.data[0], 0x10 + seed);
    assert_int_equal((uint8_t)out.data[3], 0x13 + seed);
    buf_clear(&out);
    assert_int_equal(kernel_code_read(k, 0xff0, 64, &out, NULL), 0); /* its last bytes */
    assert_int_equal(out.len, 16);
    assert_int_equal(kernel_code_read(k, 0x1000, 4, &out, NULL), STAX_ENOTFOUND);
    assert_int_equal(kernel_code_read(k, UINT64_MAX, 4, &out, NULL), STAX_ENOTFOUND);
    buf_free(&out);
}

static void a_core_is_read_at_its_addresses(void **state)
{
    struct kernel_code *k = NULL;
    struct err e = {0};

    (void)state;
    write_elf(kcore, ET_CORE, base_address, 1, NULL, 0);
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.1.0", &e), 0);
    assert_true(kernel_code_is_live(k));
    expect_code(k, 1);
    kernel_code_close(k);
    unlink(kcore);
}

static void another_kernel_is_not_taken(void **state)
{
    static const char hidden[] = "0000000000000000 T _text\n";
    struct kernel_code *k = NULL;
    struct err e = {0};

    (void)state;
    write_elf(kcore, ET_CORE, base_address, 1, NULL, 0);
    assert_int_equal(kernel_code_open(&k, &files, "abcde0", "6.1.0", &e), STAX_ENOTFOUND);
    assert_null(k);
    assert_non_null(strstr(e.msg, "not the recorded one"));
    assert_non_null(strstr(e.hint, "linux-image-6.1.0-dbg"));
    assert_int_equal(kernel_code_open(&k, &files, "", "6.1.0", &e), STAX_ENOTFOUND);
    struct kernel_files without = files;
    char path[96];
    snprintf(path, sizeof(path), "%s/hidden", folder);
    write_file(path, hidden, sizeof(hidden) - 1);
    without.kallsyms = path;
    assert_int_equal(kernel_code_open(&k, &without, "abcdef", "6.1.0", &e), STAX_ENOTFOUND);
    assert_non_null(strstr(e.msg, "hides"));
    unlink(kcore);
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.1.0", &e), STAX_ENOTFOUND);
    assert_non_null(strstr(e.msg, "cannot read"));
}

static void a_vmlinux_of_the_build_is_read(void **state)
{
    struct kernel_code *k = NULL;
    struct err e = {0};
    char path[96];

    (void)state;
    snprintf(path, sizeof(path), "%s/vmlinux-6.1.0", folder);
    write_elf(path, ET_EXEC, link_address, 5, notes, sizeof(notes));
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.1.0", &e), 0);
    assert_false(kernel_code_is_live(k));
    expect_code(k, 5);
    kernel_code_close(k);
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.2.0", &e), STAX_ENOTFOUND);
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "x/../6.1.0", &e), STAX_ENOTFOUND);
    assert_int_equal(kernel_code_open(&k, &files, "012345", "6.1.0", &e), STAX_ENOTFOUND);
    write_elf(path, ET_EXEC, link_address, 5, notes, 24); /* without a build id */
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.1.0", &e), STAX_ENOTFOUND);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(kernel_code_open(&k, &files, "abcdef", "6.1.0", &e), STAX_ENOTFOUND);
}

/* A run whose kernel is the one of the files, and which was recorded in another boot. */
static void functions_of_the_kernel_have_code(void **state)
{
    char run[96];
    struct db *db = NULL;
    struct code code;
    struct err e = {0};

    (void)state;
    snprintf(run, sizeof(run), "%s/run.stax", folder);
    make_run(run);
    run_sql(
        run,
        "INSERT INTO binary VALUES (8, '[kernel]', '[kernel]', 'kernel', 'abcdef', 1, "
        "'kallsyms', NULL, NULL), (9, '[ext4]', '[ext4]', 'module', NULL, 1, 'kallsyms', NULL, "
        "NULL);"
        "INSERT INTO symbol VALUES (80, 'function', 'schedule', NULL, 8, 16, 4, "
        "'kallsyms', '', NULL, NULL), (90, 'function', 'ext4_read', NULL, 9, 32, 4, 'kallsyms', "
        "'', NULL, NULL);");
    write_elf(kcore, ET_CORE, base_address, 1, NULL, 0);
    assert_int_equal(db_open(&db, run, DB_WRITE, &e), 0);
    struct code_reader *r = code_reader_new(db, NULL, NULL);
    code_reader_set_kernel(r, &files);
    assert_int_equal(code_read(r, 80, true, &code, &e), 0);
    assert_int_equal(code.bytes.len, 4);
    assert_int_equal((uint8_t)code.bytes.data[0], 0x11);
    buf_free(&code.bytes);
    assert_int_equal(code_read(r, 90, true, &code, &e), STAX_ENOTFOUND);
    assert_non_null(strstr(e.msg, "until the next boot"));
    assert_int_equal(code_read(r, 80, false, &code, &e), STAX_ENOTFOUND); /* an archive's */
    code_reader_free(r);
    db_close(db);
    unlink(kcore);
}

static void notes_that_lie(void **state)
{
    struct buf id = {0};
    uint8_t bytes[sizeof(notes)];

    (void)state;
    kernel_code_build_id(notes, sizeof(notes), &id);
    assert_string_equal(buf_str(&id), "abcdef");
    for (size_t i = 0; i < sizeof(notes); i++) {
        buf_clear(&id);
        kernel_code_build_id(notes, i, &id); /* cut off */
        memcpy(bytes, notes, sizeof(notes));
        bytes[i] = 0xff;
        buf_clear(&id);
        kernel_code_build_id(bytes, sizeof(bytes), &id);
        assert_true(id.len <= 128);
    }
    buf_free(&id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_is_read_at_its_addresses),
        cmocka_unit_test(another_kernel_is_not_taken),
        cmocka_unit_test(a_vmlinux_of_the_build_is_read),
        cmocka_unit_test(functions_of_the_kernel_have_code),
        cmocka_unit_test(notes_that_lie),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
