/* Symbols of ELF files: small images made here. test_names_files.c has the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/names.h"

/* A 64-bit shared object with one code segment at 0x401000 (file offset 0x1000). */
enum { TEXT = 0x401000, TEXT_BYTES = 0x1000, TEXT_OFFSET = 0x1000 };
enum { S_NULL, S_TEXT, S_SYMTAB, S_STRTAB, S_DATA, N_SECTIONS };

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    Elf64_Shdr sections[N_SECTIONS];
    struct {
        Elf64_Nhdr header;
        char name[4];
        uint8_t id[4];
    } note;
    char strings[256];
    Elf64_Sym symbols[24];
    uint8_t rest[TEXT_OFFSET + TEXT_BYTES];
};

static void image_init(struct image *m)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->header.e_ident, ELFMAG, SELFMAG);
    m->header.e_ident[EI_CLASS] = ELFCLASS64;
    m->header.e_ident[EI_DATA] = ELFDATA2LSB;
    m->header.e_ident[EI_VERSION] = EV_CURRENT;
    m->header.e_type = ET_DYN;
    m->header.e_machine = EM_X86_64;
    m->header.e_version = EV_CURRENT;
    m->header.e_ehsize = sizeof(m->header);
    m->header.e_phentsize = sizeof(Elf64_Phdr);
    m->header.e_phoff = offsetof(struct image, segments);
    m->header.e_phnum = 2;
    m->header.e_shentsize = sizeof(Elf64_Shdr);
    m->header.e_shoff = offsetof(struct image, sections);
    m->header.e_shnum = N_SECTIONS;
    m->segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                  .p_flags = PF_R | PF_X,
                                  .p_offset = TEXT_OFFSET,
                                  .p_vaddr = TEXT,
                                  .p_filesz = TEXT_BYTES,
                                  .p_memsz = TEXT_BYTES};
    m->segments[1] = (Elf64_Phdr){.p_type = PT_NOTE,
                                  .p_offset = offsetof(struct image, note),
                                  .p_filesz = sizeof(m->note),
                                  .p_align = 4};
    m->note.header = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 4, .n_type = NT_GNU_BUILD_ID};
    memcpy(m->note.name, "GNU", 4);
    memcpy(m->note.id, "\x01\xab\x00\xff", 4);
    m->sections[S_TEXT] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
                                       .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                       .sh_addr = TEXT,
                                       .sh_size = 0x800,
                                       .sh_offset = TEXT_OFFSET};
    m->sections[S_DATA] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
                                       .sh_flags = SHF_ALLOC,
                                       .sh_addr = TEXT + 0x800,
                                       .sh_size = 0x800,
                                       .sh_offset = TEXT_OFFSET};
    m->sections[S_STRTAB] = (Elf64_Shdr){
        .sh_type = SHT_STRTAB, .sh_offset = offsetof(struct image, strings), .sh_size = 1};
    m->sections[S_SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                         .sh_link = S_STRTAB,
                                         .sh_entsize = sizeof(Elf64_Sym),
                                         .sh_offset = offsetof(struct image, symbols),
                                         .sh_size = sizeof(Elf64_Sym)};
}

static void add_symbol(struct image *m, const char *name, unsigned bind, unsigned type,
                       uint64_t start, uint64_t size)
{
    size_t at = m->sections[S_STRTAB].sh_size;
    memcpy(m->strings + at, name, strlen(name) + 1);
    m->sections[S_STRTAB].sh_size += strlen(name) + 1;
    size_t i = m->sections[S_SYMTAB].sh_size / sizeof(Elf64_Sym);
    m->symbols[i] = (Elf64_Sym){.st_name = (uint32_t)at,
                                .st_info = ELF64_ST_INFO(bind, type),
                                .st_shndx = S_TEXT,
                                .st_value = TEXT + start,
                                .st_size = size};
    m->sections[S_SYMTAB].sh_size += sizeof(Elf64_Sym);
}

