/*
 * names_demangle.c - readable names of functions; of C++, Rust and D by libiberty.
 *
 * Linkage names come from hostile files, and a demangler can be made to recurse as deep as the name
 * is long, to print text exponential in its length, and to search for exponential time without
 * printing. So: long names run on a stack of their own, the text is cut off by leaving the printer
 * with longjmp(), and a C++ tree is printed only if walking all its paths is cheap.
 */
#include <libiberty/demangle.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/names_internal.h"

enum {
    MAX_MANGLED_BYTES = 16 << 10,
    MAX_TEXT_BYTES = 64 << 10,
    /* Paths through a C++ tree; the longest real names have a few thousand. */
    MAX_WEIGHT = 1 << 16,
    /* libiberty's printer gives up at this depth too. */
    MAX_DEPTH = 1024,
    /* Each of them doubles the time to parse a conversion operator's type. */
    MAX_TEMPLATE_TEMPLATES = 10,
    /* Parsing takes up to 200 bytes of stack for a byte of name. */
    MAX_INLINE_BYTES = 1 << 10,
    STACK_BYTES = 16 << 20,
    /* Each reference back to a type may double the text of a D name. */
    MAX_D_TYPE_REFERENCES = 10,
    MAX_D_BYTES = 4 << 10,
    OPTIONS = DMGL_PARAMS | DMGL_ANSI
};

struct job {
    const char *mangled;
    struct buf text;
    jmp_buf stop;
    void *tree; /* memory of the C++ tree */
    struct map weights;
    bool is_rust;
    bool is_over; /* the text is longer than it may be */
    bool is_done; /* text is the name */
};

static void add_text(const char *text, size_t n, void *ctx)
{
    struct job *job = ctx;
    if (!job->is_over && job->text.len + n <= MAX_TEXT_BYTES) {
        buf_add(&job->text, text, n);
        return;
    }
    job->is_over = true;
    /* The Rust printer holds heap memory while it prints a Punycode identifier, which it does one
     * character at a time: those calls return. Others of two bytes and more come between any two.
     */
    if (!job->is_rust || (n >= 2 && (unsigned char)text[0] < 0x80)) {
        longjmp(job->stop, 1);
    }
}

/* Subtrees of a component. The layout of its union follows from the type. */
static void subtrees(const struct demangle_component *c, struct demangle_component *sub[2])
{
    sub[0] = NULL;
    sub[1] = NULL;
    switch (c->type) {
    case DEMANGLE_COMPONENT_NAME:
    case DEMANGLE_COMPONENT_TEMPLATE_PARAM:
    case DEMANGLE_COMPONENT_FUNCTION_PARAM:
    case DEMANGLE_COMPONENT_SUB_STD:
    case DEMANGLE_COMPONENT_BUILTIN_TYPE:
    case DEMANGLE_COMPONENT_EXTENDED_BUILTIN_TYPE:
    case DEMANGLE_COMPONENT_OPERATOR:
    case DEMANGLE_COMPONENT_CHARACTER:
    case DEMANGLE_COMPONENT_NUMBER:
    case DEMANGLE_COMPONENT_UNNAMED_TYPE:
        break;
    case DEMANGLE_COMPONENT_CTOR:
        sub[0] = c->u.s_ctor.name;
        break;
    case DEMANGLE_COMPONENT_DTOR:
        sub[0] = c->u.s_dtor.name;
        break;
    case DEMANGLE_COMPONENT_EXTENDED_OPERATOR:
        sub[0] = c->u.s_extended_operator.name;
        break;
    case DEMANGLE_COMPONENT_FIXED_TYPE:
        sub[0] = c->u.s_fixed.length;
        break;
    case DEMANGLE_COMPONENT_LAMBDA:
    case DEMANGLE_COMPONENT_DEFAULT_ARG:
        sub[0] = c->u.s_unary_num.sub;
        break;
    default:
        sub[0] = c->u.s_binary.left;
        sub[1] = c->u.s_binary.right;
        break;
    }
}

/* Number of components when shared subtrees are counted each time they are reached, at most
 * MAX_WEIGHT + 1; that also for cycles and trees too deep. */
static uint32_t weigh(struct map *weights, const struct demangle_component *c, unsigned depth)
{
    if (!c) {
        return 0;
    }
    if (depth > MAX_DEPTH) {
        return MAX_WEIGHT + 1;
    }
    uint32_t known = map_get(weights, (uintptr_t)c);
    if (known) {
        return known;
    }
    *map_put(weights, (uintptr_t)c) = MAX_WEIGHT + 1; /* what a cycle finds */
    struct demangle_component *sub[2];
    subtrees(c, sub);
    uint32_t weight = 1;
    for (unsigned i = 0; i < 2 && weight <= MAX_WEIGHT; i++) {
        weight += weigh(weights, sub[i], depth + 1);
    }
    weight = weight <= MAX_WEIGHT ? weight : MAX_WEIGHT + 1;
    *map_put(weights, (uintptr_t)c) = weight;
    return weight;
}

/* Whether the parser, which tries template arguments of a template template parameter twice inside
 * the type of a conversion operator, would take exponential time. */
static bool is_slow_to_parse(const char *mangled)
{
    if (!strstr(mangled, "cv")) {
        return false;
    }
    unsigned n = 0;
    for (const char *at = mangled; (at = strstr(at, "_I")) != NULL; at++) {
        n++;
    }
    return n > MAX_TEMPLATE_TEMPLATES;
}

/*
 * libiberty 2.40 leaves one field of its parser's state unset in cplus_demangle_v3_components():
 * whether "sr" (as in sr8is_arrayIT_EE5value, which every make_shared has) is read as GCC 11 writes
 * it or as before. Its other entry points try both; here what lies on the stack decides. So each is
 * tried with the stack below filled accordingly. Where that has no effect, such a name stays as it
 * is.
 */
