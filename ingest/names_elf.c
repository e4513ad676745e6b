/*
 * names_elf.c - symbols, extents, segments and build id of an ELF file, read with libelf.
 *
 * The file is hostile and may change while it is read: libelf runs without mmap (a file that
 * shrinks must not raise SIGBUS), every size is checked against a bound before it is allocated, and
 * nothing of the file is used after names_open_elf().
 */
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "ingest/names_reader_internal.h"

/* Some times what the largest browsers have. */
enum {
    MAX_SEGMENTS = 4096,
    MAX_SECTIONS = 1 << 18,
    MAX_STRINGS_BYTES = 512 << 20,
    MAX_EH_FRAME_BYTES = 256 << 20,
    MAX_NOTE_BYTES = 64 << 10,
    MAX_BUILD_ID_BYTES = 64,
    MAX_LINK_BYTES = 4096
};

static bool read_at(const struct names_reader *r, uint64_t offset, void *to, size_t n)
{
    if (offset > r->n_bytes || n > r->n_bytes - offset) {
        return false;
    }
    if (r->image) {
        memcpy(to, r->image + offset, n);
        return true;
    }
    ssize_t got;
    do {
        got = pread(r->fd, to, n, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)n;
}

/* libelf allocates per section before it looks at any, so the count is judged first. */
int names_reader_check(const struct names_reader *r, struct err *e)
{
    Elf64_Ehdr h = {0};
    Elf32_Ehdr h32 = {0};
    if (!read_at(r, 0, h.e_ident, EI_NIDENT) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) {
        return err_set(e, STAX_ECORRUPT, "not an ELF file");
    }
    if (h.e_ident[EI_DATA] != ELFDATA2LSB) {
        return err_set(e, STAX_ECORRUPT, "ELF file of another byte order");
    }
    bool is_64 = h.e_ident[EI_CLASS] == ELFCLASS64;
    if (!is_64 && h.e_ident[EI_CLASS] != ELFCLASS32) {
        return err_set(e, STAX_ECORRUPT, "ELF file of unknown class %u", h.e_ident[EI_CLASS]);
    }
    if (is_64 ? !read_at(r, 0, &h, sizeof(h)) : !read_at(r, 0, &h32, sizeof(h32))) {
        return err_set(e, STAX_ECORRUPT, "ELF header is cut off");
    }
    uint64_t table = is_64 ? h.e_shoff : h32.e_shoff;
    uint64_t n_sections = is_64 ? h.e_shnum : h32.e_shnum;
    if (table && !n_sections) { /* too many for 16 bits: the first section's size says how many */
        Elf64_Shdr s = {0};
        Elf32_Shdr s32 = {0};
        if (is_64 ? !read_at(r, table, &s, sizeof(s)) : !read_at(r, table, &s32, sizeof(s32))) {
            return err_set(e, STAX_ECORRUPT, "ELF section headers are cut off");
        }
        n_sections = is_64 ? s.sh_size : s32.sh_size;
    }
    if (n_sections > MAX_SECTIONS) {
        return err_set(e, STAX_ECORRUPT, "ELF file claims %llu sections",
                       (unsigned long long)n_sections);
    }
    return 0;
}

Elf_Data *names_read_chunk(const struct names_reader *r, uint64_t offset, uint64_t n_bytes,
                           uint64_t max_bytes, Elf_Type type)
{
    if (!n_bytes || n_bytes > max_bytes || offset > r->n_bytes || n_bytes > r->n_bytes - offset) {
        return NULL;
    }
    Elf_Data *data = elf_getdata_rawchunk(r->elf, (int64_t)offset, n_bytes, type);
    return data && data->d_buf && data->d_size == n_bytes ? data : NULL;
}

static bool add_build_id(struct names *n, const uint8_t *id, size_t n_bytes)
{
    if (!n_bytes || n_bytes > MAX_BUILD_ID_BYTES) {
        return false;
    }
    struct buf hex = {0};
    for (size_t i = 0; i < n_bytes; i++) {
        buf_addf(&hex, "%02x", id[i]);
    }
    n->build_id = buf_take(&hex);
    return true;
}

static void find_build_id(const struct names_reader *r, uint64_t offset, uint64_t n_bytes,
                          uint64_t align)
{
    Elf_Data *data = NULL;
    if (!r->n->build_id) {
        data = names_read_chunk(r, offset, n_bytes, MAX_NOTE_BYTES,
                                align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    }
    size_t at = 0;
    GElf_Nhdr note;
    size_t name;
    size_t content;
    while (data && (at = gelf_getnote(data, at, &note, &name, &content)) > 0) {
        const uint8_t *bytes = data->d_buf;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
            memcmp(bytes + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0 &&
            add_build_id(r->n, bytes + content, note.n_descsz)) {
            return;
        }
    }
}

static void add_segment(struct names_reader *r, const GElf_Phdr *p)
{
    struct names_segment s = {.offset = p->p_offset,
                              .file_size = p->p_filesz,
                              .address = p->p_vaddr,
                              .size = p->p_memsz,
                              .is_executable = p->p_flags & PF_X};
    /* Sizes that wrap around would defeat every later comparison. */
    if (s.size > UINT64_MAX - s.address || s.offset > INT64_MAX ||
        s.file_size > INT64_MAX - s.offset) {
        return;
    }
    r->n->segments[r->n->n_segments++] = s;
}

static int read_segments(struct names_reader *r, struct err *e)
{
    size_t n = 0;
    if (elf_getphdrnum(r->elf, &n) != 0 || n > MAX_SEGMENTS) {
        return err_set(e, STAX_ECORRUPT, "ELF program headers are damaged");
    }
    r->n->segments = mem_new(n, sizeof(*r->n->segments));
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr p;
        if (!gelf_getphdr(r->elf, (int)i, &p)) {
            return err_set(e, STAX_ECORRUPT, "ELF program headers are damaged");
        }
        switch (p.p_type) {
        case PT_LOAD:
            add_segment(r, &p);
            break;
        case PT_NOTE:
            find_build_id(r, p.p_offset, p.p_filesz, p.p_align);
            break;
        case PT_GNU_EH_FRAME:
            r->eh_header_offset = p.p_offset;
            r->eh_header_address = p.p_vaddr;
            break;
        default:
            break;
        }
    }
    return 0;
}

static enum names_role role_of(const GElf_Shdr *s, const char *name)
{
    static const struct {
        const char *name;
        enum names_role role;
    } roles[] = {
        {".debug_info", NAMES_ROLE_DEBUG_INFO}, {".zdebug_info", NAMES_ROLE_DEBUG_INFO},
        {".gnu_debuglink", NAMES_ROLE_LINK},    {".gnu_debugdata", NAMES_ROLE_DEBUGDATA},
        {".rela.plt", NAMES_ROLE_RELA_PLT},     {".rela.dyn", NAMES_ROLE_RELA_DYN},
    };
    if (s->sh_type == SHT_NOBITS) {
        return NAMES_ROLE_OTHER;
    }
    if (s->sh_flags & SHF_ALLOC) {
        if (strcmp(name, ".eh_frame") == 0) {
            return NAMES_ROLE_EH_FRAME;
        }
        bool is_plt = strncmp(name, ".plt", 4) == 0 || strcmp(name, ".iplt") == 0;
        if (is_plt && (s->sh_flags & SHF_EXECINSTR)) {
            return NAMES_ROLE_PLT;
        }
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (strcmp(name, roles[i].name) == 0) {
            return roles[i].role;
        }
    }
    return NAMES_ROLE_OTHER;
}

static void read_sections(struct names_reader *r)
{
    size_t n = 0;
    size_t names = 0;
    if (elf_getshdrnum(r->elf, &n) != 0 || n > MAX_SECTIONS) {
        return;
    }
    bool has_names = elf_getshdrstrndx(r->elf, &names) == 0;
    r->sections = mem_new(n, sizeof(*r->sections));
    r->n_sections = n;
    for (size_t i = 1; i < n; i++) {
        GElf_Shdr s;
        Elf_Scn *scn = elf_getscn(r->elf, i);
        if (!scn || !gelf_getshdr(scn, &s)) {
            continue;
        }
        if (s.sh_flags & SHF_COMPRESSED) { /* only that it is there is of interest */
            const char *packed = has_names ? elf_strptr(r->elf, names, s.sh_name) : NULL;
            r->has_debug_info |= packed && strcmp(packed, ".debug_info") == 0;
            continue;
        }
        struct names_section *to = &r->sections[i];
        *to = (struct names_section){.address = s.sh_addr,
                                     .size = s.sh_size,
                                     .offset = s.sh_offset,
                                     .entry_size = s.sh_entsize,
                                     .link = s.sh_link,
                                     .type = s.sh_type,
                                     .is_code =
                                         (s.sh_flags & SHF_ALLOC) && (s.sh_flags & SHF_EXECINSTR)};
        const char *name = has_names ? elf_strptr(r->elf, names, s.sh_name) : NULL;
        if (name) {
            to->role = role_of(&s, name);
            r->n->is_go |= strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".gopclntab") == 0;
        }
        if (s.sh_type == SHT_NOTE) {
            find_build_id(r, s.sh_offset, s.sh_size, s.sh_addralign);
        }
    }
}

