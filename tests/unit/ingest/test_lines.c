/*
 * test_lines.c - inlined functions and lines, compared with eu-addr2line on every address of a
 * program built in several ways; and files that lie.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ingest/debug_files.h"
#include "ingest/lines.h"
#include "ingest/names.h"

static char folder[] = "/tmp/stax-lines-XXXXXX";

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    char *argv[] = {"bash", "-c", command, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        fail_msg("%s", command);
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sh("rm -rf %s", folder);
    return 0;
}

/* Every address of the functions of file that are ours, one a line. */
static void list_addresses(const char *file, const char *list)
{
    sh("nm -S --defined-only %s | grep -E ' [tTwW] (main|_ZN6shapes|_ZZN6shapes)' | "
       "while read -r at size rest; do for ((i = 0; i < 16#$size; i++)); do "
       "printf '0x%%x\\n' $((16#$at + i)); done; done > %s",
       file, list);
}

/* Prints what we find the way eu-addr2line -i -f does. */
static size_t print_ours(const char *file, const char *list, const char *to)
{
    struct lines *l;
    struct err e;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    int rc = lines_open(&l, fd, file, &e);
    if (rc) {
        fail_msg("%s: %s", file, e.msg);
    }
    FILE *in = fopen(list, "r");
    FILE *out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    char address[64];
    size_t n_deep = 0;
    while (fgets(address, sizeof(address), in)) {
        struct lines_row rows[LINES_MAX_DEPTH];
        struct buf text = {0};
        size_t n = lines_find(l, strtoull(address, NULL, 16), rows, &text);
        n_deep += n > 2;
        for (size_t i = 0; i < n; i++) {
            struct buf name = {0};
            if (rows[i].function) {
                names_demangle(&name, text.data + rows[i].function, rows[i].language);
            }
            fprintf(out, "%s %s:%u\n", i + 1 < n ? buf_str(&name) : "-", text.data + rows[i].file,
                    rows[i].line);
            buf_free(&name);
        }
        fprintf(out, "\n");
        buf_free(&text);
    }
    assert_true(lines_bytes(l) > 0);
    fclose(in);
    fclose(out);
    lines_close(l);
    return n_deep;
}

static void expect_text(const struct lines_row *row, const struct buf *text, const char *file,
                        unsigned line)
{
    const char *ours = row->file ? text->data + row->file : "";
    if (strcmp(ours, file) != 0 || row->line != line) {
        fail_msg("%s:%u instead of %s:%u", file, line, ours, row->line);
    }
}

static const char *table_text(const struct lines_table *t, uint32_t at)
{
    return at ? t->text.data + at : "";
}

/* What the table says of an address is what lines_find() says. */
static void compare_at(struct lines *l, const struct lines_table *t, uint64_t address)
{
    struct lines_row rows[LINES_MAX_DEPTH];
    struct buf text = {0};
    size_t n = lines_find(l, address, rows, &text), at = 0, depth = 0;
    while (at + 1 < t->n_spans && t->spans[at + 1].address <= address) {
        at++;
    }
    const struct lines_span *span = &t->spans[at];
    uint32_t call = span->call, line = span->line;
    const char *file = table_text(t, span->file);
    for (; call; call = t->calls[call - 1].parent, depth++) {
        const struct lines_inlined *c = &t->calls[call - 1];
        assert_true(c->parent < call && depth + 1 < n);
        expect_text(&rows[depth], &text, file, line);
        assert_string_equal(text.data + rows[depth].function, table_text(t, c->function));
        file = table_text(t, c->file);
        line = c->line;
    }
    if (n) {
        assert_int_equal(n, depth + 1);
        expect_text(&rows[depth], &text, file, line);
    } else {
        assert_true(depth == 0 && !span->file);
    }
    buf_free(&text);
}