__attribute__((noinline, no_sanitize("address"))) static void fill_stack(int byte)
{
    volatile char below[1024];
    for (size_t i = 0; i < sizeof(below); i++) {
        below[i] = (char)byte;
    }
}

static struct demangle_component *parse_cplus(struct job *job)
{
    fill_stack(1);
    struct demangle_component *root =
        cplus_demangle_v3_components(job->mangled, OPTIONS, &job->tree);
    if (!root && strstr(job->mangled, "sr")) {
        fill_stack(0);
        root = cplus_demangle_v3_components(job->mangled, OPTIONS, &job->tree);
    }
    return root;
}

static bool demangle_cplus(struct job *job)
{
    if (is_slow_to_parse(job->mangled)) {
        return false;
    }
    struct demangle_component *root = parse_cplus(job);
    if (!root || weigh(&job->weights, root, 0) > MAX_WEIGHT) {
        return false;
    }
    return cplus_demangle_print_callback(OPTIONS, root, add_text, job) != 0;
}

/* Where the reference at name[at] ('Q', then a number to base 26 of which only the last digit is in
 * lower case) leads to: so many bytes back. 0: it is none. */
static size_t d_reference(const char *name, size_t at)
{
    size_t back = 0;
    for (size_t i = at + 1; back <= MAX_D_BYTES; i++) {
        if (name[i] >= 'a' && name[i] <= 'z') {
            back = back * 26 + (size_t)(name[i] - 'a');
            return back <= at ? back : 0;
        }
        if (name[i] < 'A' || name[i] > 'Z') {
            break;
        }
        back = back * 26 + (size_t)(name[i] - 'A');
    }
    return 0;
}

/* References to identifiers (a length and characters) are copied, those to types are read again
 * with all that they refer to. A capital Q of an identifier may count as one of them, too. */
static bool may_explode(const char *mangled)
{
    size_t len = strlen(mangled);
    unsigned n = 0;
    for (size_t i = 0; i < len && len <= MAX_D_BYTES; i++) {
        size_t back = mangled[i] == 'Q' ? d_reference(mangled, i) : 0;
        n += back && !(mangled[i - back] >= '0' && mangled[i - back] <= '9');
    }
    return len > MAX_D_BYTES || n > MAX_D_TYPE_REFERENCES;
}

static bool demangle_d(struct job *job)
{
    char *text = may_explode(job->mangled) ? NULL : dlang_demangle(job->mangled, OPTIONS);
    size_t len = text ? strlen(text) : 0;
    if (len && len <= MAX_TEXT_BYTES) {
        buf_add(&job->text, text, len);
    }
    free(text);
    return job->text.len > 0;
}

/* The start routine of a thread, too. */
static void *run(void *ctx)
{
    struct job *job = ctx;
    if (job->mangled[1] == 'D') {
        job->is_done = demangle_d(job);
    } else if (setjmp(job->stop) == 0) {
        job->is_rust = true;
        job->is_done = rust_demangle_callback(job->mangled, OPTIONS, add_text, job) != 0;
        if (!job->is_done && !job->is_over && job->mangled[1] == 'Z') {
            buf_clear(&job->text);
            job->is_rust = false;
            job->is_done = demangle_cplus(job);
        }
    }
    job->is_done = job->is_done && !job->is_over;
    free(job->tree);
    map_free(&job->weights);
    return NULL;
}

static void run_on_own_stack(struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0) {
        return;
    }
    if (pthread_attr_setstacksize(&attr, STACK_BYTES) == 0 &&
        pthread_create(&thread, &attr, run, job) == 0) {
        pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attr);
}

/* Appends the demangled form of a name without version suffix. False: it has none. */
static bool demangle(struct buf *out, const char *mangled, size_t len)
{
    if (len < 3 || len > MAX_MANGLED_BYTES || mangled[0] != '_' || !strchr("ZRD", mangled[1])) {
        return false;
    }
    struct job job = {.mangled = mangled};
    if (len <= MAX_INLINE_BYTES) {
        run(&job);
    } else {
        run_on_own_stack(&job);
    }
    if (job.is_done) {
        text_clean(out, buf_str(&job.text), job.text.len);
    }
    buf_free(&job.text);
    return job.is_done;
}

static void add_readable(struct buf *out, const char *name, size_t len, const char *language)
{
    struct buf readable = {0};
    if (strcmp(language, "go") == 0) {
        names_read_go(&readable, name, len);
    } else if (demangle(out, name, len)) {
        return;
    } else if (!names_read_ocaml(&readable, name, len)) {
        buf_add(&readable, name, len);
    }
    text_clean(out, buf_str(&readable), readable.len);
    buf_free(&readable);
}

void names_demangle(struct buf *out, const char *linkage_name, const char *language)
{
    if (strcmp(language, "go") == 0) {
        add_readable(out, linkage_name, strlen(linkage_name), language);
        return;
    }
    /* ld writes versioned symbols as name@VERSION, the default version as name@@VERSION: only the
     * former tells functions of one binary apart. */
    size_t len = strcspn(linkage_name, "@");
    const char *version = linkage_name + len;
    if (!len) {
        text_clean(out, linkage_name, strlen(linkage_name));
        return;
    }
    len = names_length_without_suffixes(linkage_name, len, true);
    char *name = mem_strndup(linkage_name, len);
    add_readable(out, name, len, language);
    free(name);
    if (version[0] && version[1] != '@') {
        text_clean(out, version, strlen(version));
    }
}
