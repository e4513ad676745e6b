/*
 * unwind_space.h - the address space of a process for unwinding tests: its mappings and the tables
 * of their binaries.
 */
#ifndef STAX_TESTS_UNWIND_SPACE_H
#define STAX_TESTS_UNWIND_SPACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/proc.h"
#include "capture/unwind.h"

struct space_binary {
    char path[512];
    struct cfi_table *table; /* NULL: no binary */
};

struct space {
    struct unwind_code *code; /* executable mappings in ascending order */
    size_t n_code, cap_code;
    struct space_binary *binaries;
    size_t n_binaries, cap_binaries;
};

/* The kernel is the same for all processes, so our vDSO is theirs. */
static inline struct cfi_table *space_open_vdso(void)
{
    enum { VDSO_BYTES = 8192 };
    const void *image = (const void *)getauxval(AT_SYSINFO_EHDR); // NOLINT
    return image ? cfi_table_from_image(&unwind_x86_64, image, VDSO_BYTES, NULL) : NULL;
}

static inline const struct cfi_table *space_table(struct space *s, const char *path)
{
    for (size_t i = 0; i < s->n_binaries; i++) {
        if (strcmp(s->binaries[i].path, path) == 0) {
            return s->binaries[i].table;
        }
    }
    mem_reserve(&s->binaries, &s->cap_binaries, s->n_binaries + 1, sizeof(*s->binaries));
    struct space_binary *b = &s->binaries[s->n_binaries++];
    snprintf(b->path, sizeof(b->path), "%s", path);
    b->table = NULL;
    if (strcmp(path, "[vdso]") == 0) {
        b->table = space_open_vdso();
    } else if (path[0] == '/') {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        b->table = fd >= 0 ? cfi_table_open(&unwind_x86_64, fd, NULL) : NULL;
        fd_close(&fd);
    }
    return b->table;
}

/* Takes the text of a maps file; tables are kept from one call to the next. */
static inline void space_load(struct space *s, const char *maps, size_t n)
{
    size_t at = 0;
    size_t n_bad = 0;
    struct proc_mapping m;
    s->n_code = 0;
    while (proc_next_mapping(maps, n, &at, &m, &n_bad)) {
        if (!m.is_executable) {
            continue;
        }
        char path[512];
        snprintf(path, sizeof(path), "%.*s", (int)m.path_len, m.path);
        struct unwind_code code = {.start = m.start, .end = m.end};
        code.table = space_table(s, path);
        if (code.table && !cfi_table_bias(code.table, m.start, m.file_offset, &code.bias)) {
            code.table = NULL;
        }
        mem_reserve(&s->code, &s->cap_code, s->n_code + 1, sizeof(*s->code));
        s->code[s->n_code++] = code;
    }
}

static inline void space_load_process(struct space *s, pid_t pid)
{
    struct buf text = {0};
    if (proc_read_maps(pid, &text) == 0) {
        space_load(s, buf_str(&text), text.len);
    }
    buf_free(&text);
}

static inline enum unwind_found space_find(void *ctx, uint64_t pc, struct unwind_code *code)
{
    const struct space *s = ctx;
    size_t low = 0;
    size_t high = s->n_code;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->code[middle].end <= pc) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == s->n_code || pc < s->code[low].start) {
        return UNWIND_NOT_CODE;
    }
    *code = s->code[low];
    return UNWIND_CODE;
}

static inline void space_free(struct space *s)
{
    for (size_t i = 0; i < s->n_binaries; i++) {
        cfi_table_free(s->binaries[i].table);
    }
    free(s->binaries);
    free(s->code);
    memset(s, 0, sizeof(*s));
}

#endif