/* Whether a symbol names code, and how well. */
static bool rank_symbol(const struct names_reader *r, const GElf_Sym *sym, const char *name,
                        uint8_t *rank)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);
    if (!name[0] || sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_COMMON) {
        return false;
    }
    if (type == STT_NOTYPE) {
        /* Hand-written assembly without .type; not ARM's mapping symbols or local labels. */
        *rank = NAMES_RANK_LABEL;
        return sym->st_shndx < r->n_sections && r->sections[sym->st_shndx].is_code &&
               name[0] != '$' && strncmp(name, ".L", 2) != 0;
    }
    if (type != STT_FUNC && type != STT_GNU_IFUNC) {
        return false;
    }
    switch (GELF_ST_BIND(sym->st_info)) {
    case STB_LOCAL:
        *rank = NAMES_RANK_LOCAL;
        break;
    case STB_WEAK:
        *rank = NAMES_RANK_WEAK;
        break;
    default:
        *rank = NAMES_RANK_GLOBAL;
        break;
    }
    return true;
}

/* The end of the section that a symbol is in, or of its segment; 0 if it is not in code. */
static uint64_t limit_of_symbol(const struct names_reader *r, const GElf_Sym *sym)
{
    uint64_t limit = names_executable_end(r->n, sym->st_value);
    if (limit && sym->st_shndx < r->n_sections) {
        const struct names_section *s = &r->sections[sym->st_shndx];
        if (sym->st_value >= s->address && sym->st_value - s->address < s->size &&
            s->size < limit - s->address) {
            limit = s->address + s->size;
        }
    }
    return limit;
}