/* The image as a file gives what it gives in memory. */
static struct names *open_image(const struct image *m)
{
    struct names *n = NULL;
    struct names *from_file = NULL;
    struct err e = {0};
    int fd = memfd_create("image", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, m, sizeof(*m)), 0);
    assert_int_equal(names_open_elf(&from_file, fd, &e), 0);
    close(fd);
    assert_int_equal(names_open_elf_image(&n, m, sizeof(*m), &e), 0);
    for (uint64_t a = TEXT - 1; a <= TEXT + TEXT_BYTES; a++) {
        struct names_symbol x = {0};
        struct names_symbol y = {0};
        assert_int_equal(names_find(n, a, &x), names_find(from_file, a, &y));
        assert_int_equal(x.start, y.start);
    }
    names_close(from_file);
    return n;
}

static void expect(const struct names *n, uint64_t at, const char *name, uint64_t start,
                   uint64_t size)
{
    struct names_symbol s = {0};
    assert_true(names_find(n, TEXT + at, &s));
    assert_string_equal(s.linkage_name, name);
    assert_int_equal(s.start, TEXT + start);
    assert_int_equal(s.size, size);
    assert_int_equal(s.source, NAMES_SYMTAB);
    assert_null(s.module);
}

static void expect_none(const struct names *n, uint64_t at)
{
    struct names_symbol s;
    assert_false(names_find(n, TEXT + at, &s));
}

static void test_overlaps(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "outer", STB_GLOBAL, STT_FUNC, 0x100, 0x100);
    add_symbol(&m, "inner", STB_LOCAL, STT_FUNC, 0x140, 0x20);
    add_symbol(&m, "across", STB_GLOBAL, STT_FUNC, 0x1f0, 0x20);
    add_symbol(&m, "entry", STB_GLOBAL, STT_FUNC, 0x180, 0); /* ends where the next begins */
    add_symbol(&m, "label", STB_LOCAL, STT_NOTYPE, 0x110, 0);
    add_symbol(&m, "huge", STB_GLOBAL, STT_FUNC, 0x700, UINT64_MAX);
    struct names *n = open_image(&m);
    expect_none(n, 0xff);
    expect(n, 0x100, "outer", 0x100, 0x100);
    expect(n, 0x110, "outer", 0x100, 0x100); /* a label is no function */
    expect(n, 0x140, "inner", 0x140, 0x20);
    expect(n, 0x15f, "inner", 0x140, 0x20);
    expect(n, 0x160, "outer", 0x100, 0x100);
    expect(n, 0x180, "entry", 0x180, 0x70);
    expect(n, 0x1ff, "across", 0x1f0, 0x20);
    expect(n, 0x20f, "across", 0x1f0, 0x20);
    expect_none(n, 0x210);
    expect(n, 0x7ff, "huge", 0x700, 0x100); /* cut at the end of its section */
    expect_none(n, 0x800);
    names_close(n);
}

static void test_one_name_per_address(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "local", STB_LOCAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "weak", STB_WEAK, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "__global", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "_global2", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "v@@V1", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "label", STB_GLOBAL, STT_NOTYPE, 0x10, 0x10);
    add_symbol(&m, "ifunc", STB_GLOBAL, STT_GNU_IFUNC, 0x20, 8);
    add_symbol(&m, "object", STB_GLOBAL, STT_OBJECT, 0x20, 8);
    add_symbol(&m, "sized", STB_LOCAL, STT_FUNC, 0x30, 4);
    add_symbol(&m, "unsized", STB_GLOBAL, STT_FUNC, 0x30, 0);
    add_symbol(&m, "assembly", STB_GLOBAL, STT_NOTYPE, 0x40, 0);
    add_symbol(&m, "$x", STB_LOCAL, STT_NOTYPE, 0x48, 0);
    add_symbol(&m, "", STB_GLOBAL, STT_FUNC, 0x50, 8);
    add_symbol(&m, "last", STB_GLOBAL, STT_FUNC, 0x60, 0);
    struct names *n = open_image(&m);
    expect(n, 0x10, "_global2", 0x10, 0x10);
    expect(n, 0x20, "ifunc", 0x20, 8);
    expect(n, 0x33, "unsized", 0x30, 4);
    expect_none(n, 0x34);
    expect(n, 0x50, "assembly", 0x40, 0x20);
    expect(n, 0x7ff, "last", 0x60, 0x7a0);
    assert_int_equal(names_best_source(n), NAMES_SYMTAB);
    assert_string_equal(names_build_id(n), "01ab00ff");
    assert_true(names_bytes(n) > 100);
    names_close(n);
}

