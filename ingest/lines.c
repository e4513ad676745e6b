/* lines.c - see lines.h: opening, and what stands at an address. */
#include "ingest/lines.h"

#include <dwarf.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/lines_internal.h"
#include "ingest/names.h"

enum { MAX_TEXT_BYTES = 16 << 10, MAX_SECTIONS = 1 << 18 };
static const uint64_t MAX_DEBUG_BYTES = UINT64_C(2) << 30; /* all sections, unpacked */

/* What a section of the old compressed form unpacks to, as it says itself: "ZLIB" and eight bytes.
 * One that is too small for what it claims is refused when it is unpacked: zlib packs no better
 * than 1 to 1032. */
static uint64_t unpacked_size(int fd, const GElf_Shdr *s)
{
    uint8_t head[12];
    uint64_t size = 0;
    if (s->sh_size < sizeof(head) ||
        pread(fd, head, sizeof(head), (off_t)s->sh_offset) != (ssize_t)sizeof(head) ||
        memcmp(head, "ZLIB", 4) != 0) {
        return s->sh_size;
    }
    for (size_t i = 4; i < sizeof(head); i++) {
        size = size << 8 | head[i];
    }
    return size < UINT64_MAX / 2 ? size : UINT64_MAX / 2;
}

/* What a look at the sections of an ELF file tells of its DWARF. */
struct judged {
    uint64_t n_bytes; /* that libdw will hold; 0: it has none, or too much */
    bool is_large;
    uint32_t
        packing; /* ELFCOMPRESS_* of a section that is packed otherwise than by zlib, 0: none */
};

static struct judged judge_sections(Elf *elf, int fd)
{
    struct judged j = {0};
    size_t n = 0, names = 0;
    uint64_t n_bytes = 0;
    bool has_info = false;
    if (elf_getshdrnum(elf, &n) != 0 || n > MAX_SECTIONS || elf_getshdrstrndx(elf, &names) != 0) {
        return j;
    }
    for (size_t i = 1; i < n; i++) {
        GElf_Shdr s;
        GElf_Chdr packed;
        Elf_Scn *scn = elf_getscn(elf, i);
        if (!scn || !gelf_getshdr(scn, &s) || s.sh_type == SHT_NOBITS) {
            continue;
        }
        const char *name = elf_strptr(elf, names, s.sh_name);
        if (!name || (strncmp(name, ".debug_", 7) != 0 && strncmp(name, ".zdebug_", 8) != 0)) {
            continue;
        }
        uint64_t size = s.sh_size;
        if (s.sh_flags & SHF_COMPRESSED) {
            bool is_known = gelf_getchdr(scn, &packed) != NULL;
            size = is_known ? packed.ch_size : UINT64_MAX / 2;
            j.packing = is_known && packed.ch_type != ELFCOMPRESS_ZLIB ? packed.ch_type : j.packing;
        } else if (name[1] == 'z') {
            size = unpacked_size(fd, &s);
        }
        n_bytes = size > MAX_DEBUG_BYTES - n_bytes ? MAX_DEBUG_BYTES : n_bytes + size;
        has_info |= strcmp(name[1] == 'z' ? name + 2 : name + 1, "debug_info") == 0;
    }
    j.is_large = n_bytes >= MAX_DEBUG_BYTES;
    j.n_bytes = has_info && !j.is_large ? n_bytes : 0;
    return j;
}

/* libdw (0.188) takes strings of the line tables for ended; a hostile file's may run past the
 * section. Sections with strings get a byte more, which ends the last one. */