static void add_symbols(struct names_reader *r, const struct names_section *table)
{
    if (table->link >= r->n_sections || r->sections[table->link].type != SHT_STRTAB) {
        return;
    }
    const struct names_section *names = &r->sections[table->link];
    size_t entry_size = gelf_fsize(r->elf, ELF_T_SYM, 1, EV_CURRENT);
    if (!entry_size || table->entry_size != entry_size) {
        return;
    }
    uint64_t n_bytes = table->size - table->size % entry_size;
    Elf_Data *symbols = names_read_chunk(r, table->offset, n_bytes,
                                         (uint64_t)NAMES_MAX_ENTRIES * sizeof(GElf_Sym), ELF_T_SYM);
    Elf_Data *strings =
        names_read_chunk(r, names->offset, names->size, MAX_STRINGS_BYTES, ELF_T_BYTE);
    if (!symbols || !strings) {
        return;
    }
    const char *text = strings->d_buf;
    const char *last = memrchr(text, '\0', strings->d_size); /* what follows has no end */
    size_t n_text = last ? (size_t)(last - text) : 0;
    /* Names may share their tails, hence the factor; a table made to explode is stopped by it. */
    r->b->name_budget += 2 * n_text;
    for (size_t i = 1; i < n_bytes / entry_size; i++) {
        GElf_Sym sym;
        if (!gelf_getsym(symbols, (int)i, &sym) || sym.st_name >= n_text) {
            continue;
        }
        struct names_entry e = {.start = sym.st_value,
                                .size = sym.st_size,
                                .name = text + sym.st_name,
                                .is_ifunc = GELF_ST_TYPE(sym.st_info) == STT_GNU_IFUNC,
                                .source =
                                    table->type == SHT_SYMTAB ? r->symtab_source : NAMES_DYNSYM};
        if (rank_symbol(r, &sym, e.name, &e.rank) && (e.limit = limit_of_symbol(r, &sym)) != 0) {
            names_add(r->b, &e);
        }
    }
}

/* .eh_frame without section headers: .eh_frame_hdr begins with version, three encodings and the
 * encoded address of .eh_frame, which then goes on to its terminator. */
static bool locate_eh_frame(const struct names_reader *r, struct names_section *s)
{
    uint8_t h[16] = {0};
    uint64_t address;
    if (!r->eh_header_offset || !read_at(r, r->eh_header_offset, h, 12) || h[0] != 1) {
        return false;
    }
    const uint8_t *at = h + 4;
    if (!names_eh_pointer(&at, h + 12, h[1], r->eh_header_address + 4, r->address_bytes,
                          &address)) {
        return false;
    }
    for (size_t i = 0; i < r->n->n_segments; i++) {
        const struct names_segment *g = &r->n->segments[i];
        if (address >= g->address && address - g->address < g->file_size) {
            uint64_t skip = address - g->address;
            uint64_t end = g->offset + g->file_size;
            uint64_t size = (end < r->n_bytes ? end : r->n_bytes) - (g->offset + skip);
            *s = (struct names_section){.address = address,
                                        .offset = g->offset + skip,
                                        .size =
                                            size < MAX_EH_FRAME_BYTES ? size : MAX_EH_FRAME_BYTES};
            return true;
        }
    }
    return false;
}