/* Every function's table, and one over all code, against every single address. */
static void compare_tables(const char *file)
{
    char list[256], line[128];
    unsigned long long address, size, low = UINT64_MAX, high = 0;
    size_t n_functions = 0, n_calls = 0;
    struct lines *l;
    snprintf(list, sizeof(list), "%s/functions", folder);
    sh("nm -S --defined-only %s | awk 'NF == 4 && $3 ~ /[tTwW]/ {print $1, $2}' | head -400 > %s",
       file, list);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lines_open(&l, fd, file, NULL), 0);
    FILE *in = fopen(list, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in)) {
        struct lines_table t = {0};
        assert_int_equal(sscanf(line, "%llx %llx", &address, &size), 2);
        lines_read_table(l, address, size, &t);
        assert_true(t.n_spans > 0 && t.spans[0].address == address);
        for (unsigned long long at = address; at < address + size; at++) {
            compare_at(l, &t, at);
        }
        n_calls += t.n_calls;
        n_functions++;
        low = address < low ? address : low;
        high = address + size > high ? address + size : high;
        lines_free_table(&t);
    }
    fclose(in);
    struct lines_table all = {0};
    high = high - low < 20000 ? high : low + 20000;
    assert_int_equal(lines_read_table(l, low, high - low, &all), n_calls > 0);
    for (address = low; address < high; address += 3) {
        compare_at(l, &all, address);
    }
    lines_free_table(&all);
    lines_close(l);
    assert_true(n_functions >= 3 && n_calls >= 4);
}

/* Theirs gives columns and discriminators, which we do not keep. tool: eu-addr2line, or binutils'
 * own where eu-addr2line does not look for inlined calls (LTO). */
static void compare(const char *file, const char *tool)
{
    char list[256], ours[256], theirs[256];
    snprintf(list, sizeof(list), "%s/list", folder);
    snprintf(ours, sizeof(ours), "%s/ours", folder);
    snprintf(theirs, sizeof(theirs), "%s/theirs", folder);
    list_addresses(file, list);
    bool is_limited = strcmp(tool, "addr2line") == 0;
    if (is_limited) { /* it gives functions of system headers the name of their caller */
        sh("read -r n sz < <(nm -S %s | awk '$4 == \"main\" {print $1, $2}'); while read -r x; do "
           "((x < 16#$n || x >= 16#$n + 16#$sz)) && echo $x; done < %s > %s.rest; mv %s.rest %s",
           file, list, list, list, list);
    }
    size_t n_deep = print_ours(file, list, ours);
    assert_true(n_deep > 20); /* main > outer > middle > ... */
    sh("while read -r a; do %s -C -i -f -e %s $a | "
       "sed -E 's/ inlined at .*//; s/ \\(discriminator [0-9]+\\)//; s/:([0-9]+):[0-9]+$/:\\1/' | "
       "paste -d ' ' - - | awk '{l[NR] = $0} END {for (i = 1; i <= NR; i++) "
       "{x = l[i]; if (i == NR) sub(/^.* /, \"- \", x); print x}}'; echo; done < %s > %s",
       tool, file, list, theirs);
    if (is_limited) { /* and it takes the file for that of another unit */
        sh("! grep artificial %s && sed -i -E 's#[^ ]*:([0-9]+)$#\\1#' %s %s", ours, ours, theirs);
    }
    sh("diff %s %s > %s/diff || { echo '%s:'; head -20 %s/diff; exit 1; }", ours, theirs, folder,
       file, folder);
    sh("[ $(wc -l < %s) -gt 150 ]", ours);
}

static void build(const char *name, const char *options)
{
    sh("cp tests/workloads/inlines.cpp %s/ && cd %s && g++ -O2 %s -o %s inlines.cpp", folder,
       folder, options, name);
}

