/* Which package a file came in, from lists as dpkg writes them, and from others. */
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

#include "ingest/packages.h"

static char folder[] = "/tmp/stax-packages-XXXXXX";

static void write_list(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/var/lib/dpkg/info/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    char command[256];
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(command, sizeof(command), "mkdir -p %s/var/lib/dpkg/info", folder);
    return system(command);
}

static int tear_down(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void expect(struct packages *p, const char *path, const char *package)
{
    const char *owner = packages_owner(p, folder, path);
    if (!package) {
        assert_null(owner);
    } else {
        assert_non_null(owner);
        assert_string_equal(owner, package);
    }
}

static void test_owners(void **state)
{
    (void)state;
    write_list("libc6:amd64.list", "/.\n/lib\n/lib/x86_64-linux-gnu/libc.so.6\n");
    write_list("tool.list", "/usr/bin/tool\n/usr/share/doc/tool/x.so\n/opt/tool/lib.so");
    write_list("tool.md5sums", "/usr/bin/other\n");
    write_list("a\033b.list", "/usr/bin/odd\n");
    struct packages *p = packages_new();
    expect(p, "/lib/x86_64-linux-gnu/libc.so.6", "libc6");
    expect(p, "/usr/lib/x86_64-linux-gnu/libc.so.6", "libc6"); /* merged /usr */
    expect(p, "/usr/bin/tool", "tool");
    expect(p, "/bin/tool", "tool");
    expect(p, "/opt/tool/lib.so", "tool"); /* the last line has no end */
    expect(p, "/usr/bin/other", NULL);
    expect(p, "/usr/share/doc/tool/x.so", NULL);
    expect(p, "/usr/bin/odd", "a\\x1bb");
    expect(p, "tool", NULL);
    expect(p, "", NULL);
    assert_true(packages_bytes(p) < 1 << 20);
    packages_free(p);
}

static void test_no_lists(void **state)
{
    (void)state;
    struct packages *p = packages_new();
    assert_null(packages_owner(p, "/nowhere", "/usr/bin/tool"));
    for (int i = 0; i < 100; i++) { /* more roots than are kept */
        char root[32];
        snprintf(root, sizeof(root), "/nowhere%d", i);
        assert_null(packages_owner(p, root, "/usr/bin/tool"));
    }
    packages_free(p);
    packages_free(NULL);
}

/* Lists that are no files, and one of many long lines. */
static void test_odd_lists(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof(path), "%s/var/lib/dpkg/info/fifo.list", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/var/lib/dpkg/info/directory.list", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/elsewhere", folder);
    FILE *f = fopen(path, "w"); /* what a link leads to is no list */
    assert_non_null(f);
    fputs("/usr/bin/linked\n", f);
    fclose(f);
    char link[256];
    snprintf(link, sizeof(link), "%s/var/lib/dpkg/info/link.list", folder);
    assert_int_equal(symlink(path, link), 0);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    memset(text, 'x', 1 << 20);
    for (size_t i = 0; i < 1 << 20; i += 2) {
        text[i] = '\n';
    }
    text[(1 << 20) - 1] = '\0';
    write_list("many.list", text);
    free(text);
    struct packages *p = packages_new();
    expect(p, "/usr/bin/tool", "tool");
    expect(p, "/usr/bin/linked", NULL);
    packages_free(p);
}

/* Links on the way to the lists stay in the root that they are of. */
static void test_roots_are_not_left(void **state)
{
    (void)state;
    char command[1024];
    snprintf(command, sizeof(command),
             "mkdir -p %s/in/data/dpkg/info %s/out/var/lib; echo /usr/bin/in > "
             "%s/in/data/dpkg/info/in.list; ln -s /data %s/in/var-lib; mkdir %s/in/var; ln -s "
             "/var-lib %s/in/var/lib; ln -s %s/var/lib/dpkg %s/out/var/lib/dpkg",
             folder, folder, folder, folder, folder, folder, folder, folder);
    assert_int_equal(system(command), 0);
    struct packages *p = packages_new();
    char root[128];
    snprintf(root, sizeof(root), "%s/in", folder);
    const char *owner = packages_owner(p, root, "/usr/bin/in");
    assert_non_null(owner);
    assert_string_equal(owner, "in");
    snprintf(root, sizeof(root), "%s/out", folder); /* the lists are of another root */
    assert_null(packages_owner(p, root, "/usr/bin/tool"));
    expect(p, "/usr/bin/tool", "tool");
    packages_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_no_lists),
        cmocka_unit_test(test_odd_lists),
        cmocka_unit_test(test_roots_are_not_left),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