static void pad_strings(struct lines *l, Elf *elf)
{
    size_t n = 0, names = 0;
    elf_getshdrnum(elf, &n);
    elf_getshdrstrndx(elf, &names);
    for (size_t i = 1; i < n; i++) {
        GElf_Shdr s;
        Elf_Scn *scn = elf_getscn(elf, i);
        const char *name = scn && gelf_getshdr(scn, &s) ? elf_strptr(elf, names, s.sh_name) : NULL;
        if (!name || s.sh_type == SHT_NOBITS || !strstr(name, "debug_") ||
            !(strstr(name, "line") || strstr(name, "str"))) {
            continue;
        }
        Elf_Data *data = elf_getdata(scn, NULL);
        char *bytes = data ? data->d_buf : NULL;
        if (!bytes || !data->d_size || !bytes[data->d_size - 1]) {
            continue;
        }
        char *copy = mem_new(data->d_size + 1, 1);
        memcpy(copy, bytes, data->d_size);
        mem_reserve(&l->padded, &l->cap_padded, l->n_padded + 1, sizeof(void *));
        l->padded[l->n_padded++] = copy;
        l->n_bytes += data->d_size;
        data->d_buf = copy; /* libelf keeps and frees its own by another pointer */
    }
}

static int refuse(const struct judged *j, const char *why, struct err *e)
{
    enum { ZSTD = 2 }; /* ELFCOMPRESS_ZSTD, which older headers do not have */
    if (j->packing) {
        return err_set(e, STAX_ECORRUPT,
                       "damaged debug information, or the elfutils here cannot unpack it (%s)",
                       j->packing == ZSTD ? "compressed by zstd" : "an unknown compression");
    }
    return err_set(e, STAX_ECORRUPT, "damaged debug information: %s", why);
}

int lines_open_dwarf(struct lines *l, int fd, void **elf, Dwarf **dwarf, struct err *e)
{
    struct judged j = {0};
    int rc = names_check_elf(fd, e);
    if (rc) {
        return rc;
    }
    elf_version(EV_CURRENT);
    *elf = elf_begin(fd, ELF_C_READ, NULL);
    j = *elf ? judge_sections(*elf, fd) : j;
    if (j.is_large) {
        return err_set(e, STAX_ELIMIT, "debug information of more than %llu MiB",
                       (unsigned long long)(MAX_DEBUG_BYTES >> 20));
    }
    if (!j.n_bytes) {
        return err_set(e, STAX_ENOTFOUND, "no debug information");
    }
    *dwarf = dwarf_begin_elf(*elf, DWARF_C_READ, NULL);
    if (!*dwarf) {
        return refuse(&j, dwarf_errmsg(-1), e);
    }
    l->n_bytes += j.n_bytes;
    pad_strings(l, *elf);
    return 0;
}

int lines_open(struct lines **out, int fd, const char *path, struct err *e)
{
    return lines_open_at(out, fd, &(struct lines_place){.path = path, .alt_fd = -1}, e);
}

int lines_open_at(struct lines **out, int fd, const struct lines_place *place, struct err *e)
{
    struct lines *l = mem_new(1, sizeof(*l));
    l->fd = l->alt_fd = -1;
    *out = NULL;
    int rc = lines_open_dwarf(l, fd, &l->elf, &l->dwarf, e);
    if (rc) {
        lines_close(l);
        return rc;
    }
    l->fd = fd;
    lines_open_alt(l, place);
    lines_read_units(l);
    if (l->is_damaged && !l->n_units) {
        const struct judged j = {0};
        l->fd = -1; /* still the caller's */
        lines_close(l);
        return refuse(&j, dwarf_errmsg(-1), e);
    }
    *out = l;
    return 0;
}

void lines_close(struct lines *l)
{
    if (!l) {
        return;
    }
    lines_free_units(l);
    lines_free_origins(l);
    if (l->dwarf) {
        dwarf_end(l->dwarf);
    }
    elf_end(l->elf);
    if (l->alt) {
        dwarf_end(l->alt);
    }
    elf_end(l->alt_elf);
    for (size_t i = 0; i < l->n_padded; i++) {
        free(l->padded[i]);
    }
    free(l->padded);
    free(l->wanted_alt.name);
    free(l->wanted_alt.build_id);
    fd_close(&l->alt_fd);
    fd_close(&l->fd);
    free(l);
}

bool lines_lacks_split(const struct lines *l)
{
    return l->lacks_split;
}

bool lines_is_damaged(const struct lines *l)
{
    return l->is_damaged;
}

