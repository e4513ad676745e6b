/* cfi_elf.c - what the CFI of an ELF file lies in. */
#include "capture/cfi_elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* Some times what the largest browsers have. */
enum {
    MAX_SEGMENTS = 4096,
    MAX_HEADERS = 1 << 18,
    MAX_NAMES_BYTES = 16 << 20,
    MAX_SECTION_BYTES = 256 << 20,
    MAX_EH_HEADER_BYTES = 32,
    READ_BYTES = 1 << 20,
};

struct reader {
    struct cfi_elf *elf;
    int fd;
    const uint8_t *image; /* not NULL: the bytes instead of fd */
    uint64_t n_bytes;
    Elf64_Ehdr header;
    Elf64_Phdr *segments;
    size_t n_segments;
};

static bool read_at(const struct reader *r, uint64_t offset, void *to, size_t n)
{
    if (offset > r->n_bytes || n > r->n_bytes - offset) {
        return false;
    }
    if (r->image) {
        memcpy(to, r->image + offset, n);
        return true;
    }
    for (size_t done = 0; done < n;) {
        size_t part = n - done < READ_BYTES ? n - done : READ_BYTES;
        ssize_t got = pread(r->fd, (char *)to + done, part, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

/* A part of the file on the heap; NULL when it is empty, cut off or larger than a bound. */
static void *read_part(const struct reader *r, uint64_t offset, uint64_t n, uint64_t max)
{
    if (!n || n > max || offset > r->n_bytes || n > r->n_bytes - offset) {
        return NULL;
    }
    void *bytes = mem_grow(NULL, n, 1);
    if (!read_at(r, offset, bytes, n)) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static int read_header(struct reader *r, const struct unwind_arch *arch, struct err *e)
{
    Elf64_Ehdr *h = &r->header;
    if (!read_at(r, 0, h->e_ident, EI_NIDENT) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) {
        return err_set(e, STAX_ECORRUPT, "not an ELF file");
    }
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB) {
        return err_set(e, STAX_EVERSION, "ELF file is not for %s", arch->name);
    }
    if (!read_at(r, 0, h, sizeof(*h))) {
        return err_set(e, STAX_ECORRUPT, "ELF header is cut off");
    }
    if (h->e_machine != arch->elf_machine) {
        return err_set(e, STAX_EVERSION, "ELF file is not for %s", arch->name);
    }
    return 0;
}

static int read_segments(struct reader *r, struct err *e)
{
    size_t n = r->header.e_phnum;
    if (n > MAX_SEGMENTS || (n && r->header.e_phentsize != sizeof(Elf64_Phdr))) {
        return err_set(e, STAX_ECORRUPT, "ELF program headers are damaged");
    }
    r->segments = read_part(r, r->header.e_phoff, n * sizeof(Elf64_Phdr), SIZE_MAX);
    r->n_segments = r->segments ? n : 0;
    for (size_t i = 0; i < r->n_segments; i++) {
        const Elf64_Phdr *p = &r->segments[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && p->p_memsz &&
            p->p_memsz <= UINT64_MAX - p->p_vaddr && r->elf->n_code < CFI_ELF_MAX_CODE) {
            r->elf->code_offset[r->elf->n_code] = p->p_offset;
            r->elf->code[r->elf->n_code++] =
                (struct cfi_range){p->p_vaddr, p->p_vaddr + p->p_memsz};
        }
    }
    return 0;
}

static void add_section(struct reader *r, const Elf64_Shdr *s, bool is_debug)
{
    struct cfi_elf *elf = r->elf;
    if (s->sh_type == SHT_NOBITS || (s->sh_flags & SHF_COMPRESSED) ||
        elf->n_sections == CFI_ELF_MAX_SECTIONS) {
        return;
    }
    uint8_t *bytes = read_part(r, s->sh_offset, s->sh_size, MAX_SECTION_BYTES);
    if (bytes) {
        elf->sections[elf->n_sections++] = (struct cfi_section){
            .bytes = bytes, .n_bytes = s->sh_size, .address = s->sh_addr, .is_debug = is_debug};
    }
}

static void add_plt(struct cfi_elf *elf, const Elf64_Shdr *s, bool is_lazy)
{
    if ((s->sh_flags & SHF_EXECINSTR) && s->sh_size && s->sh_size <= UINT32_MAX &&
        s->sh_addr <= UINT64_MAX - s->sh_size && elf->n_plts < CFI_ELF_MAX_PLTS) {
        elf->plts[elf->n_plts++] = (struct cfi_plt){{s->sh_addr, s->sh_addr + s->sh_size}, is_lazy};
    }
}

/* is_first: what goes before .debug_frame, as it wins where both describe the same code. */
static void take_section(struct reader *r, const Elf64_Shdr *s, const char *name, bool is_first)
{
    if (!is_first) {
        if (strcmp(name, ".debug_frame") == 0) {
            add_section(r, s, true);
        }
    } else if (strcmp(name, ".eh_frame") == 0) {
        add_section(r, s, false);
    } else if (strcmp(name, ".plt") == 0) {
        add_plt(r->elf, s, true);
    } else if (strcmp(name, ".plt.sec") == 0 || strcmp(name, ".plt.got") == 0 ||
               strcmp(name, ".iplt") == 0) {
        add_plt(r->elf, s, false);
    }
}

static void read_sections(struct reader *r)
{
    const Elf64_Ehdr *h = &r->header;
    Elf64_Shdr first;
    if (!h->e_shoff || h->e_shentsize != sizeof(first) ||
        !read_at(r, h->e_shoff, &first, sizeof(first))) {
        return;
    }
    /* Numbers too large for 16 bits are in the first header. */
    uint64_t n = h->e_shnum ? h->e_shnum : first.sh_size;
    uint64_t names_index = h->e_shstrndx == SHN_XINDEX ? first.sh_link : h->e_shstrndx;
    if (n > MAX_HEADERS || names_index >= n) {
        return;
    }
    Elf64_Shdr *sections = read_part(r, h->e_shoff, n * sizeof(*sections), SIZE_MAX);
    char *names = NULL;
    uint64_t n_names = 0;
    if (sections) {
        n_names = sections[names_index].sh_size;
        names = read_part(r, sections[names_index].sh_offset, n_names, MAX_NAMES_BYTES);
    }
    if (names && names[n_names - 1] == '\0') {
        for (unsigned pass = 0; pass < 2; pass++) {
            for (size_t i = 0; i < n; i++) {
                if (sections[i].sh_name < n_names) {
                    take_section(r, &sections[i], names + sections[i].sh_name, pass == 0);
                }
            }
        }
    }
    free(names);
    free(sections);
}

/* .eh_frame from an address to the end of its segment. */
static void add_frames_at(struct reader *r, uint64_t address)
{
    for (size_t i = 0; i < r->n_segments; i++) {
        const Elf64_Phdr *p = &r->segments[i];
        uint64_t skip = address - p->p_vaddr;
        if (p->p_type != PT_LOAD || address < p->p_vaddr || skip >= p->p_filesz ||
            p->p_offset > r->n_bytes || skip > r->n_bytes - p->p_offset) {
            continue;
        }
        uint64_t offset = p->p_offset + skip;
        uint64_t n = p->p_filesz - skip;
        n = n < r->n_bytes - offset ? n : r->n_bytes - offset;
        uint8_t *bytes = read_part(r, offset, n, MAX_SECTION_BYTES);
        if (bytes) {
            r->elf->sections[r->elf->n_sections++] = (struct cfi_section){
                .bytes = bytes, .n_bytes = n, .address = address, .is_open = true};
        }
        return;
    }
}

/* Files without section headers: .eh_frame_hdr says where .eh_frame begins. */
static void read_eh_header(struct reader *r)
{
    uint8_t bytes[MAX_EH_HEADER_BYTES];
    for (size_t i = 0; i < r->n_segments; i++) {
        const Elf64_Phdr *p = &r->segments[i];
        size_t n = p->p_filesz < sizeof(bytes) ? p->p_filesz : sizeof(bytes);
        if (p->p_type != PT_GNU_EH_FRAME || n < 4 || !read_at(r, p->p_offset, bytes, n) ||
            bytes[0] != 1) {
            continue;
        }
        struct cfi_section header = {.bytes = bytes, .n_bytes = n, .address = p->p_vaddr};
        struct cfi_bytes b = {.at = bytes + 4, .end = bytes + n};
        uint64_t address;
        if (cfi_read_address(&header, bytes[1], &b, &address)) {
            add_frames_at(r, address);
        }
        return;
    }
}

int cfi_elf_read(struct cfi_elf *elf, const struct unwind_arch *arch, int fd, const void *image,
                 size_t n, struct err *e)
{
    memset(elf, 0, sizeof(*elf));
    struct reader r = {.elf = elf, .fd = fd, .image = image, .n_bytes = n};
    struct stat st;
    if (!image) {
        if (fstat(fd, &st) != 0) {
            return err_set_errno(e, errno, "cannot read a binary");
        }
        if (!S_ISREG(st.st_mode)) {
            return err_set(e, STAX_ECORRUPT, "not a regular file");
        }
        r.n_bytes = (uint64_t)st.st_size;
    }
    int rc = read_header(&r, arch, e);
    if (rc == 0) {
        rc = read_segments(&r, e);
    }
    if (rc == 0) {
        read_sections(&r);
        if (!elf->n_sections) {
            read_eh_header(&r);
        }
    }
    free(r.segments);
    return rc;
}

void cfi_elf_fini(struct cfi_elf *elf)
{
    for (size_t i = 0; i < elf->n_sections; i++) {
        free((void *)(uintptr_t)elf->sections[i].bytes);
    }
    memset(elf, 0, sizeof(*elf));
}