static void test_offsets(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    m.header.e_phnum = 2;
    m.segments[0].p_offset = 0x1234;
    m.segments[0].p_filesz = 0x100;
    m.segments[0].p_vaddr = 0x500234;
    m.segments[1] = m.segments[0]; /* data that shares the page */
    m.segments[1].p_flags = PF_R;
    m.segments[1].p_offset = 0x1000;
    m.segments[1].p_vaddr = 0x700000;
    m.segments[1].p_filesz = 0x1800;
    struct names *n = NULL;
    uint64_t address = 0;
    assert_int_equal(names_open_elf_image(&n, &m, sizeof(m), NULL), 0);
    assert_true(names_address_of_offset(n, 0x1240, &address));
    assert_int_equal(address, 0x500240);
    assert_true(names_address_of_offset(n, 0x1000, &address)); /* the page before the segment */
    assert_int_equal(address, 0x500000);
    assert_true(names_address_of_offset(n, 0x2000, &address));
    assert_int_equal(address, 0x701000);
    assert_false(names_address_of_offset(n, 0x3000, &address));
    assert_false(names_address_of_offset(n, UINT64_MAX, &address));
    names_close(n);
}

static void test_no_names(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    m.header.e_shoff = 0;
    m.header.e_shnum = 0;
    m.header.e_type = ET_EXEC;
    m.note.header.n_descsz = 200; /* past its segment */
    struct names *n = open_image(&m);
    expect_none(n, 0);
    assert_int_equal(names_best_source(n), NAMES_NONE);
    assert_null(names_build_id(n));
    names_close(n);
}

static void expect_corrupt(const void *bytes, size_t n_bytes)
{
    struct names *n = (struct names *)&n;
    struct err e = {0};
    assert_int_equal(names_open_elf_image(&n, bytes, n_bytes, &e), STAX_ECORRUPT);
    assert_null(n);
    assert_true(e.msg[0] != '\0');
}

static void test_not_elf(void **state)
{
    (void)state;
    struct image m;
    expect_corrupt("", 0);
    expect_corrupt("\x7f"
                   "ELF",
                   4);
    expect_corrupt("#!/bin/sh\nexit 0\n-----------------------------------------", 60);
    image_init(&m);
    m.header.e_ident[EI_DATA] = ELFDATA2MSB;
    expect_corrupt(&m, sizeof(m));
    image_init(&m);
    m.header.e_ident[EI_CLASS] = 9;
    expect_corrupt(&m, sizeof(m));
    image_init(&m);
    m.header.e_shnum = 0; /* the count stands in the first section: far too many */
    m.sections[0].sh_size = UINT64_MAX / 2;
    expect_corrupt(&m, sizeof(m));
    m.sections[0].sh_size = 1 << 30;
    expect_corrupt(&m, sizeof(m));
    struct names *n = NULL;
    struct err e = {0};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(names_open_elf(&n, fds[0], &e), STAX_ECORRUPT);
    close(fds[0]);
    close(fds[1]);
    assert_int_not_equal(names_open_elf(&n, -1, &e), 0);
    names_close(NULL);
}

/* Wherever it is cut off and whichever byte is changed, an answer comes back. */
static void test_damage(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "one", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "two", STB_GLOBAL, STT_FUNC, 0x20, 0);
    struct names_symbol s;
    struct names *n;
    size_t n_interesting = offsetof(struct image, rest);
    for (size_t len = 0; len < n_interesting; len += 3) {
        if (names_open_elf_image(&n, &m, len, NULL) == 0) {
            names_find(n, TEXT + 0x10, &s);
            names_close(n);
        }
    }
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    for (size_t i = EI_NIDENT; i < n_interesting; i++) {
        uint8_t *byte = (uint8_t *)&m + i;
        uint8_t before = *byte;
        for (size_t v = 0; v < sizeof(values); v++) {
            *byte = values[v];
            if (names_open_elf_image(&n, &m, sizeof(m), NULL) == 0) {
                names_find(n, TEXT + 0x10, &s);
                names_close(n);
            }
        }
        *byte = before;
    }
}