static void add_extents(struct names_reader *r)
{
    struct names_section found = {0};
    const struct names_section *s = NULL;
    for (size_t i = 0; i < r->n_sections && !s; i++) {
        s = r->sections[i].role == NAMES_ROLE_EH_FRAME ? &r->sections[i] : NULL;
    }
    if (!s && locate_eh_frame(r, &found)) {
        s = &found;
    }
    Elf_Data *data =
        s ? names_read_chunk(r, s->offset, s->size, MAX_EH_FRAME_BYTES, ELF_T_BYTE) : NULL;
    if (data) {
        names_add_eh_frame(r->n, r->b, data->d_buf, data->d_size, s->address, r->address_bytes);
    }
}

/* The name of the separate debug file and its CRC: name, NUL, padding to 4, CRC. */
static void read_link(const struct names_reader *r, const struct names_section *s)
{
    Elf_Data *data = names_read_chunk(r, s->offset, s->size, MAX_LINK_BYTES, ELF_T_BYTE);
    size_t len = data ? strnlen(data->d_buf, data->d_size) : 0;
    size_t at = (len + 4) & ~(size_t)3;
    if (!len || at + 4 > data->d_size) {
        return;
    }
    free(r->n->debug_link);
    r->n->debug_link = mem_strndup(data->d_buf, len);
    memcpy(&r->n->debug_link_crc, (const char *)data->d_buf + at, 4);
}

static void add_tables(struct names_reader *r)
{
    bool has_symtab = false;
    for (size_t i = 0; i < r->n_sections; i++) {
        struct names_section *s = &r->sections[i];
        bool is_symtab = s->type == SHT_SYMTAB;
        if (is_symtab || (s->type == SHT_DYNSYM && !r->is_separate)) {
            add_symbols(r, s);
        }
        has_symtab |= is_symtab && s->size > 0;
        r->has_debug_info |= s->role == NAMES_ROLE_DEBUG_INFO;
        if (s->role == NAMES_ROLE_LINK && !r->is_separate) {
            read_link(r, s);
        }
    }
    for (size_t i = 0; i < r->n_sections && !r->is_separate; i++) {
        struct names_section *s = &r->sections[i];
        if (s->role == NAMES_ROLE_PLT) {
            names_add_plt(r, s);
        } else if (s->role == NAMES_ROLE_DEBUGDATA && !has_symtab) {
            names_add_debugdata(r, s);
        }
    }
    r->n->has_debug_info |= r->has_debug_info;
}

static int read_elf(struct names_reader *r, struct err *e)
{
    GElf_Ehdr header;
    if (elf_kind(r->elf) != ELF_K_ELF || !gelf_getehdr(r->elf, &header)) {
        return err_set(e, STAX_ECORRUPT, "not an ELF file: %s", elf_errmsg(-1));
    }
    r->address_bytes = gelf_getclass(r->elf) == ELFCLASS32 ? 4 : 8;
    r->machine = header.e_machine;
    int rc = r->is_separate ? 0 : read_segments(r, e);
    if (rc) {
        return rc;
    }
    read_sections(r);
    if (r->is_for_build_id) {
        return 0;
    }
    add_tables(r);
    if (!r->is_separate) {
        add_extents(r);
    }
    return 0;
}

int names_reader_open(struct names_reader *r, struct err *e)
{
    int rc = names_reader_check(r, e);
    if (rc) {
        return rc;
    }
    elf_version(EV_CURRENT);
    if (r->image) { /* libelf wants to be able to write to it */
        r->copy = mem_new(r->n_bytes, 1);
        memcpy(r->copy, r->image, r->n_bytes);
        r->elf = elf_memory((char *)r->copy, r->n_bytes);
    } else {
        r->elf = elf_begin(r->fd, ELF_C_READ, NULL);
    }
    return r->elf ? read_elf(r, e)
                  : err_set(e, STAX_ECORRUPT, "cannot read the ELF file: %s", elf_errmsg(-1));
}

void names_reader_close(struct names_reader *r)
{
    elf_end(r->elf);
    free(r->sections);
    free(r->copy);
}

/* The part common to files and images, once r has its bytes; debug (or NULL) adds to it. A damaged
 * debug file adds nothing. */
