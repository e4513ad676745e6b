/*
 * Real ELF files: every symbol as nm has it, names by address as eu-addr2line has them, function
 * extents as readelf has them. A file or tool that a machine lacks is skipped by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/names.h"

/* A program with C++ names, local functions, an IFUNC, a weak alias and bare assembly. */
static const char program[] =
    "#include <map>\n#include <string>\n#include <vector>\n#include <cstdio>\n"
    "namespace app { template <class T> struct box { T v; __attribute__((noinline)) T get() const"
    " { return v; } };\n"
    "static __attribute__((noinline)) int local(int x) { return x * 3; }\n"
    "__attribute__((noinline)) int run(std::vector<int> const &v) { int s = 0; for (int x : v)"
    " s += local(x); return s; } }\n"
    "extern \"C\" { int fast(int x) { return x + 1; } typedef int fn(int);\n"
    "fn *choose() { return fast; } int chosen(int) "
    "__attribute__((ifunc(\"choose\")));\n"
    "int other(int) __attribute__((weak, alias(\"fast\"))); int bare(int); }\n"
    "asm(\".text\\n.globl bare\\nbare: lea 7(%rdi), %eax\\nret\\n\");\n"
    "int main(int c, char **) { std::map<std::string, int> m; m[\"a\"] = c;\n"
    "app::box<std::string> b{\"x\"}; printf(\"%d %s\\n\", app::run({1, c}) + m[\"a\"] + chosen(c) +"
    " bare(c), b.get().c_str()); }\n";

struct truth {
    uint64_t start, size;
    char type;
    char *name;
};

struct truths {
    struct truth *items;
    size_t n, cap;
};

static void truths_free(struct truths *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->items[i].name);
    }
    free(t->items);
}

__attribute__((format(printf, 1, 2))) static FILE *run_tool(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    return f;
}

static bool has_tool(const char *tool)
{
    char command[128];
    snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
    return system(command) == 0;
}

static int by_start(const void *a, const void *b)
{
    uint64_t x = ((const struct truth *)a)->start;
    uint64_t y = ((const struct truth *)b)->start;
    return x < y ? -1 : x > y;
}

/* Text symbols by nm; option is "" or "-D". */
static struct truths read_nm(const char *path, const char *option)
{
    struct truths t = {0};
    char *line = NULL;
    size_t cap = 0;
    FILE *f = run_tool("nm -P --defined-only %s '%s' 2>/dev/null", option, path);
    while (getline(&line, &cap, f) > 0) {
        char *save;
        char *name = strtok_r(line, " \n", &save);
        char *type = strtok_r(NULL, " \n", &save);
        char *value = strtok_r(NULL, " \n", &save);
        char *size = strtok_r(NULL, " \n", &save);
        if (!value || !strchr("tTwWi", type[0])) {
            continue;
        }
        mem_reserve(&t.items, &t.cap, t.n + 1, sizeof(*t.items));
        t.items[t.n++] = (struct truth){.start = strtoull(value, NULL, 16),
                                        .type = type[0],
                                        .size = size ? strtoull(size, NULL, 16) : 0,
                                        .name = mem_strndup(name, strcspn(name, "@"))};
    }
    free(line);
    pclose(f);
    qsort(t.items, t.n, sizeof(*t.items), by_start);
    return t;
}

static bool has_name(const struct truths *t, uint64_t start, const char *name)
{
    struct truth key = {.start = start};
    const struct truth *hit = bsearch(&key, t->items, t->n, sizeof(*t->items), by_start);
    if (!hit) {
        return false;
    }
    while (hit > t->items && hit[-1].start == start) {
        hit--;
    }
    for (; hit < t->items + t->n && hit->start == start; hit++) {
        size_t len = strlen(hit->name);
        if (strncmp(hit->name, name, len) == 0 && (!name[len] || name[len] == '@')) {
            return true;
        }
    }
    return false;
}

static bool is_contained(const struct names_symbol *s, uint64_t address)
{
    return address >= s->start && address - s->start < s->size;
}

