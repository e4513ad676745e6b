/* jitdumps and perf maps: bytes in, loads out; either byte order, cut anywhere, hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ingest/jit_names.h"
#include "base/jitdump.h"
#include "ingest/perf_map.h"

/* ---- writing a dump ---- */

struct dump {
    struct buf bytes;
    bool is_big;
};

static void put(struct dump *d, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned shift = 8 * (d->is_big ? n - 1 - i : i);
        buf_addch(&d->bytes, (char)(value >> shift));
    }
}

static void put_header(struct dump *d, uint32_t version, uint64_t flags)
{
    put(d, 0x4a695444, 4);
    put(d, version, 4);
    put(d, 40, 4);
    put(d, 62, 4);
    put(d, 0, 4);
    put(d, 4711, 4);
    put(d, 1, 8);
    put(d, flags, 8);
}

static void put_record(struct dump *d, uint32_t id, uint32_t size, uint64_t ts)
{
    put(d, id, 4);
    put(d, size, 4);
    put(d, ts, 8);
}

static void put_load(struct dump *d, uint64_t ts, uint64_t address, const char *name, size_t n_code)
{
    put_record(d, 0, (uint32_t)(56 + strlen(name) + 1 + n_code), ts);
    put(d, 4711, 4);
    put(d, 4712, 4);
    put(d, address, 8);
    put(d, address, 8);
    put(d, n_code, 8);
    put(d, 1, 8);
    buf_add(&d->bytes, name, strlen(name) + 1);
    for (size_t i = 0; i < n_code; i++) {
        buf_addch(&d->bytes, (char)0x90);
    }
}

static void put_move(struct dump *d, uint64_t ts, uint64_t from, uint64_t to, uint64_t size)
{
    put_record(d, 1, 64, ts);
    put(d, 4711, 4);
    put(d, 4712, 4);
    put(d, to, 8);
    put(d, from, 8);
    put(d, to, 8);
    put(d, size, 8);
    put(d, 1, 8);
}

/* Lines at base, base + 8, ...; the second file name repeats the first. */
static void put_debug(struct dump *d, uint64_t address, uint64_t base, unsigned n)
{
    size_t names = strlen("/src/a.js") + 1 + 2 * (n - 1);
    put_record(d, 2, (uint32_t)(32 + 16 * n + names), 1);
    put(d, address, 8);
    put(d, n, 8);
    for (unsigned i = 0; i < n; i++) {
        put(d, base + 8 * i, 8);
        put(d, 10 + i, 4);
        put(d, 1, 4);
        buf_add(&d->bytes, i ? "\xff" : "/src/a.js", i ? 2 : strlen("/src/a.js") + 1);
    }
}

static void put_unwinding(struct dump *d, size_t n_bytes)
{
    put_record(d, 4, (uint32_t)(40 + n_bytes), 5);
    put(d, n_bytes, 8);
    put(d, 20, 8); /* of that, the header; what V8 writes ends there */
    put(d, 0, 8);
    for (size_t i = 0; i < n_bytes; i++) {
        buf_addch(&d->bytes, 0);
    }
}

/* Reads it as the follower does: what is there of n_bytes, in pieces. */
static void read_all(struct jitdump *d, struct jit_batch *batch, const struct buf *file,
                     size_t n_bytes, size_t piece)
{
    bool is_more = true;
    while (is_more) {
        uint64_t first = d->at;
        size_t want = d->want > piece ? d->want : piece;
        size_t left = first < n_bytes ? n_bytes - (size_t)first : 0;
        size_t n = want < left ? want : left;
        uint8_t *own = mem_new(n ? n : 1, 1); /* so that reading past it is seen */
        memcpy(own, file->data + (n ? first : 0), n);
        while (d->at - first <= n &&
               jitdump_feed(d, own + (d->at - first), n - (size_t)(d->at - first), batch)) {
        }
        free(own);
        is_more = d->at != first || (d->want > n && n < left);
    }
}