/* A string table whose end is missing, and a thousand names that share one long tail. */
static void test_hostile_strings(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "good", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    add_symbol(&m, "cutoff", STB_GLOBAL, STT_FUNC, 0x20, 0x10);
    m.sections[S_STRTAB].sh_size--;
    struct names *n = open_image(&m);
    expect(n, 0x10, "good", 0x10, 0x10);
    expect_none(n, 0x20);
    names_close(n);

    enum { N = 4000, LONG = 60000 };
    size_t n_bytes = sizeof(m) + N * sizeof(Elf64_Sym) + LONG;
    uint8_t *bytes = calloc(1, n_bytes);
    m.sections[S_SYMTAB].sh_offset = sizeof(m);
    m.sections[S_SYMTAB].sh_size = N * sizeof(Elf64_Sym);
    m.sections[S_STRTAB].sh_offset = sizeof(m) + N * sizeof(Elf64_Sym);
    m.sections[S_STRTAB].sh_size = LONG;
    m.segments[0].p_memsz = 1 << 20;
    m.sections[S_TEXT].sh_size = 1 << 20;
    memcpy(bytes, &m, sizeof(m));
    memset(bytes + sizeof(m) + N * sizeof(Elf64_Sym), 'x', LONG - 1);
    for (size_t i = 1; i < N; i++) {
        Elf64_Sym sym = {.st_name = (uint32_t)i,
                         .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                         .st_shndx = S_TEXT,
                         .st_value = TEXT + i * 16,
                         .st_size = 16};
        memcpy(bytes + sizeof(m) + i * sizeof(sym), &sym, sizeof(sym));
    }
    assert_int_equal(names_open_elf_image(&n, bytes, n_bytes, NULL), 0);
    assert_true(names_bytes(n) < 1 << 20);
    names_close(n);
    free(bytes);
}

/* A sparse file can back any size that its headers claim. */
static void test_huge_claims(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "one", STB_GLOBAL, STT_FUNC, 0x10, 0x10);
    m.sections[S_SYMTAB].sh_size = UINT64_C(1) << 39;
    m.sections[S_STRTAB].sh_size = UINT64_C(1) << 39;
    m.segments[1].p_filesz = UINT64_C(1) << 39;
    int fd = memfd_create("sparse", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, &m, sizeof(m)), 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    struct names *n = NULL;
    assert_int_equal(names_open_elf(&n, fd, NULL), 0);
    close(fd);
    expect_none(n, 0x10);
    assert_true(names_bytes(n) < 4096);
    names_close(n);
}

/* A file of n symbols, all of which overlap the rest, or are empty, or begin at one place. */
static int many_symbols(uint32_t n, int shape)
{
    struct image m;
    image_init(&m);
    uint64_t n_bytes = (uint64_t)n * sizeof(Elf64_Sym);
    m.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_X,
                                 .p_vaddr = TEXT,
                                 .p_filesz = 64 << 20,
                                 .p_memsz = 64 << 20};
    m.sections[S_TEXT].sh_size = 64 << 20;
    m.sections[S_STRTAB].sh_size = sizeof(m.strings);
    memcpy(m.strings, "\0f", 3);
    m.sections[S_SYMTAB].sh_offset = sizeof(m);
    m.sections[S_SYMTAB].sh_size = n_bytes;
    Elf64_Sym *symbols = calloc(n, sizeof(*symbols));
    assert_non_null(symbols);
    for (uint32_t i = 1; i < n; i++) {
        symbols[i] = (Elf64_Sym){.st_name = 1,
                                 .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
                                 .st_shndx = S_TEXT,
                                 .st_value = TEXT + (shape == 2 ? 0 : (uint64_t)(n - i) * 16),
                                 .st_size = shape == 0   ? UINT64_MAX / 2
                                            : shape == 1 ? 0
                                                         : i};
    }
    int fd = memfd_create("many", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, &m, sizeof(m)), 0);
    assert_int_equal(fd_write_all(fd, symbols, n_bytes), 0);
    free(symbols);
    return fd;
}

