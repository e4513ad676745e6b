/* elf_code.c - see elf_code.h. Formats: System V ABI, "Object Files"; elf(5). */
#include "base/elf_code.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum { MAX_SEGMENTS = 256, MAX_NOTE_BYTES = 4096, MAX_ID_BYTES = 64 };

struct elf_code {
    int fd;
    uint64_t base;
    uint16_t machine;
    Elf64_Phdr segments[MAX_SEGMENTS];
    size_t n_segments;
    char build_id[2 * MAX_ID_BYTES + 1];
};

/* How many of n bytes at an offset could be read. */
static size_t read_at(const struct elf_code *c, uint64_t offset, void *bytes, size_t n)
{
    uint64_t at;
    size_t done = 0;

    if (__builtin_add_overflow(c->base, offset, &at) || at > INT64_MAX - n) {
        return 0;
    }
    while (done < n) {
        ssize_t got = pread(c->fd, (char *)bytes + done, n - done, (off_t)(at + done));
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return done;
}

static int check_header(const Elf64_Ehdr *h, struct err *e)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) {
        return err_set(e, STAX_ECORRUPT, "it is not an ELF file");
    }
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        (h->e_machine != EM_X86_64 && h->e_machine != EM_AARCH64)) {
        return err_set(e, STAX_ECORRUPT, "its code is neither for x86-64 nor for aarch64");
    }
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > MAX_SEGMENTS) {
        return err_set(e, STAX_ECORRUPT, "its program headers are damaged");
    }
    return 0;
}

/* The build id among the notes of a segment, if it is there. */
static void read_notes(struct elf_code *c, const Elf64_Phdr *segment)
{
    uint8_t notes[MAX_NOTE_BYTES];
    size_t n = segment->p_filesz < sizeof(notes) ? segment->p_filesz : sizeof(notes);
    uint64_t offset = c->base ? segment->p_vaddr : segment->p_offset;

    n = read_at(c, offset, notes, n);
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= n;) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof(note));
        size_t name = at + sizeof(note);
        if (note.n_namesz > MAX_NOTE_BYTES || note.n_descsz > MAX_NOTE_BYTES) {
            return;
        }
        size_t id = name + ((note.n_namesz + 3) & ~3u);
        size_t next = id + ((note.n_descsz + 3) & ~3u);
        if (next > n) {
            return;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(notes + name, "GNU", 4) == 0 && note.n_descsz <= MAX_ID_BYTES) {
            for (size_t i = 0; i < note.n_descsz; i++) {
                snprintf(c->build_id + 2 * i, 3, "%02x", notes[id + i]);
            }
            return;
        }
        at = next;
    }
}

static int read_headers(struct elf_code *c, struct err *e)
{
    Elf64_Ehdr header;

    if (read_at(c, 0, &header, sizeof(header)) != sizeof(header)) {
        return err_set(e, STAX_ECORRUPT, "it is too short for an ELF file");
    }
    int rc = check_header(&header, e);
    if (rc < 0) {
        return rc;
    }
    size_t n_bytes = header.e_phnum * sizeof(Elf64_Phdr);
    if (read_at(c, header.e_phoff, c->segments, n_bytes) != n_bytes) {
        return err_set(e, STAX_ECORRUPT, "its program headers are cut off");
    }
    c->n_segments = header.e_phnum;
    c->machine = header.e_machine;
    for (size_t i = 0; i < c->n_segments && !c->build_id[0]; i++) {
        if (c->segments[i].p_type == PT_NOTE) {
            read_notes(c, &c->segments[i]);
        }
    }
    return 0;
}

int elf_code_open(struct elf_code **out, int fd, uint64_t base, struct err *e)
{
    struct elf_code *c = mem_new(1, sizeof(*c));

    c->fd = fd;
    c->base = base;
    int rc = read_headers(c, e);
    if (rc < 0) {
        elf_code_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void elf_code_close(struct elf_code *c)
{
    if (c) {
        fd_close(&c->fd);
        free(c);
    }
}

const char *elf_code_build_id(const struct elf_code *c)
{
    return c->build_id;
}

const char *elf_code_arch(const struct elf_code *c)
{
    return c->machine == EM_AARCH64 ? "aarch64" : "x86_64";
}

static bool is_code(const Elf64_Phdr *segment)
{
    return segment->p_type == PT_LOAD && (segment->p_flags & PF_X);
}

bool elf_code_address_of_offset(const struct elf_code *c, uint64_t offset, uint64_t *address)
{
    for (size_t i = 0; i < c->n_segments; i++) {
        const Elf64_Phdr *s = &c->segments[i];
        if (is_code(s) && offset >= s->p_offset && offset - s->p_offset < s->p_filesz) {
            *address = s->p_vaddr + (offset - s->p_offset);
            return true;
        }
    }
    return false;
}

bool elf_code_first_address(const struct elf_code *c, uint64_t *address)
{
    bool is_any = false;

    for (size_t i = 0; i < c->n_segments; i++) {
        const Elf64_Phdr *s = &c->segments[i];
        if (is_code(s) && s->p_filesz && (!is_any || s->p_vaddr < *address)) {
            *address = s->p_vaddr;
            is_any = true;
        }
    }
    return is_any;
}

int elf_code_read(const struct elf_code *c, uint64_t address, size_t n, struct buf *out,
                  struct err *e)
{
    for (size_t i = 0; i < c->n_segments; i++) {
        const Elf64_Phdr *s = &c->segments[i];
        if (!is_code(s) || address < s->p_vaddr || address - s->p_vaddr >= s->p_filesz) {
            continue;
        }
        uint64_t within = address - s->p_vaddr;
        uint64_t left = s->p_filesz - within, offset;
        uint64_t start = c->base ? s->p_vaddr : s->p_offset;
        if (__builtin_add_overflow(start, within, &offset)) {
            break;
        }
        n = left < n ? (size_t)left : n;
        size_t got = read_at(c, offset, buf_room(out, n), n);
        buf_advance(out, got);
        if (got) {
            return 0;
        }
        break;
    }
    return err_set(e, STAX_ENOTFOUND, "the file has no code at 0x%llx",
                   (unsigned long long)address);
}