static void put_all(struct dump *d)
{
    put_header(d, 1, 0);
    put_debug(d, 0x1000, 0x1000, 3);
    put_unwinding(d, 20);
    put_unwinding(d, 64);
    put_load(d, 100, 0x1000, "first", 64);
    put_record(d, 99, 20, 101); /* of a later version */
    put(d, 0, 4);
    put_load(d, 200, 0x2000, "second", 32);
    put_move(d, 300, 0x1000, 0x3000, 64);
    put_record(d, 3, 16, 400); /* close */
}

static void expect_all(const struct jitdump *d, const struct jit_batch *b, const struct buf *file)
{
    assert_null(d->refusal);
    assert_int_equal(b->n_items, 3);
    assert_int_equal(d->at, file->len);
    const struct jit_item *i = b->items;
    assert_int_equal(i[0].what, JIT_LOAD);
    assert_int_equal(i[0].ts, 100);
    assert_int_equal(i[0].address, 0x1000);
    assert_int_equal(i[0].size, 64);
    assert_string_equal(jit_batch_str(b, i[0].name), "first");
    assert_int_equal((uint8_t)file->data[i[0].offset], 0x90);
    assert_int_equal(file->data[i[0].offset - 1], 0);
    assert_int_equal(i[0].n_lines, 3);
    for (size_t n = 0; n < 3; n++) {
        const struct jit_line *line = &b->lines[i[0].first_line + n];
        assert_int_equal(line->delta, 8 * n);
        assert_int_equal(line->line, 10 + n);
        assert_string_equal(jit_batch_str(b, line->file), "/src/a.js");
    }
    assert_string_equal(jit_batch_str(b, i[1].name), "second");
    assert_int_equal(i[1].n_lines, 0);
    assert_int_equal(i[2].what, JIT_MOVE);
    assert_int_equal(i[2].from, 0x1000);
    assert_int_equal(i[2].address, 0x3000);
    assert_int_equal(d->n_unwinding, 1);
    assert_int_equal(d->n_bad, 0);
}

static void either_byte_order(void **state)
{
    (void)state;
    for (int is_big = 0; is_big < 2; is_big++) {
        struct dump file = {.is_big = is_big};
        struct jitdump d = {0};
        struct jit_batch b = {0};
        put_all(&file);
        read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
        assert_int_equal(d.is_swapped, is_big);
        expect_all(&d, &b, &file.bytes);
        jit_batch_fini(&b);
        buf_free(&file.bytes);
    }
}

/* However the file grows, and however little of it is read at once. */
static void grows_anywhere(void **state)
{
    (void)state;
    struct dump file = {0};
    put_all(&file);
    for (size_t cut = 0; cut <= file.bytes.len; cut++) {
        struct jitdump d = {0};
        struct jit_batch b = {0};
        read_all(&d, &b, &file.bytes, cut, 1 + cut % 50);
        assert_null(d.refusal);
        read_all(&d, &b, &file.bytes, file.bytes.len, 1 + cut % 7);
        expect_all(&d, &b, &file.bytes);
        jit_batch_fini(&b);
    }
    buf_free(&file.bytes);
}

/* Debug info whose load is not there when a batch is handed over belongs to the next batch. */
static void debug_info_waits_for_its_load(void **state)
{
    (void)state;
    struct dump file = {0};
    struct jitdump d = {0};
    struct jit_batch b = {0};
    put_header(&file, 1, 0);
    put_debug(&file, 0x1000, 0x1000, 3);
    size_t cut = file.bytes.len;
    put_load(&file, 100, 0x1000, "f", 64);
    read_all(&d, &b, &file.bytes, cut, 4096);
    assert_true(d.has_debug);
    jitdump_settle(&d, &b);
    assert_int_equal(b.n_lines, 0);
    jit_batch_fini(&b);
    read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
    assert_int_equal(b.n_items, 1);
    assert_int_equal(b.items[0].n_lines, 3);
    jit_batch_fini(&b);
    buf_free(&file.bytes);
}