/* Every symbol of nm is found by its first and last byte. */
static size_t compare_with_nm(const struct names *n, const char *path, const char *option)
{
    struct truths t = read_nm(path, option);
    size_t n_wrong = 0;
    size_t n_sized = 0;
    for (size_t i = 0; i < t.n; i++) {
        const struct truth *x = &t.items[i];
        struct names_symbol s;
        bool is_found = names_find(n, x->start, &s) && is_contained(&s, x->start);
        /* Without a size it may be a label in a function, weak without a type even data. */
        bool is_right = is_found ? !x->size || (s.start == x->start && s.linkage_name &&
                                                has_name(&t, s.start, s.linkage_name))
                                 : !x->size && strchr("wW", x->type) != NULL;
        if (x->size) {
            uint64_t last = x->start + x->size - 1;
            is_right = is_right && names_find(n, last, &s) && is_contained(&s, last) &&
                       s.start >= x->start;
            n_sized++;
        }
        if (!is_right && n_wrong++ < 5) {
            print_message("%s: %" PRIx64 " %s\n", path, x->start, x->name);
        }
    }
    assert_int_equal(n_wrong, 0);
    truths_free(&t);
    return n_sized;
}

/* The middle of up to some thousand functions, asked of eu-addr2line (whose lookup is linear),
 * without the debug files that it would otherwise take names of inlined functions from. */
static size_t compare_with_addr2line(const struct names *n, const char *path, const char *option)
{
    struct truths t = read_nm(path, option);
    char list[] = "/tmp/names-XXXXXX";
    int fd = mkstemp(list);
    assert_true(fd >= 0);
    struct buf text = {0};
    size_t step = t.n / 2000 + 1;
    for (size_t i = 0; i < t.n; i += step) {
        buf_addf(&text, "0x%" PRIx64 "\n", t.items[i].start + t.items[i].size / 2);
    }
    assert_int_equal(fd_write_all(fd, buf_str(&text), text.len), 0);
    close(fd);
    FILE *f = run_tool("eu-addr2line --debuginfo-path=/nonexistent -f -e '%s' < %s 2>/dev/null",
                       path, list);
    char *name = NULL;
    char *place = NULL;
    size_t cap = 0;
    size_t place_cap = 0;
    size_t n_compared = 0;
    size_t n_wrong = 0;
    for (size_t i = 0; i < t.n && getline(&name, &cap, f) > 0; i += step) {
        assert_true(getline(&place, &place_cap, f) > 0);
        name[strcspn(name, "@\n")] = '\0';
        if (!t.items[i].size || strcmp(name, "??") == 0) {
            continue;
        }
        uint64_t address = t.items[i].start + t.items[i].size / 2;
        struct names_symbol s;
        bool is_right = names_find(n, address, &s) && has_name(&t, s.start, name);
        n_compared++;
        if (!is_right && n_wrong++ < 5) {
            print_message("%s: %" PRIx64 " %s\n", path, address, name);
        }
    }
    pclose(f);
    unlink(list);
    free(name);
    free(place);
    buf_free(&text);
    truths_free(&t);
    assert_int_equal(n_wrong, 0);
    return n_compared;
}

/* First and last byte of every FDE belong to a function that starts there, or to a symbol. */
static size_t compare_with_readelf(const struct names *n, const char *path)
{
    FILE *f = run_tool("readelf -wf '%s' 2>/dev/null", path);
    char *line = NULL;
    size_t cap = 0;
    size_t n_extents = 0;
    size_t n_wrong = 0;
    while (getline(&line, &cap, f) > 0) {
        uint64_t from;
        uint64_t to;
        const char *pc = strstr(line, "pc=");
        if (!pc || sscanf(pc, "pc=%" SCNx64 "..%" SCNx64, &from, &to) != 2 || to <= from) {
            continue;
        }
        struct names_symbol s;
        bool is_right = names_find(n, from, &s);
        if (is_right && !s.linkage_name) {
            is_right = s.start == from && s.size == to - from && s.source == NAMES_EH_FRAME;
            n_extents++;
        }
        if (!is_right && n_wrong++ < 5) {
            print_message("%s: %s", path, line);
        }
    }
    free(line);
    pclose(f);
    assert_int_equal(n_wrong, 0);
    return n_extents;
}