static int open_all(struct names **out, struct names_reader *r, struct names_reader *debug,
                    struct err *e)
{
    struct names_builder b = {0};
    *out = NULL;
    r->n = mem_new(1, sizeof(*r->n));
    r->b = &b;
    r->symtab_source = NAMES_SYMTAB;
    int rc = names_reader_open(r, e);
    if (rc == 0 && debug) {
        debug->n = r->n;
        debug->b = &b;
        names_reader_open(debug, NULL);
    }
    if (rc == 0) {
        names_build(r->n, &b);
        *out = r->n;
        r->n = NULL;
    }
    if (debug) {
        names_reader_close(debug);
    }
    if (r->inner) {
        names_reader_close(r->inner);
        free(r->inner);
    }
    names_reader_close(r);
    names_builder_fini(&b);
    names_close(r->n);
    return rc;
}

static int reader_of_file(struct names_reader *r, int fd, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return err_set_errno(e, errno, "cannot read the binary");
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(e, STAX_ECORRUPT, "not a regular file");
    }
    *r = (struct names_reader){.fd = fd, .n_bytes = (uint64_t)st.st_size};
    return 0;
}

int names_open_elf_debug(struct names **out, int fd, int debug_fd, enum names_source debug_source,
                         struct err *e)
{
    struct names_reader r, debug;
    *out = NULL;
    int rc = reader_of_file(&r, fd, e);
    if (rc) {
        return rc;
    }
    bool has_debug = debug_fd >= 0 && reader_of_file(&debug, debug_fd, NULL) == 0;
    if (has_debug) {
        debug.is_separate = true;
        debug.symtab_source = debug_source;
    }
    return open_all(out, &r, has_debug ? &debug : NULL, e);
}

int names_check_elf(int fd, struct err *e)
{
    struct names_reader r;
    int rc = reader_of_file(&r, fd, e);
    return rc ? rc : names_reader_check(&r, e);
}

/* Where the last byte lies that section headers tell of; UINT64_MAX: beyond every file. */
static uint64_t end_of_sections(Elf *elf)
{
    GElf_Ehdr h;
    size_t n = 0;
    if (!gelf_getehdr(elf, &h) || elf_getshdrnum(elf, &n) != 0) {
        return UINT64_MAX;
    }
    /* Too many for 16 bits: libelf has read the first header, which says how many. */
    uint64_t n_headers = h.e_shnum ? h.e_shnum : n;
    uint64_t end = h.e_shoff ? h.e_shoff + n_headers * h.e_shentsize : 0;
    end = end < h.e_shoff ? UINT64_MAX : end;
    for (size_t i = 1; i < n; i++) {
        GElf_Shdr s;
        Elf_Scn *scn = elf_getscn(elf, i);
        if (!scn || !gelf_getshdr(scn, &s)) {
            return UINT64_MAX;
        }
        uint64_t section_end = 0;
        if (s.sh_type != SHT_NOBITS &&
            __builtin_add_overflow(s.sh_offset, s.sh_size, &section_end)) {
            return UINT64_MAX;
        }
        end = section_end > end ? section_end : end;
    }
    return end;
}

int names_check_whole(int fd, struct err *e)
{
    struct names_reader r = {0};
    int rc = reader_of_file(&r, fd, e);
    if (rc == 0 && !r.n_bytes) {
        return err_set(e, STAX_ECORRUPT, "empty");
    }
    rc = rc ? rc : names_reader_check(&r, e);
    if (rc) {
        return rc;
    }
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    if (!elf || end_of_sections(elf) > r.n_bytes) {
        rc = err_set(e, STAX_ECORRUPT, "cut off after %llu bytes", (unsigned long long)r.n_bytes);
    }
    elf_end(elf);
    return rc;
}

char *names_read_build_id(int fd)
{
    struct names_reader r;
    if (reader_of_file(&r, fd, NULL)) {
        return NULL;
    }
    r.n = mem_new(1, sizeof(*r.n));
    r.is_for_build_id = true;
    char *build_id = NULL;
    if (names_reader_open(&r, NULL) == 0) {
        build_id = r.n->build_id;
        r.n->build_id = NULL;
    }
    names_reader_close(&r);
    names_close(r.n);
    return build_id;
}

int names_open_elf(struct names **out, int fd, struct err *e)
{
    return names_open_elf_debug(out, fd, -1, NAMES_NONE, e);
}

int names_open_elf_image(struct names **out, const void *image, size_t n_bytes, struct err *e)
{
    struct names_reader r = {.fd = -1, .image = image, .n_bytes = n_bytes};
    return open_all(out, &r, NULL, e);
}