static uint64_t first_delta(uint64_t base, size_t *n_lines)
{
    struct dump file = {0};
    struct jitdump d = {0};
    struct jit_batch b = {0};
    put_header(&file, 1, 0);
    put_debug(&file, 0x1000, base, 3);
    put_load(&file, 100, 0x1000, "f", 0x50);
    read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
    *n_lines = b.items[0].n_lines;
    uint64_t delta = *n_lines ? b.lines[b.items[0].first_line].delta : 0;
    jit_batch_fini(&b);
    buf_free(&file.bytes);
    return delta;
}

/* V8 adds the size of an ELF header to every address. */
static void lines_lie_where_the_code_is(void **state)
{
    (void)state;
    size_t n;
    assert_int_equal(first_delta(0x1000, &n), 0);
    assert_int_equal(first_delta(0x1008, &n), 8);
    assert_int_equal(first_delta(0x1040, &n), 0); /* exactly there */
    assert_int_equal(n, 3);
    assert_int_equal(first_delta(0x1048, &n), 8); /* or past the end */
    assert_int_equal(n, 3);
    assert_int_equal(first_delta(0x1030, &n), 0x30); /* 0x1040 is inside */
}

static const char *refusal_of(const struct dump *file)
{
    struct jitdump d = {0};
    struct jit_batch b = {0};
    read_all(&d, &b, &file->bytes, file->bytes.len, 4096);
    jit_batch_fini(&b);
    return d.refusal ? d.refusal : "";
}

static void refuses_what_it_cannot_read(void **state)
{
    (void)state;
    struct dump tsc = {0}, version = {0}, other = {0}, size = {0};
    put_header(&tsc, 1, 1);
    assert_non_null(strstr(refusal_of(&tsc), "times of the CPU"));
    put_header(&version, 2, 0);
    assert_non_null(strstr(refusal_of(&version), "version"));
    for (int i = 0; i < 40; i++) {
        buf_addch(&other.bytes, 'x');
    }
    assert_string_equal(refusal_of(&other), "not a jitdump");
    put_header(&size, 1, 0);
    put_record(&size, 0, 15, 1);
    assert_non_null(strstr(refusal_of(&size), "corrupt"));
    buf_free(&tsc.bytes);
    buf_free(&version.bytes);
    buf_free(&other.bytes);
    buf_free(&size.bytes);
}

/* Sizes that reach past their record, wrap around, or are absurd: left out, and reading goes on. */
static void hostile_sizes(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 100, UINT64_MAX, UINT64_MAX - 0x1000, 1ull << 40};
    struct dump file = {0};
    struct jitdump d = {0};
    struct jit_batch b = {0};
    put_header(&file, 1, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t at = file.bytes.len + 40;
        put_load(&file, 1, 0x1000, "bad", 16);
        memcpy(file.bytes.data + at, &sizes[i], 8);
    }
    put_move(&file, 1, 0x1000, 0x2000, UINT64_MAX);
    put_record(&file, 1, 20, 1);
    put(&file, 0, 4);
    put_record(&file, 0, 20, 1);
    put(&file, 0, 4);
    put_record(&file, 2, 32, 1);
    put(&file, 0x1000, 8);
    put(&file, UINT64_MAX, 8); /* entries */
    put_load(&file, 2, 0x1000, "good", 16);
    read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
    assert_null(d.refusal);
    assert_int_equal(b.n_items, 1);
    assert_string_equal(jit_batch_str(&b, b.items[0].name), "good");
    assert_int_equal(d.n_bad, 8);
    jit_batch_fini(&b);
    buf_free(&file.bytes);
}