static void test_formats(void **state)
{
    (void)state;
    static const char *const ways[][2] = {
        {"dwarf5", "-gdwarf-5"},         {"dwarf4", "-gdwarf-4"},
        {"compressed", "-gdwarf-5 -gz"}, {"static", "-gdwarf-5 -static"},
        {"plain", "-gdwarf-5 -no-pie"},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char file[256];
        build(ways[i][0], ways[i][1]);
        snprintf(file, sizeof(file), "%s/%s", folder, ways[i][0]);
        compare(file, "eu-addr2line");
        if (strcmp(ways[i][0], "static") != 0) { /* mostly libc, which has no debug information */
            compare_tables(file);
        }
    }
    char file[256];
    build("lto", "-gdwarf-5 -flto");
    snprintf(file, sizeof(file), "%s/lto", folder);
    compare(file, "addr2line");
    compare_tables(file);
}

/* eu-addr2line does not look for them in split units either; the same code with and without must
 * give the same. */
static void test_split(void **state)
{
    (void)state;
    static const char *const formats[] = {"4", "5"};
    for (size_t i = 0; i < 2; i++) {
        char options[64], file[256], list[256], to[256];
        for (int is_split = 0; is_split < 2; is_split++) {
            snprintf(options, sizeof(options), "-gdwarf-%s%s", formats[i],
                     is_split ? " -gsplit-dwarf" : "");
            build("program", options);
            snprintf(file, sizeof(file), "%s/program", folder);
            snprintf(list, sizeof(list), "%s/list", folder);
            snprintf(to, sizeof(to), "%s/split%d", folder, is_split);
            list_addresses(file, list);
            assert_true(print_ours(file, list, to) > 20);
            compare_tables(file);
        }
        sh("readelf -S %s/program | grep -q gnu_addr_base || readelf -S %s/program | "
           "grep -q debug_addr",
           folder, folder);
        sh("cmp %s/split0 %s/split1", folder, folder);
    }
}

static void test_dwz(void **state)
{
    (void)state;
    char file[256];
    build("one", "-gdwarf-4");
    build("two", "-gdwarf-4 -DTWO");
    sh("cd %s && mkdir -p .dwz && dwz -m .dwz/common -M .dwz/common one two 2>/dev/null && "
       "readelf -p .gnu_debugaltlink one | grep -q common",
       folder);
    snprintf(file, sizeof(file), "%s/one", folder);
    compare(file, "eu-addr2line");
}

/* What the alternate of a file lacks, "": it is there. */
static void expect_alternate(const char *file, const char *root, int alt_fd, const char *why)
{
    struct lines *l;
    const struct lines_place place = {.path = file, .root = root, .alt_fd = alt_fd};
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lines_open_at(&l, fd, &place, NULL), 0);
    const struct lines_alt *alt = lines_missing_alt(l);
    assert_string_equal(alt ? alt->why : "", why);
    if (alt) {
        assert_string_equal(alt->name, "/nowhere/.dwz/common");
        assert_int_equal(strlen(alt->build_id), 40);
    }
    lines_close(l);
}

/* The target's own root, by path and by build id; a file that somebody has; others are refused. */
static void test_dwz_places(void **state)
{
    (void)state;
    char file[256], root[256], common[256];
    build("one", "-gdwarf-4");
    build("two", "-gdwarf-4 -DTWO");
    sh("cd %s && rm -rf root && mkdir -p root/nowhere/.dwz root/usr/lib/debug && "
       "dwz -m common -M /nowhere/.dwz/common one two 2>/dev/null",
       folder);
    snprintf(file, sizeof(file), "%s/one", folder);
    snprintf(root, sizeof(root), "%s/root", folder);
    snprintf(common, sizeof(common), "%s/common", folder);
    expect_alternate(file, NULL, -1, "is missing");
    expect_alternate(file, root, -1, "is missing");
    int fd = open(common, O_RDONLY | O_CLOEXEC), other = open(file, O_RDONLY | O_CLOEXEC);
    expect_alternate(file, NULL, fd, "");
    expect_alternate(file, NULL, other, "is of another build");
    sh("cd %s && cp common root/nowhere/.dwz/", folder);
    expect_alternate(file, NULL, -1, "is missing");
    expect_alternate(file, root, -1, "");
    sh("cd %s && head -c 2000 common > root/nowhere/.dwz/common", folder);
    expect_alternate(file, root, -1, "is damaged");
    sh("cd %s && id=$(readelf -n common | sed -n 's/.*Build ID: //p') && "
       "at=root/usr/lib/debug/.build-id/${id:0:2} && mkdir -p $at && cp common $at/${id:2}.debug",
       folder);
    expect_alternate(file, NULL, -1, "is missing");
    expect_alternate(file, root, -1, "");
    close(fd);
    close(other);
}