size_t lines_bytes(const struct lines *l)
{
    return sizeof(*l) + l->n_bytes + l->origin_text.cap + l->cap_origins * sizeof(*l->origins) +
           l->cap_parents * sizeof(*l->parents) + map_bytes(&l->parent_of);
}

static uint32_t keep(struct buf *text, const char *s)
{
    size_t len = s ? strnlen(s, MAX_TEXT_BYTES) : 0;
    if (!len || len == MAX_TEXT_BYTES) {
        return 0;
    }
    if (text->len == 0) {
        buf_addch(text, '\0'); /* 0 means none */
    }
    uint32_t at = (uint32_t)text->len;
    buf_add(text, s, len);
    buf_addch(text, '\0');
    return at;
}

/* A file of a unit, made absolute by the directory that the compiler ran in. */
uint32_t lines_keep_file(const struct lines_unit *u, struct buf *text, const char *file)
{
    Dwarf_Attribute attr;
    Dwarf_Die die = u->die;
    const char *directory = NULL;
    if (file && file[0] != '/' && dwarf_attr(&die, DW_AT_comp_dir, &attr)) {
        directory = dwarf_formstring(&attr);
    }
    if (!directory) {
        return keep(text, file);
    }
    struct buf path = {0};
    buf_addf(&path, "%s/%s", directory, file);
    uint32_t at = keep(text, buf_str(&path));
    buf_free(&path);
    return at;
}

/* Where an inlined call stands in its caller. */
static void locate_call(const struct lines_unit *u, Dwarf_Die *call, struct lines_row *row,
                        struct buf *text)
{
    Dwarf_Attribute attr;
    Dwarf_Word number;
    Dwarf_Files *files;
    size_t n_files;
    Dwarf_Die unit = u->inner;
    if (dwarf_attr(call, DW_AT_call_line, &attr) && dwarf_formudata(&attr, &number) == 0 &&
        number <= INT32_MAX) {
        row->line = (uint32_t)number;
    }
    if (dwarf_attr(call, DW_AT_call_file, &attr) && dwarf_formudata(&attr, &number) == 0 &&
        dwarf_getsrcfiles(&unit, &files, &n_files) == 0 && number < n_files) {
        row->file = lines_keep_file(u, text, dwarf_filesrc(files, number, NULL, NULL));
    }
}

struct lines_row lines_describe_call(struct lines *l, struct lines_unit *u,
                                     const struct lines_call *call, struct buf *text,
                                     struct lines_row *what)
{
    Dwarf_Die die = call->die;
    struct lines_row row = {0};
    const struct lines_origin *origin = lines_origin_of(l, u, call);
    const char *texts = l->origin_text.data;
    what->function = keep(text, texts + origin->name);
    what->declared = origin->declared ? keep(text, texts + origin->declared) : 0;
    what->is_static = origin->is_static;
    what->address = origin->address;
    locate_call(u, &die, &row, text);
    return row;
}

size_t lines_find(struct lines *l, uint64_t address, struct lines_row rows[LINES_MAX_DEPTH],
                  struct buf *text)
{
    struct lines_unit *u = lines_find_unit(l, address);
    if (!u) {
        return 0;
    }
    size_t n = 0;
    struct lines_row row = {0};
    Dwarf_Die die = u->die;
    Dwarf_Line *line = dwarf_getsrc_die(&die, address);
    int number = 0;
    if (line) {
        row.file = lines_keep_file(u, text, dwarf_linesrc(line, NULL, NULL));
        row.line = dwarf_lineno(line, &number) == 0 && number > 0 ? (uint32_t)number : 0;
    }
    struct lines_function *f = lines_find_function(l, u, address);
    const char *language = row.language = lines_language(u); /* of the split unit, now open */
    uint32_t call = f ? lines_find_call(l, f, address) : LINES_NO_CALL;
    while (call != LINES_NO_CALL && n < LINES_MAX_DEPTH - 1) {
        struct lines_call *c = &f->calls[call];
        struct lines_row caller = lines_describe_call(l, u, c, text, &row);
        rows[n++] = row;
        row = caller;
        row.language = language;
        call = c->parent;
    }
    rows[n++] = row;
    return n > 1 || row.file ? n : 0;
}