/* What is left out is told with its place: of several, the first. */
static void faults_have_a_place(void **state)
{
    (void)state;
    static const struct {
        uint64_t code_size;
        const char *fault;
    } cases[] = {{100, "does not fit into its record"}, {17, NULL}, {0, NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dump file = {0};
        struct jitdump d = {0};
        struct jit_batch b = {0};
        put_header(&file, 1, 0);
        put_load(&file, 1, 0x1000, "good", 16);
        size_t at = file.bytes.len;
        put_load(&file, 1, 0x2000, "bad", 17);
        memcpy(file.bytes.data + at + 40, &cases[i].code_size, 8);
        put_move(&file, 1, 0x1000, 0x2000, cases[i].fault ? UINT64_MAX : 16);
        read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
        assert_null(d.refusal);
        if (cases[i].fault) {
            assert_non_null(strstr(d.fault, cases[i].fault));
            assert_int_equal(d.fault_at, at);
        } else {
            assert_null(d.fault);
        }
        jit_batch_fini(&b);
        buf_free(&file.bytes);
    }
}

/* Nothing behind a record of a size that cannot be is found again. */
static void sizes_that_cannot_be(void **state)
{
    (void)state;
    struct dump file = {0};
    struct jitdump d = {0};
    struct jit_batch b = {0};
    put_header(&file, 1, 0);
    put_load(&file, 1, 0x1000, "good", 16);
    size_t at = file.bytes.len;
    put_record(&file, 0, INT32_MAX, 1);
    put_load(&file, 1, 0x1000, "lost", 16);
    read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
    assert_int_equal(b.n_items, 1);
    assert_non_null(strstr(d.refusal, "size that cannot be"));
    assert_int_equal(d.at, at);
    jit_batch_fini(&b);
    buf_free(&file.bytes);
}

/* One of the future is of another clock; one from before its process is, too, and can be used. */
static void times_of_another_clock(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct dump file = {0};
        struct jitdump d = {
            .earliest_ts = 50, .latest_ts = 1000, .owner_pid = kind == 4 ? 1 : 4711};
        struct jit_batch b = {0};
        put_header(&file, 1, 0);
        put_load(&file, 100, 0x1000, "good", 16);
        size_t at = file.bytes.len;
        const uint64_t times[] = {1000, 1001, UINT64_MAX, 49, 49};
        if (kind == 2) {
            put_move(&file, times[kind], 0x1000, 0x2000, 16);
        } else {
            put_load(&file, times[kind], 0x2000, "other", 16);
        }
        read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
        bool is_refused = kind == 1 || kind == 2, is_doubted = kind == 3;
        assert_int_equal(b.n_items, is_refused ? 1 : 2);
        assert_int_equal(d.refusal != NULL, is_refused);
        assert_int_equal(d.doubt != NULL, is_doubted);
        if (is_refused) {
            assert_non_null(strstr(d.refusal, "not of CLOCK_MONOTONIC"));
            assert_int_equal(d.at, at);
        } else if (is_doubted) {
            assert_int_equal(d.doubt_at, at);
        }
        jit_batch_fini(&b);
        buf_free(&file.bytes);
    }
}

/* What is missing where a file ends: n_bytes of one with a header and two loads. */
static const char *end_of(const struct dump *file, size_t n_bytes, uint64_t *at)
{
    struct jitdump d = {0};
    struct jit_batch b = {0};
    read_all(&d, &b, &file->bytes, n_bytes, 4096);
    size_t n = d.at < n_bytes ? n_bytes - (size_t)d.at : 0;
    jitdump_end(&d, (const uint8_t *)file->bytes.data + (n ? d.at : 0), n, n_bytes);
    jit_batch_fini(&b);
    *at = d.refusal ? d.at : d.fault_at;
    return d.refusal ? d.refusal : d.fault ? d.fault : "";
}