static void test_a_million_symbols(void **state)
{
    (void)state;
    enum { N = 1000000 };
    for (int shape = 0; shape < 3; shape++) {
        struct names *n;
        struct names_symbol s;
        struct err e = {0};
        int fd = many_symbols(N, shape);
        int64_t start_ns = clock_monotonic_ns();
        if (names_open_elf(&n, fd, &e) != 0) {
            fail_msg("%s", e.msg);
        }
        close(fd);
        assert_true(names_find(n, TEXT + 16 * 1000 + 3, &s) || shape == 2);
        /* Linear: a square would take hours. */
        assert_true(clock_monotonic_ns() - start_ns < INT64_C(60) * 1000000000);
        assert_true(names_bytes(n) < (size_t)N * 128);
        names_close(n);
    }
}

/* The start of the function that the symbol at a place belongs to; 0: it is one itself. */
static uint64_t whole_at(struct names *n, uint64_t at)
{
    struct names_symbol part, whole;
    assert_true(names_find(n, TEXT + at, &part));
    return names_find_whole(n, &part, &whole) ? whole.start - TEXT : 0;
}

static void test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t whole; /* 0: itself */
    } symbols[] = {
        {"foo.cold", 0x120},
        {"bar.isra.0", 0},
        {"foo", 0},
        {"foo.part.0.cold", 0x120},
        {"bar.isra.0.cold", 0x110}, /* there is no bar */
        {"sta", 0},
        {"sta", 0},
        {"sta.cold", 0}, /* of which of them? */
        {"twin.part.0", 0},
        {"twin.part.0", 0}, /* of two files */
        {"p.lto_priv.0", 0},
        {"p.lto_priv.1", 0}, /* two functions */
        {"p.lto_priv.1.cold", 0x1b0},
        {"a.colder", 0},
        {"z", 0},
    };
    enum { N = sizeof(symbols) / sizeof(symbols[0]) };
    struct image m;
    image_init(&m);
    for (size_t i = 0; i < N; i++) {
        add_symbol(&m, symbols[i].name, STB_LOCAL, STT_FUNC, 0x100 + 0x10 * i, 0x10);
    }
    struct names *n = open_image(&m);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(whole_at(n, 0x100 + 0x10 * i), symbols[i].whole);
    }
    names_close(n);
}

/* What the Go linker made has no parts: main.cold is a function of package main. */
static void test_go_has_no_parts(void **state)
{
    (void)state;
    struct image m;
    image_init(&m);
    add_symbol(&m, "main", STB_GLOBAL, STT_FUNC, 0x100, 0x10);
    add_symbol(&m, "main.cold", STB_GLOBAL, STT_FUNC, 0x110, 0x10);
    size_t at = m.sections[S_STRTAB].sh_size;
    memcpy(m.strings + at, ".go.buildinfo", 14);
    m.sections[S_STRTAB].sh_size += 14;
    m.sections[S_DATA].sh_name = (uint32_t)at;
    m.header.e_shstrndx = S_STRTAB;
    struct names *n = open_image(&m);
    struct names_symbol s;
    assert_int_equal(whole_at(n, 0x110), 0);
    assert_true(names_find(n, TEXT + 0x110, &s));
    assert_string_equal(s.language, "go");
    assert_true(names_find(n, TEXT + 0x100, &s));
    assert_string_equal(s.language, "");
    names_close(n);
}

static void test_vdso(void **state)
{
    (void)state;
    const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    if (!image) {
        skip();
    }
    struct names *n = NULL;
    struct err e = {0};
    assert_int_equal(names_open_elf_image(&n, image, 2 * 4096, &e), 0);
    bool is_found = false;
    for (uint64_t a = 0; a < 2 * 4096 && !is_found; a++) {
        struct names_symbol s;
        is_found = names_find(n, a, &s) && s.linkage_name && s.start == a &&
                   strstr(s.linkage_name, "vdso_clock_gettime");
    }
    assert_true(is_found);
    assert_int_equal(names_best_source(n), NAMES_DYNSYM);
    assert_non_null(names_build_id(n));
    names_close(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlaps),          cmocka_unit_test(test_one_name_per_address),
        cmocka_unit_test(test_offsets),           cmocka_unit_test(test_no_names),
        cmocka_unit_test(test_not_elf),           cmocka_unit_test(test_damage),
        cmocka_unit_test(test_hostile_strings),   cmocka_unit_test(test_huge_claims),
        cmocka_unit_test(test_a_million_symbols), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_go_has_no_parts),   cmocka_unit_test(test_vdso),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
