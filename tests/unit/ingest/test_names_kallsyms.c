/* Kernel symbols: lines in, lookups out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/names.h"

static int open_text(struct names **n, const char *text, size_t len, struct err *e)
{
    int fd = memfd_create("kallsyms", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, len), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    int rc = names_open_kallsyms(n, fd, e);
    close(fd);
    return rc;
}

static void expect(const struct names *n, uint64_t address, const char *name, uint64_t start,
                   uint64_t size, const char *module)
{
    struct names_symbol s;
    assert_true(names_find(n, address, &s));
    assert_string_equal(s.linkage_name, name);
    assert_int_equal(s.start, start);
    assert_int_equal(s.size, size);
    assert_int_equal(s.source, NAMES_KALLSYMS);
    if (module) {
        assert_string_equal(s.module, module);
    } else {
        assert_null(s.module);
    }
}

static void test_lookup(void **state)
{
    (void)state;
    static const char text[] = "0000000000000000 A fixed_percpu_data\n"
                               "ffffffff81000000 T _stext\n"
                               "ffffffff81000000 T _text\n"
                               "ffffffff81000000 T startup_64\n"
                               "ffffffff81000100 t local_one\n"
                               "ffffffff81000100 W weak_one\n"
                               "ffffffff81000180 T __sys_read\n"
                               "ffffffff81000180 T ksys_read\n"
                               "ffffffff81000200 D some_data\n"
                               "not a line\n"
                               "ffffffff81000300\n"
                               "ffffffffc0001000 t mod_fn\t[nf_tables]\n"
                               "ffffffffc0001040 d mod_data\t[nf_tables]\n"
                               "ffffffffc0003000 t other_fn\t[ext4]\n"
                               "ffffffffc0000000 t first_fn\t[nf_tables]\n"
                               "ffffffffc0100000 t last_fn\t[bpf]";
    struct names *n = NULL;
    struct err e = {0};
    assert_int_equal(open_text(&n, text, strlen(text), &e), 0);
    struct names_symbol s;
    expect(n, 0xffffffff81000000, "startup_64", 0xffffffff81000000, 0x100, NULL);
    expect(n, 0xffffffff8100017f, "weak_one", 0xffffffff81000100, 0x80, NULL);
    expect(n, 0xffffffff81000180, "ksys_read", 0xffffffff81000180, 0x80, NULL);
    assert_false(names_find(n, 0xffffffff81000200, &s)); /* data ends the function before it */
    assert_false(names_find(n, 0xffffffff80ffffff, &s));
    assert_false(names_find(n, 0, &s));
    expect(n, 0xffffffffc0000fff, "first_fn", 0xffffffffc0000000, 0x1000, "nf_tables");
    expect(n, 0xffffffffc000103f, "mod_fn", 0xffffffffc0001000, 0x40, "nf_tables");
    assert_false(names_find(n, 0xffffffffc0001040, &s));
    /* The last function of a module does not reach to the next module. */
    expect(n, 0xffffffffc0003010, "other_fn", 0xffffffffc0003000, 0x1fff, "ext4");
    expect(n, 0xffffffffc0100000, "last_fn", 0xffffffffc0100000, 0x1fff, "bpf");
    assert_false(names_find(n, UINT64_MAX, &s));
    assert_int_equal(names_kernel_base(n), 0xffffffff81000000);
    assert_int_equal(names_best_source(n), NAMES_KALLSYMS);
    assert_null(names_build_id(n));
    assert_true(names_bytes(n) > sizeof(text) / 4);
    names_close(n);
}

static void test_hidden_addresses(void **state)
{
    (void)state;
    static const char text[] = "0000000000000000 T _text\n0000000000000000 t foo\t[bar]\n";
    struct names *n = (struct names *)&n;
    struct err e = {0};
    assert_int_equal(open_text(&n, text, strlen(text), &e), STAX_EPERMISSION);
    assert_null(n);
    assert_int_equal(e.code, STAX_EPERMISSION);
    assert_non_null(strstr(e.hint, "kptr_restrict"));
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",        "\n\n\n",     "hello", "zzzz T foo\n", "11112222333344445 T too_long\n",
        "ff T \n", "ff D data\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct names *n = NULL;
        struct err e = {0};
        assert_int_equal(open_text(&n, texts[i], strlen(texts[i]), &e), STAX_ECORRUPT);
        assert_null(n);
    }
    static const char odd[] = "ff T a\0b\nfffffffffffffff0 t top\n10 t x\t[unclosed\n20 t y\tz]\n";
    struct names *n = NULL;
    assert_int_equal(open_text(&n, odd, sizeof(odd) - 1, NULL), 0);
    expect(n, 0xff, "a", 0xff, 0xfffffffffffffff0 - 0xff, NULL);
    expect(n, 0xfffffffffffffff8, "top", 0xfffffffffffffff0, 15, NULL);
    expect(n, 0x10, "x", 0x10, 0x10, NULL);
    names_close(n);
}

/* The machine's own kernel, where it can be seen: every text symbol leads back to its address. */
static void test_running_kernel(void **state)
{
    (void)state;
    struct names *n = NULL;
    struct err e = {0};
    int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? STAX_EPERMISSION : names_open_kallsyms(&n, fd, &e);
    if (rc == STAX_EPERMISSION) {
        close(fd);
        skip();
    }
    assert_int_equal(rc, 0);
    struct buf text = {0};
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(fd, SIZE_MAX, &text), 0);
    close(fd);
    size_t n_text = 0;
    size_t n_wrong = 0;
    for (char *save, *line = strtok_r(text.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *end;
        uint64_t address = strtoull(line, &end, 16);
        if (!address || !strchr("tTwW", end[1]) || end[3] == '$') {
            continue;
        }
        struct names_symbol s;
        n_text++;
        n_wrong += !names_find(n, address, &s) || s.start != address || !s.size;
    }
    assert_true(n_text > 1000);
    assert_int_equal(n_wrong, 0);
    print_message("%zu text symbols of the running kernel\n", n_text);
    buf_free(&text);
    names_close(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_hidden_addresses),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_running_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