static void ends_that_are_told(void **state)
{
    (void)state;
    struct dump file = {0};
    uint64_t at;
    put_header(&file, 1, 0);
    size_t first = file.bytes.len;
    put_load(&file, 1, 0x1000, "one", 16);
    size_t second = file.bytes.len;
    put_load(&file, 1, 0x2000, "two", 16);
    size_t all = file.bytes.len;
    assert_string_equal(end_of(&file, all, &at), "");
    assert_string_equal(end_of(&file, second, &at), "");
    assert_non_null(strstr(end_of(&file, 39, &at), "within its header"));
    assert_non_null(strstr(end_of(&file, first + 30, &at), "within a record"));
    assert_int_equal(at, first);
    assert_non_null(strstr(end_of(&file, second + 6, &at), "within a record"));
    assert_int_equal(at, second);
    assert_non_null(strstr(end_of(&file, all - 1, &at), "within a record"));
    assert_int_equal(at, second);
    put_record(&file, 9, 100 << 20, 1);
    assert_non_null(strstr(end_of(&file, file.bytes.len, &at), "far past the end of the file"));
    assert_int_equal(at, all);
    memset(file.bytes.data + all, 0, 16); /* room that was made and not written to */
    assert_string_equal(end_of(&file, file.bytes.len, &at), "");
    buf_free(&file.bytes);
}

/* Room that a writer made and did not write to yet is waited for. */
static void zeros_at_the_end_wait(void **state)
{
    (void)state;
    struct dump file = {0};
    struct jitdump d = {0};
    struct jit_batch b = {0};
    put_header(&file, 1, 0);
    put(&file, 0, 8);
    put(&file, 0, 8);
    put(&file, 0, 8);
    read_all(&d, &b, &file.bytes, file.bytes.len, 4096);
    assert_null(d.refusal);
    assert_int_equal(d.at, 40);
    jit_batch_fini(&b);
    buf_free(&file.bytes);
}

/* ---- perf maps ---- */

static void feed_text(struct perf_map *m, struct jit_batch *b, const char *text)
{
    assert_int_equal(perf_map_feed(m, text, strlen(text), 7, b), strlen(text));
}

static void map_lines(void **state)
{
    (void)state;
    struct perf_map m = {0};
    struct jit_batch b = {0};
    feed_text(&m, &b,
              "7f0010 20 JS:*fib /a b.js:1:2\n"
              "0x7f0100 0x30 Lcom/Foo;::bar\r\n"
              "\n"
              "no hex\n"
              "7f0010 0 empty\n"
              "fffffffffffffff0 20 wraps\n"
              "11112222333344445 1 long\n"
              "7f0010 20\n"
              "7F0200\t8 upper\n");
    assert_int_equal(b.n_items, 3);
    assert_int_equal(m.n_bad, 6);
    assert_int_equal(b.items[0].address, 0x7f0010);
    assert_int_equal(b.items[0].size, 0x20);
    assert_int_equal(b.items[0].ts, 7);
    assert_string_equal(jit_batch_str(&b, b.items[0].name), "JS:*fib /a b.js:1:2");
    assert_string_equal(jit_batch_str(&b, b.items[1].name), "Lcom/Foo;::bar");
    assert_int_equal(b.items[2].address, 0x7f0200);
    jit_batch_fini(&b);
}

static void map_grows_anywhere(void **state)
{
    (void)state;
    static const char text[] = "1000 10 one\n2000 20 two two\n3000 30 three\n";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct perf_map m = {0};
        struct jit_batch b = {0};
        size_t taken = perf_map_feed(&m, text, cut, 1, &b);
        taken += perf_map_feed(&m, text + taken, sizeof(text) - 1 - taken, 2, &b);
        assert_int_equal(taken, sizeof(text) - 1);
        assert_int_equal(b.n_items, 3);
        assert_string_equal(jit_batch_str(&b, b.items[1].name), "two two");
        jit_batch_fini(&b);
    }
}

static void map_lines_without_end(void **state)
{
    (void)state;
    struct perf_map m = {0};
    struct jit_batch b = {0};
    char *text = mem_new(3 * PERF_MAP_LINE_MAX, 1);
    memset(text, 'a', 3 * PERF_MAP_LINE_MAX - 1);
    feed_text(&m, &b, text);
    feed_text(&m, &b, text);
    feed_text(&m, &b, " the end of it\n10 10 next\n");
    assert_int_equal(b.n_items, 1);
    assert_string_equal(jit_batch_str(&b, b.items[0].name), "next");
    assert_int_equal(m.n_bad, 1);
    free(text);
    jit_batch_fini(&b);
}