static char *readelf_build_id(const char *path)
{
    FILE *f = run_tool("readelf -n '%s' 2>/dev/null | sed -n 's/.*Build ID: //p'", path);
    char id[256] = "";
    if (fgets(id, sizeof(id), f)) {
        id[strcspn(id, "\n")] = '\0';
    }
    pclose(f);
    return mem_strdup(id);
}

static void compare_file(const char *path, const char *option, enum names_source source)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("%s is not there\n", path);
        skip();
    }
    struct names *n = NULL;
    struct err e = {0};
    int64_t before = clock_monotonic_ns();
    assert_int_equal(names_open_elf(&n, fd, &e), 0);
    int64_t after = clock_monotonic_ns();
    close(fd);
    assert_int_equal(names_best_source(n), source);
    size_t n_symbols = compare_with_nm(n, path, option);
    assert_true(n_symbols > 0);
    size_t n_asked = has_tool("eu-addr2line") ? compare_with_addr2line(n, path, option) : 0;
    size_t n_extents = compare_with_readelf(n, path);
    print_message("%s: %zu symbols as nm, %zu as eu-addr2line, %zu extents as readelf; "
                  "%.1f ms, %zu KiB\n",
                  path, n_symbols, n_asked, n_extents, (double)(after - before) / 1e6,
                  names_bytes(n) / 1024);
    char *id = readelf_build_id(path);
    assert_string_equal(id, names_build_id(n) ? names_build_id(n) : "");
    free(id);
    names_close(n);
}

static void test_libc(void **state)
{
    (void)state;
    compare_file("/lib/x86_64-linux-gnu/libc.so.6", "-D", NAMES_DYNSYM);
}

static void test_python(void **state)
{
    (void)state;
    compare_file("/usr/bin/python3.11", "-D", NAMES_DYNSYM);
}

static void test_git(void **state)
{
    (void)state;
    compare_file("/usr/bin/git", "-D", NAMES_DYNSYM);
}

static void test_llvm(void **state)
{
    (void)state;
    compare_file("/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "-D", NAMES_DYNSYM);
}

/* Builds the program in a fresh folder; the path is then FOLDER/program. */
static void build_program(char *folder, const char *flags)
{
    if (!has_tool("c++")) {
        print_message("c++ is not there\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    char path[256];
    snprintf(path, sizeof(path), "%s/program.cc", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, program, strlen(program)), 0);
    close(fd);
    char command[512];
    snprintf(command, sizeof(command), "cd '%s' && c++ -O1 %s -o program program.cc", folder,
             flags);
    assert_int_equal(system(command), 0);
}

static void remove_folder(const char *folder)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void test_cplus_program(void **state)
{
    (void)state;
    char folder[] = "/tmp/names-XXXXXX";
    char path[64];
    build_program(folder, "");
    snprintf(path, sizeof(path), "%s/program", folder);
    compare_file(path, "", NAMES_SYMTAB);
    struct names *n = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(names_open_elf(&n, fd, NULL), 0);
    close(fd);
    struct truths t = read_nm(path, "");
    size_t n_seen = 0;
    for (size_t i = 0; i < t.n; i++) {
        struct names_symbol s;
        struct buf text = {0};
        if (names_find(n, t.items[i].start, &s) && s.linkage_name) {
            names_demangle(&text, s.linkage_name, s.language);
        }
        n_seen += strncmp(buf_str(&text), "app::run(std::vector<int", 24) == 0;
        n_seen += strcmp(t.items[i].name, "bare") == 0 && strcmp(buf_str(&text), "bare") == 0;
        n_seen += strcmp(t.items[i].name, "other") == 0 && strcmp(buf_str(&text), "fast") == 0;
        buf_free(&text);
    }
    assert_int_equal(n_seen, 3);
    truths_free(&t);
    names_close(n);
    remove_folder(folder);
}

/* Without any symbol, and then without section headers, the functions' extents are left. */
static void test_stripped_program(void **state)
{
    (void)state;
    char folder[] = "/tmp/names-XXXXXX";
    char path[64];
    build_program(folder, "-s -static -Wl,--eh-frame-hdr");
    snprintf(path, sizeof(path), "%s/program", folder);
    struct names *n = NULL;
    struct err e = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(names_open_elf(&n, fd, &e), 0);
    assert_int_equal(names_best_source(n), NAMES_EH_FRAME);
    size_t n_extents = compare_with_readelf(n, path);
    assert_true(n_extents > 1000);
    names_close(n);
    static const char zeros[8];
    assert_int_equal(pwrite(fd, zeros, 8, 40), 8); /* e_shoff */
    assert_int_equal(pwrite(fd, zeros, 4, 60), 4); /* e_shnum, e_shstrndx */
    struct names *bare = NULL;
    assert_int_equal(names_open_elf(&bare, fd, &e), 0);
    assert_int_equal(names_best_source(bare), NAMES_EH_FRAME);
    struct names_symbol s;
    size_t n_found = 0;
    for (uint64_t a = 0x400000; a < 0x800000; a++) {
        n_found += names_find(bare, a, &s) && s.start == a;
    }
    assert_int_equal(n_found, n_extents);
    names_close(bare);
    close(fd);
    remove_folder(folder);
}

/* An address of this very process by way of the mapped file, as a sample goes. */
static void test_own_function(void **state)
{
    (void)state;
    FILE *f = fopen("/proc/self/maps", "re");
    uint64_t pc = (uint64_t)(uintptr_t)test_own_function + 4;
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t offset = 0;
    char line[1024];
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &from, &to, &offset) == 3 &&
            pc >= from && pc < to) {
            break;
        }
    }
    fclose(f);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct names *n = NULL;
    assert_int_equal(names_open_elf(&n, fd, NULL), 0);
    close(fd);
    uint64_t address;
    struct names_symbol s;
    assert_true(names_address_of_offset(n, pc - from + offset, &address));
    assert_true(names_find(n, address, &s));
    assert_string_equal(s.linkage_name, "test_own_function");
    assert_int_equal(address - s.start, 4);
    names_close(n);
}

