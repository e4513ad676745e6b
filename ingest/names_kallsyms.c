/* names_kallsyms.c - text symbols of the kernel and its modules from /proc/kallsyms. */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/names_internal.h"

/* Five times the largest seen; modules are counted in 16 bits. */
enum { MAX_FILE_BYTES = 256 << 20, MAX_MODULES = UINT16_MAX };

struct line {
    uint64_t address;
    char type;
    char *name;
    char *module; /* without brackets, NULL: the kernel itself */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

/* "ffffffff81000000 T _text" or "ffffffffc0000000 t init\t[module]", cut in place. */
static bool parse_line(char *at, struct line *line)
{
    unsigned n_digits = 0;
    line->address = 0;
    for (; hex_digit(*at) >= 0; at++, n_digits++) {
        line->address = line->address << 4 | (uint64_t)hex_digit(*at);
    }
    if (!n_digits || n_digits > 16 || at[0] != ' ' || !at[1] || at[2] != ' ' || !at[3]) {
        return false;
    }
    line->type = at[1];
    line->name = at + 3;
    line->module = NULL;
    char *tab = strchr(line->name, '\t');
    if (tab) {
        *tab = '\0';
        char *close = strchr(tab + 1, ']');
        if (tab[1] == '[' && close) {
            *close = '\0';
            line->module = tab + 2;
        }
    }
    return line->name[0] != '\0';
}

/* Lines of a module mostly stand together, so the one before is asked first. */
static uint16_t module_index(struct names *n, uint16_t last, const char *module)
{
    if (last && strcmp(n->modules[last - 1], module) == 0) {
        return last;
    }
    for (size_t i = n->n_modules; i-- > 0;) {
        if (strcmp(n->modules[i], module) == 0) {
            return (uint16_t)(i + 1);
        }
    }
    if (n->n_modules >= MAX_MODULES) {
        return 0;
    }
    mem_reserve(&n->modules, &n->cap_modules, n->n_modules + 1, sizeof(*n->modules));
    n->modules[n->n_modules++] = mem_strdup(module);
    return (uint16_t)n->n_modules;
}

static uint8_t rank_of(const struct line *line)
{
    /* Mapping symbols ($x) and compiler labels name no function. */
    if (line->name[0] == '$' || strncmp(line->name, ".L", 2) == 0) {
        return NAMES_RANK_BOUNDARY;
    }
    switch (line->type) {
    case 'T':
        return NAMES_RANK_GLOBAL;
    case 'W':
    case 'w':
        return NAMES_RANK_WEAK;
    case 't':
        return NAMES_RANK_LOCAL;
    default:
        return NAMES_RANK_BOUNDARY;
    }
}

struct seen {
    size_t n_lines;
    bool has_address;
    bool has_text;
    uint16_t module; /* of the line before */
    uint64_t text, stext;
};

static void add_line(struct names *n, struct names_builder *b, struct seen *seen,
                     const struct line *line)
{
    seen->n_lines++;
    if (!line->address) { /* hidden, or a per-CPU offset */
        return;
    }
    seen->has_address = true;
    struct names_entry e = {.start = line->address,
                            .limit = UINT64_MAX,
                            .name = line->name,
                            .source = NAMES_KALLSYMS,
                            .rank = rank_of(line)};
    if (line->module) {
        e.module = seen->module = module_index(n, seen->module, line->module);
    } else if (strcmp(line->name, "_text") == 0) {
        seen->text = line->address;
    } else if (strcmp(line->name, "_stext") == 0) {
        seen->stext = line->address;
    }
    seen->has_text |= e.rank != NAMES_RANK_BOUNDARY;
    names_add(b, &e);
}

static int check_seen(const struct seen *seen, struct err *e)
{
    if (!seen->n_lines) {
        return err_set(e, STAX_ECORRUPT, "the kernel's symbol table holds no symbols");
    }
    if (!seen->has_address) {
        err_set(e, STAX_EPERMISSION, "the kernel hides the addresses of its symbols");
        err_hint(e, "sudo sysctl kernel.kptr_restrict=0 kernel.perf_event_paranoid=1");
        return STAX_EPERMISSION;
    }
    if (!seen->has_text) {
        return err_set(e, STAX_ECORRUPT, "the kernel's symbol table holds no functions");
    }
    return 0;
}

int names_open_kallsyms(struct names **out, int fd, struct err *e)
{
    struct buf text = {0};
    struct names_builder b = {.is_kernel = true};
    struct names *n = mem_new(1, sizeof(*n));
    struct seen seen = {0};
    *out = NULL;
    int rc = fd_read_all(fd, MAX_FILE_BYTES, &text);
    if (rc) {
        rc = err_set_errno(e, -rc, "cannot read the kernel's symbol table");
        goto out;
    }
    b.name_budget = text.len + 1;
    char *end = text.data ? text.data + text.len : NULL;
    for (char *at = text.data; at && at < end;) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *next = newline ? newline + 1 : end;
        if (newline) {
            *newline = '\0';
        }
        struct line line;
        if (parse_line(at, &line)) {
            add_line(n, &b, &seen, &line);
        }
        at = next;
    }
    rc = check_seen(&seen, e);
    if (rc) {
        goto out;
    }
    names_build(n, &b);
    n->kernel_base = seen.text ? seen.text : seen.stext ? seen.stext : n->functions[0].start;
    *out = n;
    n = NULL;
    rc = 0;
out:
    names_builder_fini(&b);
    buf_free(&text);
    names_close(n);
    return rc;
}