/* The functions that are inlined into code in list, one a line: their names as symbols have them.
 */
static void print_inlined(const char *file, const char *function, const char *to)
{
    char list[256], address[64];
    struct lines *l;
    snprintf(list, sizeof(list), "%s/list", folder);
    sh("read -r at size < <(nm -S %s | awk '$4 == \"%s\" {print $1, $2}'); "
       "for ((i = 0; i < 16#$size; i++)); do printf '0x%%x\n' $((16#$at + i)); done > %s",
       file, function, list);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lines_open(&l, fd, file, NULL), 0);
    FILE *in = fopen(list, "r"), *out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    while (fgets(address, sizeof(address), in)) {
        struct lines_row rows[LINES_MAX_DEPTH];
        struct buf text = {0};
        size_t n = lines_find(l, strtoull(address, NULL, 16), rows, &text);
        for (size_t i = 0; i + 1 < n; i++) {
            struct buf name = {0};
            const char *linkage = text.data + rows[i].function;
            names_demangle(&name, linkage, names_language(linkage));
            if (rows[i].is_static) {
                assert_true(rows[i].declared);
                assert_int_equal(rows[i].address, 0);
                fprintf(out, "%s\n", buf_str(&name));
            }
            buf_free(&name);
        }
        buf_free(&text);
    }
    fclose(in);
    fclose(out);
    lines_close(l);
}

/* GCC gives functions that only their file can call no linkage name. What is inlined must be called
 * the same as where it is not, for who compares two builds. */
static void test_local_names(void **state)
{
    (void)state;
    static const char *const ways[] = {"-gdwarf-5", "-gdwarf-4", "-gdwarf-5 -gsplit-dwarf",
                                       "-gdwarf-5 -flto"};
    char file[256], ours[256];
    sh("cp tests/workloads/local_names.cpp %s/ && cd %s && g++ -w -O1 -g -DKIND=noinline "
       "-o called local_names.cpp && "
       "nm -C called | sed -nE 's/^[0-9a-f]+ t //p' | grep '(' | sort -u > names && "
       "[ $(wc -l < names) -gt 35 ]",
       folder, folder);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        sh("cd %s && g++ -w -O1 %s -DKIND=always_inline -o inlined local_names.cpp", folder,
           ways[i]);
        snprintf(file, sizeof(file), "%s/inlined", folder);
        snprintf(ours, sizeof(ours), "%s/ours", folder);
        print_inlined(file, "_Z4workiRSoNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
                      ours);
        sh("sort -u %s > %s.sorted && diff %s/names %s.sorted", ours, ours, folder, ours);
    }
}

static void try_damaged(const char *file)
{
    struct lines *l;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (lines_open(&l, fd, file, NULL) != 0) {
        close(fd);
        return;
    }
    for (uint64_t address = 0x1000; address < 0x1800; address += 5) {
        struct lines_row rows[LINES_MAX_DEPTH];
        struct buf text = {0};
        assert_true(lines_find(l, address, rows, &text) <= LINES_MAX_DEPTH);
        buf_free(&text);
    }
    struct lines_table t = {0};
    lines_read_table(l, 0x1000, 0x2000, &t);
    assert_true(t.n_spans <= LINES_TABLE_MAX);
    for (size_t i = 0; i < t.n_calls; i++) {
        assert_true(t.calls[i].parent <= i);
    }
    lines_free_table(&t);
    lines_close(l);
}