/* A library whose file is gone: its memory says which build it is and where an address lies. */
static void test_memory_of_a_file_that_is_gone(void **state)
{
    (void)state;
    char path[] = "/tmp/stax-gone-XXXXXX.so", command[512];
    int fd = mkstemps(path, 3);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof(command),
             "echo 'int gone_function(int x) { return x * 7; }' | gcc -O2 -shared -fPIC "
             "-Wl,--build-id=sha1 -x c -o %s -",
             path);
    assert_int_equal(system(command), 0);
    void *library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    uint64_t function = (uint64_t)(uintptr_t)dlsym(library, "gone_function");
    struct names *before, *after;
    struct names_symbol expected, found;
    struct stat st;
    struct err e = {0};
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(names_open_elf(&before, fd, &e), 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    Dl_info info;
    assert_int_not_equal(dladdr((void *)(uintptr_t)function, &info), 0);
    uint64_t address = function - (uint64_t)(uintptr_t)info.dli_fbase, translated;
    if (names_open_memory(&after, getpid(), function, st.st_ino, &e) != 0) {
        fail_msg("%s", e.msg);
    }
    assert_non_null(names_build_id(after));
    assert_string_equal(names_build_id(after), names_build_id(before));
    assert_true(names_find(before, address, &expected));
    assert_true(names_find(after, address, &found));
    assert_int_equal(found.start, expected.start);
    assert_null(found.linkage_name);
    assert_true(names_address_of_offset(after, 0x1000, &translated));
    names_close(after);
    assert_int_equal(names_open_memory(&after, getpid(), function, st.st_ino + 1, &e),
                     STAX_ENOTFOUND);
    assert_int_equal(names_open_memory(&after, getpid(), 0, st.st_ino, &e), STAX_ENOTFOUND);
    assert_null(after);
    names_close(before);
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_a_file_that_is_gone),
        cmocka_unit_test(test_libc),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_git),
        cmocka_unit_test(test_llvm),
        cmocka_unit_test(test_cplus_program),
        cmocka_unit_test(test_stripped_program),
        cmocka_unit_test(test_own_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