/* ---- names ---- */

static void expect_name(const char *raw, const char *name, const char *file, uint32_t line)
{
    struct buf got = {0}, got_file = {0};
    uint32_t got_line;
    jit_names_read(raw, &got, &got_file, &got_line);
    assert_string_equal(buf_str(&got), name);
    assert_string_equal(buf_str(&got_file), file);
    assert_int_equal(got_line, line);
    buf_free(&got);
    buf_free(&got_file);
}

static void versions_of_v8_have_one_name(void **state)
{
    (void)state;
    assert_string_equal(jit_names_function("JS:*fib /src/hot.js:10:5"), "fib /src/hot.js:10:5");
    assert_string_equal(jit_names_function("JS:~fib /src/hot.js:10:5"), "fib /src/hot.js:10:5");
    assert_string_equal(jit_names_function("LazyCompile:fib hot.js:1"), "fib hot.js:1");
    assert_string_equal(jit_names_function("JS:^ /a.js:1:9"), " /a.js:1:9");
    assert_null(jit_names_function("Builtin:ArrayMap"));
    assert_null(jit_names_function("RegExp:a b:1"));
    assert_null(jit_names_function("JS:*fib"));
    assert_null(jit_names_function("JS:*fib :1:2"));
    assert_null(jit_names_function("Lcom/Foo;::bar"));
    assert_null(jit_names_function(""));
}

static void names_of_v8(void **state)
{
    (void)state;
    expect_name("JS:*fib /src/hot.js:10:5", "fib hot.js:10", "/src/hot.js", 10);
    expect_name("JS:~get x /my src/hot.js:10:5", "get x hot.js:10", "/my src/hot.js", 10);
    expect_name("LazyCompile:~foo file.js:1", "foo file.js:1", "file.js", 1);
    expect_name("JS:^ /src/hot.js:1:1", "(anonymous) hot.js:1", "/src/hot.js", 1);
    expect_name("JS:+f file:///src/m.mjs:3:4", "f m.mjs:3", "/src/m.mjs", 3);
    expect_name("JS:~run node:internal/promises:436:34", "run node:internal/promises:436",
                "node:internal/promises", 436);
    expect_name("Builtin:ArrayMap", "Builtin:ArrayMap", "", 0);
    expect_name("RegExp:a b:1", "RegExp:a b:1", "", 0);
    expect_name("JS:*fib", "JS:*fib", "", 0);
    expect_name("JS:*fib :1:2", "JS:*fib :1:2", "", 0);
    expect_name("JS:*", "JS:*", "", 0);
    expect_name("", "", "", 0);
    expect_name("JS:*\x1b[31m /a\n.js:1:1", "\\x1b[31m a\\x0a.js:1", "/a\\x0a.js", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_byte_order),
        cmocka_unit_test(grows_anywhere),
        cmocka_unit_test(debug_info_waits_for_its_load),
        cmocka_unit_test(lines_lie_where_the_code_is),
        cmocka_unit_test(refuses_what_it_cannot_read),
        cmocka_unit_test(hostile_sizes),
        cmocka_unit_test(faults_have_a_place),
        cmocka_unit_test(sizes_that_cannot_be),
        cmocka_unit_test(times_of_another_clock),
        cmocka_unit_test(ends_that_are_told),
        cmocka_unit_test(zeros_at_the_end_wait),
        cmocka_unit_test(map_lines),
        cmocka_unit_test(map_grows_anywhere),
        cmocka_unit_test(map_lines_without_end),
        cmocka_unit_test(versions_of_v8_have_one_name),
        cmocka_unit_test(names_of_v8),
    };
    return cmocka_run_group_tests_name("jit_files", tests, NULL, NULL);
}