/* Bytes changed all over, and the file cut off, also while it is open. */
static void test_damaged(void **state)
{
    (void)state;
    char good[256], bad[256];
    build("victim", "-gdwarf-5");
    snprintf(good, sizeof(good), "%s/victim", folder);
    snprintf(bad, sizeof(bad), "%s/damaged", folder);
    struct buf bytes = {0};
    FILE *in = fopen(good, "r");
    int c;
    while ((c = fgetc(in)) != EOF) {
        buf_addch(&bytes, (char)c);
    }
    fclose(in);
    srand(7);
    for (int round = 0; round < 400; round++) {
        FILE *out = fopen(bad, "w");
        char *copy = mem_new(bytes.len, 1);
        memcpy(copy, bytes.data, bytes.len);
        for (int i = 0; i < 1 + rand() % 60; i++) {
            copy[0x3000 + (size_t)rand() % (bytes.len - 0x3000)] = (char)rand();
        }
        size_t n = round % 4 ? bytes.len : (size_t)rand() % bytes.len;
        fwrite(copy, 1, n, out);
        fclose(out);
        free(copy);
        try_damaged(bad);
    }
    buf_free(&bytes);
}

/* Stubs are named as objdump names them, with and without IBT, lazy or not. */
static void test_plt(void **state)
{
    (void)state;
    static const char *const ways[] = {"-fcf-protection=full -Wl,-z,lazy", "-fcf-protection=none",
                                       "-Wl,-z,now -fcf-protection=none -Wl,-z,lazy", "-no-pie"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char file[256], list[256], line[512], name[256];
        unsigned long long address;
        struct names *n;
        size_t n_stubs = 0;
        build("stubs", ways[i]);
        snprintf(file, sizeof(file), "%s/stubs", folder);
        snprintf(list, sizeof(list), "%s/stubs.list", folder);
        sh("objdump -d -j .plt -j .plt.sec -j .plt.got %s 2>/dev/null | "
           "sed -nE 's/^([0-9a-f]+) <(.*@plt)>:$/\\1 \\2/p' | grep -v '\\*ABS\\*' > %s",
           file, list);
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        assert_int_equal(names_open_elf(&n, fd, NULL), 0);
        close(fd);
        FILE *in = fopen(list, "r");
        assert_non_null(in);
        while (fgets(line, sizeof(line), in)) {
            struct names_symbol found;
            assert_int_equal(sscanf(line, "%llx %255s", &address, name), 2);
            assert_true(names_find(n, address + 2, &found));
            assert_string_equal(found.linkage_name, name);
            assert_int_equal(found.source, NAMES_PLT);
            n_stubs++;
        }
        fclose(in);
        names_close(n);
        assert_true(n_stubs >= 3);
    }
}

/* Programs without dynamic linking have stubs, too, for functions that are chosen when the program
 * is loaded: the slot's relocation gives the address of what chooses. */
static void list_chosen(const char *options, const char *list)
{
    sh("cd %s && printf '#include <%%s.h>\\n' math string > chosen.c && "
       "echo 'char b[9]; int main(int c, char **v) "
       "{ return strlen(b) + cos(c) + !memchr(b, c, 5) + !strchr(*v, c); }' >> chosen.c && "
       "gcc -fno-builtin %s -o chosen chosen.c -lm",
       folder, options);
    /* The address of a stub, then every name of its function. */
    sh("cd %s && readelf -rW chosen | awk '/IRELATIV/ {sub(/^0+/, \"\", $1); print $1, $4}' > "
       "slots && "
       "nm chosen | awk '$2 == \"i\" {sub(/^0+/, \"\", $1); names[$1] = names[$1] \" \" $3} "
       "END {for (a in names) print a names[a]}' > functions && "
       "objdump -d -j .plt -j .iplt -j .plt.sec chosen 2>/dev/null | sed -nE "
       "'s/^ +([0-9a-f]+):.*jmp +\\*.*# ([0-9a-f]+) .*/\\1 \\2/p' > stubs && "
       "awk 'FILENAME == \"functions\" {a = $1; $1 = \"\"; names[a] = $0} "
       "FILENAME == \"slots\" {slot[$1] = names[$2]} "
       "FILENAME == \"stubs\" && slot[$2] {print $1 slot[$2] \" \"}' functions slots stubs > %s",
       folder, list);
}

static void check_chosen(const struct names *n, const char *line, struct buf *all)
{
    struct names_symbol found;
    char *names;
    uint64_t address = strtoull(line, &names, 16);
    assert_true(names_find(n, address, &found));
    if (found.source != NAMES_PLT) {
        fail_msg("%s instead of a stub for%s", found.linkage_name, names);
    }
    size_t len = strcspn(found.linkage_name, "@");
    assert_string_equal(found.linkage_name + len, "@plt");
    char name[256];
    snprintf(name, sizeof(name), " %.*s ", (int)len, found.linkage_name);
    assert_non_null(strstr(names, name));
    buf_addstr(all, name);
}

static void test_plt_of_chosen(void **state)
{
    (void)state;
    static const char *const ways[] = {"-static", "-static-pie", "-static -fuse-ld=gold",
                                       "-static -Wl,-z,ibtplt -fcf-protection=full"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char file[256], list[256], line[1024];
        struct names *n;
        struct buf all = {0};
        size_t n_stubs = 0;
        snprintf(file, sizeof(file), "%s/chosen", folder);
        snprintf(list, sizeof(list), "%s/chosen.list", folder);
        list_chosen(ways[i], list);
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        assert_int_equal(names_open_elf(&n, fd, NULL), 0);
        close(fd);
        FILE *in = fopen(list, "r");
        assert_non_null(in);
        for (; fgets(line, sizeof(line), in); n_stubs++) {
            check_chosen(n, line, &all);
        }
        fclose(in);
        names_close(n);
        if (n_stubs < 15 || !strstr(buf_str(&all), " cos ") || !strstr(buf_str(&all), " strlen ")) {
            fail_msg("%s: %zu stubs:%s", ways[i], n_stubs, buf_str(&all));
        }
        buf_free(&all);
    }
}

static void test_none(void **state)
{
    (void)state;
    struct lines *l;
    struct err e;
    char file[256];
    snprintf(file, sizeof(file), "%s/bare", folder);
    build("bare", "-s");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lines_open(&l, fd, file, &e), STAX_ENOTFOUND);
    close(fd);
}

/* The compressed section's own word for its size is believed only so far. */
static void test_compressed_that_lies(void **state)
{
    (void)state;
    static const uint8_t sizes[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, /* beyond all memory */
        {0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},             /* within the bound, not in the file */
        {0, 0, 0, 0, 0, 0, 0, 1},                         /* less than there is */
    };
    char file[256];
    build("packed", "-gdwarf-4 -gz=zlib-gnu");
    snprintf(file, sizeof(file), "%s/packed", folder);
    compare(file, "eu-addr2line");
    struct buf bytes = {0};
    assert_int_equal(fd_read_file(file, 1 << 26, &bytes), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (char *at = bytes.data;
             (at = memmem(at, (size_t)(bytes.data + bytes.len - at), "ZLIB", 4)); at += 12) {
            memcpy(at + 4, sizes[i], 8);
        }
        snprintf(file, sizeof(file), "%s/lying%zu", folder, i);
        int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(fd_write_all(fd, bytes.data, bytes.len), 0);
        close(fd);
        try_damaged(file);
    }
    buf_free(&bytes);
}

/* The language that lines say at the start of a function. */
static void expect_language(const char *file, const char *function, const char *language)
{
    char path[256], command[512];
    unsigned long long address = 0;
    struct lines *l;
    struct lines_row rows[LINES_MAX_DEPTH];
    struct buf text = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    snprintf(command, sizeof(command), "nm %s | awk '$3 ~ /%s/ {print $1; exit}'", path, function);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    assert_int_equal(fscanf(in, "%llx", &address), 1);
    pclose(in);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lines_open(&l, fd, path, NULL), 0);
    assert_true(lines_find(l, address, rows, &text) > 0);
    assert_string_equal(rows[0].language, language);
    buf_free(&text);
    lines_close(l);
}

static void test_languages(void **state)
{
    (void)state;
    build("cxx", "-gdwarf-5");
    expect_language("cxx", "^main$", "c++");
    build("cxx_split", "-gdwarf-5 -gsplit-dwarf");
    expect_language("cxx_split", "^main$", "c++");
    sh("cd %s && echo 'int main(void) { return 0; }' > c.c && gcc -g -o c c.c && gcc -std=c89 "
       "-gdwarf-4 -o c89 c.c",
       folder);
    expect_language("c", "^main$", "c");
    expect_language("c89", "^main$", "c");
}

/* Lines and inlined functions of a Rust function; eu-addr2line looks for no inlined calls there. */
static void test_rust(void **state)
{
    (void)state;
    char file[256], list[256], ours[256], theirs[256];
    if (system("command -v rustc >/dev/null && rustc --version >/dev/null 2>&1") != 0) {
        skip();
    }
    sh("cd %s && printf '%%s\\n' '#[inline(always)] fn inner(x: u64) -> u64 { x.wrapping_mul(3) ^ "
       "x.rotate_left(7) }' '#[inline(always)] fn middle(x: u64) -> u64 { inner(x)' "
       "'+ inner(x / 3) }' '#[inline(never)] pub fn outer_fn(x: u64) -> u64 { let mut s = 0u64; "
       "for i in 0..x {' 's = s.wrapping_add(middle(i));' '} s }' 'fn main() { println!(\"{}\", "
       "outer_fn(std::env::args().count() as u64)); }' > r.rs && "
       "rustc -O -g -C symbol-mangling-version=v0 -o rust r.rs",
       folder);
    expect_language("rust", "outer_fn", "rust");
    snprintf(file, sizeof(file), "%s/rust", folder);
    snprintf(list, sizeof(list), "%s/list", folder);
    snprintf(ours, sizeof(ours), "%s/ours", folder);
    snprintf(theirs, sizeof(theirs), "%s/theirs", folder);
    sh("nm -S --defined-only %s | grep -E ' [tT] .*outer_fn' | while read -r at size rest; do for "
       "((i = 0; i < 16#$size; i++)); do printf '0x%%x\\n' $((16#$at + i)); done; done > %s && [ "
       "-s %s ]",
       file, list, list);
    print_ours(file, list, ours);
    sh("while read -r a; do addr2line -i -e %s $a | sed -E 's/ \\(discriminator [0-9]+\\)//; "
       "s/:[?]$/:0/'; echo; done < %s > %s",
       file, list, theirs);
    sh("sed 's/^.* //' %s | diff - %s > %s/diff || { head -20 %s/diff; exit 1; }", ours, theirs,
       folder, folder);
    sh("grep -q 'r.rs:1$' %s", ours); /* inner is there */
    sh("grep -q '^r::inner ' %s && grep -q '^r::middle ' %s", ours, ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),     cmocka_unit_test(test_split),
        cmocka_unit_test(test_dwz),         cmocka_unit_test(test_dwz_places),
        cmocka_unit_test(test_local_names), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_plt),         cmocka_unit_test(test_plt_of_chosen),
        cmocka_unit_test(test_none),        cmocka_unit_test(test_compressed_that_lies),

        cmocka_unit_test(test_languages),   cmocka_unit_test(test_rust),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
